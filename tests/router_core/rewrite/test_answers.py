"""The rules of answers: model names, Amp's signatures, thinking that is not shown."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from router_core.formats import Format
from router_core.json_document import parse, serialise
from router_core.rewrite import catalogue
from router_core.rewrite.generic import compile_rule
from router_core.rewrite.rule import Origin
from router_core.rewrite.rules import Rules
from router_core.rewrite.schema import RuleConfig
from router_core.sse import EventReader
from tests.router_core import wire

ASK = b'{"model":"sonnet","stream":true,"max_tokens":5,"messages":[]}'


def amp(body: bytes = ASK) -> wire.Exchange:
    return wire.exchange(Format.ANTHROPIC, body, tool="amp")


PLACES = [
    (b'{"model": "up", "n": 1.0}', b'{"model": "sonnet", "n": 1.0}'),
    (b'{"modelVersion":"up"}', b'{"modelVersion":"sonnet"}'),
    (b'{"type":"message_start","message":{"model":"up","x":1e3}}', b'{"type":"message_start","message":{"model":"sonnet","x":1e3}}'),
    (b'{"response":{"model":"up"}}', b'{"response":{"model":"sonnet"}}'),
    (b'{"response":{"modelVersion":"up","model":"up"}}', b'{"response":{"modelVersion":"sonnet","model":"sonnet"}}'),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "expected"), PLACES)
def test_the_requested_name_comes_back_at_five_places(answer: bytes, expected: bytes) -> None:
    x = wire.exchange(Format.ANTHROPIC, ASK.replace(b"true", b"false"))
    assert wire.answered(x, answer, model="up")[0] == expected
    streaming = wire.exchange(Format.ANTHROPIC, ASK)
    out, _ = wire.answered(
        streaming, b"event: e\r\ndata: " + answer + b"\r\n\r\n", media="text/event-stream", model="up", step=3
    )
    assert out == b"event: e\r\ndata: " + expected + b"\r\n\r\n"


@pytest.mark.parametrize(
    "answer", [b'{"a":{"model":"up"}}', b'{"model":{"up":1}}', b'["model"]', b'{"model":null}', b'"model"']
)
def test_other_places_are_the_answers_own(answer: bytes) -> None:
    x = wire.exchange(Format.ANTHROPIC, ASK.replace(b"true", b"false"))
    assert wire.answered(x, answer, model="up")[0] == answer


def test_a_dated_name_of_the_same_model_stays() -> None:
    answer = b'{"model":"sonnet-20250929"}'
    x = wire.exchange(Format.ANTHROPIC, ASK.replace(b"true", b"false"))
    assert wire.answered(x, answer)[0] == answer


def event(value: dict) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (value["type"].encode(), serialise(value))


def block(index: int, kind: str, *deltas: dict) -> list[dict]:
    start = {"type": kind, **({"thinking": ""} if kind == "thinking" else {})}
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        *({"type": "content_block_delta", "index": index, "delta": d} for d in deltas),
        {"type": "content_block_stop", "index": index},
    ]


START = {"type": "message_start", "message": {"content": []}}
STOP = {"type": "message_stop"}
THOUGHT = [{"type": "thinking_delta", "thinking": "hm"}, {"type": "signature_delta", "signature": "s"}]
TEXT = [{"type": "text_delta", "text": "thinking"}]


def stream(*values: dict | list[dict]) -> bytes:
    return b"".join(event(v) for value in values for v in (value if isinstance(value, list) else [value]))


SHOWN = stream(
    START,
    block(0, "thinking", *THOUGHT),
    block(1, "text", *TEXT),
    block(2, "redacted_thinking"),
    block(3, "tool_use"),
    STOP,
)
HIDDEN = stream(START, block(0, "text", *TEXT), block(1, "tool_use"), STOP)
SIGNED = HIDDEN.replace(b'{"type":"tool_use"}', b'{"type":"tool_use","signature":""}')


@given(st.integers(1, len(SHOWN)))
def test_amps_stream_has_no_thinking_however_it_is_cut(step: int) -> None:
    out, responder = wire.answered(amp(), SHOWN, media="text/event-stream", step=step)
    assert out == SIGNED
    assert responder.context.fired == ["suppress-thinking", "amp-empty-signatures"]


def test_suppressing_twice_is_suppressing_once() -> None:
    assert wire.answered(amp(), SIGNED, media="text/event-stream")[0] == SIGNED


def test_the_indexes_of_a_stream_without_thinking_stay() -> None:
    plain = stream(START, block(0, "text", *TEXT), block(1, "text"), STOP)
    assert wire.answered(amp(), plain, media="text/event-stream")[0] == plain


def test_others_see_thinking() -> None:
    x = wire.exchange(Format.ANTHROPIC, ASK, tool="claude-code")
    assert wire.answered(x, SHOWN, media="text/event-stream")[0] == SHOWN


def test_amps_surface_counts_whatever_the_client_calls_itself() -> None:
    x = wire.exchange(Format.ANTHROPIC, ASK)
    host = wire.provider(Format.ANTHROPIC, "ampcode", quirks={"amp_signatures"})
    object.__setattr__(x.surface, "provider", host)
    assert wire.answered(x, SHOWN, media="text/event-stream")[0] == SIGNED


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b'{"content":[{"type":"thinking","thinking":"x"},{"type":"tool_use","id":"t"}]}', b'{"content":[{"type":"tool_use","id":"t","signature":""}]}'),
        (b'{"content":[{"type":"thinking","thinking":"x"},{"type":"text","text":"y"}]}', b'{"content":[{"type":"thinking","thinking":"x","signature":""},{"type":"text","text":"y"}]}'),
        (b'{"content":[{"type":"tool_use","id":"t","signature":"s"}]}', b'{"content":[{"type":"tool_use","id":"t","signature":"s"}]}'),
    ],
)  # fmt: skip
def test_amps_json_answers(answer: bytes, expected: bytes) -> None:
    assert wire.answered(amp(ASK.replace(b"true", b"false")), answer)[0] == expected


def test_a_user_may_hide_thinking_from_another_client() -> None:
    config = RuleConfig.model_validate(
        {"on": "answer", "action": "suppress-thinking", "when": {"client": "other"}}
    )
    rules = Rules([*catalogue.BUILT_IN, compile_rule(config, "mine", Origin.USER)])
    x = wire.exchange(Format.ANTHROPIC, ASK, tool="other")
    assert wire.answered(x, SHOWN, media="text/event-stream", rules=rules)[0] == HIDDEN
    assert (
        wire.answered(wire.exchange(Format.ANTHROPIC, ASK), SHOWN, media="text/event-stream", rules=rules)[0]
        == SHOWN
    )


def test_own_hosts_answers_to_amp_are_mended_too() -> None:
    assert wire.answered(amp(), SHOWN, media="text/event-stream", own=True)[0] == SIGNED


def test_hidden_streams_are_still_streams() -> None:
    out, _ = wire.answered(amp(), SHOWN, media="text/event-stream", step=1)
    kinds = [parse(e.data or b"{}")["type"] for e in EventReader().feed(out)]
    assert kinds[0] == "message_start" and kinds[-1] == "message_stop"
