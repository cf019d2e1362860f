"""How fast an answer comes, by the text that its pieces hold."""

from __future__ import annotations

import pytest

from router_core.formats import Format
from router_core.usage.pace import Pace

FORTY = "x" * 40
PIECES = {
    Format.ANTHROPIC: '{"type":"content_block_delta","delta":{"type":"text_delta","text":"%s"}}',
    Format.OPENAI_CHAT: '{"id":"c","choices":[{"index":0,"delta":{"content": "%s"}}]}',
    Format.OPENAI_RESPONSES: '{"type":"response.output_text.delta","item_id":"i","delta":"%s"}',
    Format.GEMINI: '{"candidates":[{"content":{"parts":[{"text":"%s"}],"role":"model"}}]}',
    Format.OLLAMA: '{"model":"m","message":{"role":"assistant","content":"%s"}}',
}


@pytest.mark.parametrize("format", Format)
def test_ten_tokens_every_half_second_are_twenty_a_second(format: Format) -> None:
    pace = Pace(format, 100.0)
    for step in range(1, 41):
        pace.feed((PIECES[format] % FORTY).encode(), 100 + step / 2)
        assert pace.tokens_per_second(100 + step / 2) == pytest.approx(20, rel=0.2)


def test_too_little_says_nothing_and_a_stream_that_stalls_slows_down() -> None:
    pace = Pace(Format.ANTHROPIC, 0.0)
    pace.feed((PIECES[Format.ANTHROPIC] % FORTY).encode(), 0.1)
    assert pace.tokens_per_second(0.2) is None
    assert pace.tokens_per_second(1.0) == 10
    assert pace.tokens_per_second(100.0) == 0.1


def test_what_a_finished_response_repeats_does_not_count() -> None:
    pace = Pace(Format.OPENAI_RESPONSES, 0.0)
    pace.feed(b'{"type":"response.output_text.done","text":"%s"}' % FORTY.encode(), 0.5)
    assert pace.tokens_per_second(1.0) == 0
