"""Every event of short recordings lost, repeated, moved, or the last: in every other format.

What a client gets is in its format's order, and an error or an answer of what was said.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from router_core.formats import Format
from router_core.sse import EventReader
from tests.router_core.formats import sequences
from tests.router_core.formats.translated import UPSTREAMS, events
from tests.router_core.wire import CORPUS, Pair, pairs

pytestmark = pytest.mark.skipif(
    not (CORPUS / "INDEX.tsv").exists(), reason=f"no recorded pairs in {CORPUS} (DETOUR_WIRE_CORPUS)"
)
LONGEST = 20
"""Events of a recording whose every place is tried."""


def raw_events(pair: Pair) -> list[bytes]:
    reader = EventReader()
    return [event.raw for event in (*reader.feed(pair.response), *reader.close())]


def short(upstream: Format) -> list[Pair]:
    """Recordings with calls first, because those have more that can break."""
    found = [p for p in pairs() if p.streams and p.status == 200 and p.format is upstream]
    found = [pair for pair in found if 3 < len(raw_events(pair)) <= LONGEST]
    words = (b"tool_use", b"tool_calls", b"function_call", b"functionCall")
    found.sort(key=lambda pair: (not any(word in pair.response for word in words), str(pair)))
    return found[:4]


def damaged(raw: list[bytes]) -> Iterator[tuple[str, list[bytes]]]:
    for here in range(len(raw)):
        yield f"{here} lost", raw[:here] + raw[here + 1 :]
        yield f"{here} repeated", raw[: here + 1] + raw[here:]
        yield f"{here} moved", raw[:here] + raw[here : here + 2][::-1] + raw[here + 2 :]
        yield f"cut after {here}", raw[: here + 1]


@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_a_damaged_recording_is_a_proper_answer_or_an_error(upstream: Format) -> None:
    chosen = short(upstream)
    assert chosen
    for pair in chosen:
        raw = raw_events(pair)
        for client in UPSTREAMS:
            if client is upstream:
                continue
            whole = sequences.read(client, events(client, upstream, b"".join(raw)))
            names = {name for name, _ in whole.calls}
            for damage, left in damaged(raw):
                written = events(client, upstream, b"".join(left))
                said = sequences.read(client, written)
                assert b"could not be translated" not in written, (pair, damage)
                assert {name for name, _ in said.calls} <= names, (pair, damage)
                if upstream is Format.OPENAI_RESPONSES and not said.failed:
                    # Everything is said twice and numbered.
                    assert (said.text, said.calls) == (whole.text, whole.calls), (pair, damage)
