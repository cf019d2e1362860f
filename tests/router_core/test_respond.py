"""Answers on their way to the client: bytes kept, streams folded, bodies unfolded, errors told."""

from __future__ import annotations

import gzip
import logging
import zlib
from collections import Counter
from typing import Any

import brotli
import orjson
import pytest
import zstandard
from hypothesis import given, settings, strategies as st

from router_core.config.schema import Limits
from router_core.event_pipes import PassingPipe
from router_core.exchange import Headers
from router_core.formats import Format, Operation
from router_core.formats.errors import WireError
from router_core.formats.translator import FormatTranslator
from router_core.json_document import parse, serialise
from router_core.opening import Opening
from router_core.prepare import Outgoing, prepare
from router_core.respond import Responder
from router_core.rewrite import catalogue
from router_core.rewrite.rule import DROPPED, Rule
from router_core.rewrite.rules import Rules
from router_core.sse import ArrayReader, Event, EventReader
from router_core.usage.count import Meter
from tests.router_core import wire

ASKS = {
    Format.ANTHROPIC: b'{"model":"m","max_tokens":1,"messages":[]}',
    Format.OPENAI_CHAT: b'{"model":"m","messages":[],"stream_options":{"include_usage":true}}',
    Format.OPENAI_RESPONSES: b'{"model":"m","input":[]}',
    Format.GEMINI: b'{"contents":[]}',
}


def ask(format: Format, stream: bool, sse: bool = True) -> wire.Exchange:
    path = None
    if format is Format.GEMINI:
        path = f"/v1beta/models/m:{'streamGenerateContent' if stream else 'generateContent'}{'?alt=sse' if stream and sse else ''}"
    return wire.exchange(format, ASKS[format], path=path, stream=stream)


STREAMS = {
    Format.ANTHROPIC: (
        b'event: message_start\ndata: {"type":"message_start","message":{"id":"m1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":5,"output_tokens":1}}}\n\n'
        b'event: ping\ndata: {"type":"ping"}\n\n'
        b'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}\n\n'
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"h"}}\n\n'
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"s"}}\n\n'
        b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
        b'event: content_block_start\ndata: {"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}\n\n'
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\\"n\\": 123456789012"}}\n\n'
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"34567890}"}}\n\n'
        b'event: content_block_stop\ndata: {"type":"content_block_stop","index":1}\n\n'
        b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":9}}\n\n'
        b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    ),
    Format.OPENAI_CHAT: (
        b": OPENROUTER PROCESSING\n\n"
        b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"finish_reason":null}]}\n\n'
        b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"reasoning_content":"hm"},"finish_reason":null}]}\n\n'
        b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'
        b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"1","type":"function","function":{"name":"f","arguments":""}},{"index":1,"id":"2","type":"function","function":{"name":"g","arguments":"{"}}]},"finish_reason":null}]}\n\n'
        b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"function":{"arguments":"}"}}]},"finish_reason":"tool_calls"}]}\n\n'
        b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":1}}\n\n'
        b"data: [DONE]\n\n"
    ),
    Format.OPENAI_RESPONSES: (
        b'event: response.created\ndata: {"type":"response.created","sequence_number":0,"response":{"id":"r","status":"in_progress","output":[]}}\n\n'
        b'event: response.output_item.done\ndata: {"type":"response.output_item.done","sequence_number":1,"output_index":1,"item":{"type":"message","id":"b"}}\n\n'
        b'event: response.output_item.done\ndata: {"type":"response.output_item.done","sequence_number":2,"output_index":0,"item":{"type":"reasoning","id":"a"}}\n\n'
        b'event: response.completed\ndata: {"type":"response.completed","sequence_number":3,"response":{"id":"r","status":"completed","output":[]}}\n\n'
    ),
    Format.GEMINI: (
        b'data: {"candidates": [{"content": {"parts": [{"text": "a"}],"role": "model"}}],"usageMetadata": {"totalTokenCount": 1}}\r\n\r\n'
        b'data: {"candidates": [{"content": {"parts": [{"text": "b"},{"functionCall": {"name": "f"}}],"role": "model"},"finishReason": "STOP"}],"usageMetadata": {"totalTokenCount": 3}}\r\n\r\n'
    ),
}
FOLDED = {
    Format.ANTHROPIC: {
        "id": "m1", "type": "message", "role": "assistant", "model": "m",
        "content": [{"type": "thinking", "thinking": "h", "signature": "s"}, {"type": "tool_use", "id": "t", "name": "f", "input": {"n": 12345678901234567890}}],
        "stop_reason": "tool_use", "stop_sequence": None, "usage": {"input_tokens": 5, "output_tokens": 9},
    },
    Format.OPENAI_CHAT: {
        "id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "a", "refusal": None, "reasoning_content": "hm", "tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            {"id": "2", "type": "function", "function": {"name": "g", "arguments": "{}"}}]}, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 1},
    },
    Format.OPENAI_RESPONSES: {"id": "r", "status": "completed", "output": [{"type": "reasoning", "id": "a"}, {"type": "message", "id": "b"}]},
    Format.GEMINI: {
        "candidates": [{"content": {"parts": [{"text": "ab"}, {"functionCall": {"name": "f"}}], "role": "model"}, "finishReason": "STOP"}],
        "usageMetadata": {"totalTokenCount": 3},
    },
}  # fmt: skip


@pytest.mark.parametrize("format", STREAMS)
@given(step=st.integers(1, 400))
@settings(max_examples=15)
def test_a_stream_is_folded_for_a_client_that_wants_one_body(format: Format, step: int) -> None:
    out, responder = wire.answered(
        ask(format, False), STREAMS[format], media="text/event-stream; charset=utf-8", step=step
    )
    assert parse(out) == FOLDED[format]
    assert (responder.status, responder.whole) == (200, True)
    assert responder.headers == [("content-type", "application/json")]


@pytest.mark.parametrize("format", STREAMS)
def test_a_body_is_unfolded_for_a_client_that_wants_a_stream(format: Format) -> None:
    x = ask(format, True)
    out, responder = wire.answered(x, serialise(FOLDED[format]))
    assert dict(responder.headers)["content-type"] == "text/event-stream"
    again, _ = wire.answered(ask(format, False), out, media="text/event-stream")
    assert parse(again) == FOLDED[format]


@pytest.mark.parametrize("format", STREAMS)
def test_without_a_rule_the_bytes_are_not_even_looked_at(format: Format) -> None:
    x = ask(format, True)
    tried = wire.attempt(x)
    prepare(x, tried, wire.built_in())
    responder = Responder(
        x, tried, wire.built_in(), 200, [("Content-Type", "text/event-stream"), ("Content-Length", "7")]
    )
    assert isinstance(responder._pipe, PassingPipe)
    piece = b"not an event"
    assert responder.feed(piece) is piece
    assert responder.headers == [("Content-Type", "text/event-stream"), ("Content-Length", "7")]


def test_headers_of_the_connection_and_of_the_account_stay_behind() -> None:
    upstream: Headers = [
        ("Content-Type", "application/json"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "close, x-hop"),
        ("X-Hop", "1"),
        ("Set-Cookie", "__cf_bm=1"),
        ("Alt-Svc", "h3"),
        ("request-id", "r"),
        ("X-Detour-Id", "forged"),
    ]
    x = ask(Format.ANTHROPIC, False)
    _, responder = wire.answered(x, b"{}", headers=upstream)
    assert responder.headers == [("Content-Type", "application/json"), ("request-id", "r")]
    _, responder = wire.answered(x, b"{}", headers=upstream, own=True)
    assert [n for n, _ in responder.headers] == ["Content-Type", "Set-Cookie", "Alt-Svc", "request-id"]


@pytest.mark.parametrize(
    ("coding", "encode"), [("gzip", gzip.compress), ("br", brotli.compress), ("zstd", zstandard.compress)]
)
@pytest.mark.parametrize("declared", [True, False])
def test_error_bodies_are_decoded(coding: str, encode, declared: bool) -> None:
    error = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
    headers = [
        ("content-type", "application/json"),
        ("content-length", "9"),
        *([("Content-Encoding", coding)] if declared else []),
    ]
    out, responder = wire.answered(
        ask(Format.ANTHROPIC, True), encode(error), status=529, headers=headers, step=5
    )
    if declared or coding != "br":
        assert out == error
    assert (responder.status, responder.headers) == (529, [("content-type", "application/json")])


def test_a_long_error_body_passes_decoded() -> None:
    error = b"x" * 3_000_000
    out, _ = wire.answered(
        ask(Format.ANTHROPIC, True),
        gzip.compress(error, 0),
        status=500,
        headers=[("content-encoding", "gzip")],
        step=65536,
    )
    assert out == error


def test_an_encoded_stream_is_decoded_where_a_rule_reads_it() -> None:
    stream = b'event: message_start\ndata: {"message":{"model":"up"}}\n\n'
    out, responder = wire.answered(
        ask(Format.ANTHROPIC, True), gzip.compress(stream), model="up", step=3,
        headers=[("content-type", "text/event-stream"), ("content-encoding", "gzip")],
    )  # fmt: skip
    assert out == stream.replace(b"up", b"m")
    assert responder.headers == [("content-type", "text/event-stream")]


def test_a_broken_encoding_ends_the_stream_with_an_error_event() -> None:
    out, _ = wire.answered(
        ask(Format.ANTHROPIC, True), gzip.compress(b"")[:10] + b"\x07" * 99, model="up", step=7,
        headers=[("content-type", "text/event-stream"), ("content-encoding", "gzip")],
    )  # fmt: skip
    assert b"event: error\ndata: " in out


@pytest.mark.parametrize("format", STREAMS)
def test_a_failing_rule_never_raises_but_ends_the_stream(
    format: Format, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(value, context):
        raise ZeroDivisionError

    rules = Rules([Rule(name="bad", reason="", event=fail)])
    with caplog.at_level(logging.CRITICAL):
        out, _ = wire.answered(ask(format, True), STREAMS[format], media="text/event-stream", rules=rules)
    assert out.count(b"log has the details") >= 1
    kinds = [parse(e.data) for e in EventReader().feed(out) if e.data and e.data != b"[DONE]"]
    assert "error" in kinds[-1] or kinds[-1]["type"] == "response.failed"


def test_a_rule_that_meets_another_shape_is_noted_and_passed_over() -> None:
    def fail(value, context):
        raise KeyError("delta")

    rules = Rules([Rule(name="odd", reason="", event=fail)])
    out, responder = wire.answered(
        ask(Format.ANTHROPIC, True), STREAMS[Format.ANTHROPIC], media="text/event-stream", rules=rules
    )
    assert out == STREAMS[Format.ANTHROPIC]
    assert responder.context.notes[0].startswith("odd: left alone")


@pytest.mark.parametrize("media", ["", "text/plain", "application/octet-stream"])
def test_a_stream_without_its_content_type(media: str) -> None:
    stream = STREAMS[Format.ANTHROPIC]
    renamed, _ = wire.answered(ask(Format.ANTHROPIC, True), stream, media=media, model="up", step=1)
    assert renamed == stream
    folded, _ = wire.answered(ask(Format.ANTHROPIC, False), stream, media=media, step=1)
    assert parse(folded) == FOLDED[Format.ANTHROPIC]


def test_a_long_json_answer_passes_as_it_is_when_no_rule_needs_the_whole() -> None:
    rules = Rules(catalogue.BUILT_IN, Limits.model_validate({"json_answer": "1KB"}))
    answer = b'{"model":"up","text":"' + b"x" * 3000 + b'"}'
    x = ask(Format.ANTHROPIC, False)
    tried = wire.attempt(x, model="up")
    prepare(x, tried, rules)
    responder = Responder(x, tried, rules, 200, [("content-type", "application/json")])
    pieces = [responder.feed(answer[i : i + 500]) for i in range(0, len(answer), 500)]
    assert pieces[0] == b"" and pieces[-1] == answer[3000:]
    assert b"".join(pieces) + responder.close() == answer
    short = b'{"model":"up"}'
    assert wire.answered(x, short, rules=rules, model="up")[0] == b'{"model":"m"}'


class Shown:
    """Keeps what the pipeline shows, and hands events to a meter."""

    def __init__(self, meter: Meter | None = None) -> None:
        self.meter = meter
        self.documents: list[Any] = []
        self.bytes: list[bytes] = []
        self.ended = False

    def event(self, event: Event) -> None:
        if self.meter:
            self.meter.feed(event)

    def passes_over(self, events: bytes) -> bool:
        return b"usage" not in events

    def document(self, document: Any) -> None:
        self.documents.append(document)

    def data(self, data: bytes) -> None:
        self.bytes.append(data)

    def end(self) -> None:
        self.ended = True


@pytest.mark.parametrize("limit", ["1KB", "1MB"], ids=["too-long", "parsed"])
def test_a_body_that_is_parsed_is_shown_to_whoever_counts(limit: str) -> None:
    rules = Rules(catalogue.BUILT_IN, Limits.model_validate({"json_answer": limit}))
    answer = b'{"model":"up","usage":{"input_tokens":1},"text":"' + b"x" * 3000 + b'"}'
    x = ask(Format.ANTHROPIC, False)
    tried = wire.attempt(x, model="up")
    prepare(x, tried, rules)
    headers = [("content-type", "application/json"), ("content-encoding", "gzip")]
    responder = Responder(x, tried, rules, 200, headers)
    shown = Shown()
    assert responder.show(shown)
    out = responder.feed(gzip.compress(answer)) + responder.close()
    # As the upstream wrote it: the client's has the name that was asked for.
    assert (shown.bytes if limit == "1KB" else shown.documents) == [
        answer if limit == "1KB" else parse(answer)
    ]
    assert shown.ended
    assert parse(out)["model"] == ("up" if limit == "1KB" else "m")


@pytest.mark.parametrize(("stream", "media"), [(False, "application/json"), (True, "text/event-stream")])
def test_nothing_is_parsed_for_the_sake_of_counting(stream: bool, media: str) -> None:
    x = ask(Format.ANTHROPIC, stream)
    tried = wire.attempt(x)
    rules = wire.built_in()
    prepare(x, tried, rules)
    assert not Responder(x, tried, rules, 200, [("content-type", media)]).show(Shown())


USED = (
    b'event: message_start\ndata: {"type":"message_start","message":{"model":"up","content":[],"usage":{"input_tokens":9}}}\n\n'
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}\n\n'
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":3}}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)


@pytest.mark.parametrize("client", [Format.ANTHROPIC, Format.OPENAI_CHAT], ids=str)
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "folded"])
@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_an_event_is_parsed_once_whoever_asks(
    client: Format, stream: bool, coding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the opening that is held back, the rules, the translation, the fold and the meter."""
    rules = Rules(catalogue.BUILT_IN, translator=FormatTranslator())
    x = ask(client, stream)
    tried = wire.attempt(x, wire.provider(Format.ANTHROPIC), model="up")
    assert isinstance(prepare(x, tried, rules), Outgoing)
    parsed: Counter[bytes] = Counter()
    loads = orjson.loads

    def counting(data: bytes) -> Any:
        parsed[bytes(data)] += 1
        return loads(data)

    monkeypatch.setattr(orjson, "loads", counting)
    opening, held = Opening(Format.ANTHROPIC), EventReader()
    known = held.feed(USED if not stream else USED[: USED.index(b"event: message_delta")])
    for event in known:
        opening.judge(event)
    headers = [("content-type", "text/event-stream"), ("content-encoding", coding)]
    responder = Responder(x, tried, rules, 200, headers, known)
    meter = Meter(Format.ANTHROPIC)
    shown = Shown(meter)
    assert responder.show(shown)
    body = gzip.compress(USED) if coding == "gzip" else USED
    responder.feed(body)
    responder.close()
    assert (meter.usage.input, meter.usage.output) == (9, 3)
    datas = [event.data or b"" for event in EventReader().feed(USED)]
    assert {data: parsed[data] for data in datas if b'"usage' in data} == {
        data: 1 for data in datas if b'"usage' in data
    }
    assert max(parsed[data] for data in datas) == 1


RULES = Rules(catalogue.BUILT_IN)
DELTA = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"%d"}}\n\n'


@pytest.mark.parametrize("tool", [None, "amp"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_whole_events_that_concern_nobody_are_not_even_cut(
    tool: str | None, end: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = wire.exchange(Format.ANTHROPIC, ASKS[Format.ANTHROPIC], stream=True, tool=tool)
    tried = wire.attempt(x, model="up")
    prepare(x, tried, RULES)
    responder = Responder(x, tried, RULES, 200, [("content-type", "text/event-stream")])
    meter = Meter(Format.ANTHROPIC)
    responder.show(Shown(meter))
    read: list[bytes] = []
    feed = EventReader.feed

    def noted(self: EventReader, data: bytes) -> list[Event]:
        read.append(data)
        return feed(self, data)

    monkeypatch.setattr(EventReader, "feed", noted)
    pieces = [piece.replace(b"\n", end) for piece in (
        b'data: {"type":"message_start","message":{"model":"up","content":[]}}\n\n',
        DELTA % 1 + DELTA % 2, DELTA % 3, DELTA % 4 + DELTA[:9], DELTA[9:] % 5, DELTA % 6,
        b'data: {"type":"message_delta","usage":{"output_tokens":7}}\n\n', b"data: tail",
    )]  # fmt: skip
    out = b"".join([responder.feed(piece) for piece in pieces]) + responder.close()
    assert out == b"".join(pieces).replace(b'"model":"up"', b'"model":"m"')
    assert read == [pieces[i] for i in (0, 3, 4, 6, 7)]
    assert meter.usage.output == 7


def test_an_error_is_numbered_after_the_last_of_events_that_passed_uncut() -> None:
    x = ask(Format.OPENAI_RESPONSES, True)
    tried = wire.attempt(x, model="up")
    prepare(x, tried, RULES)
    headers = [("content-type", "text/event-stream"), ("content-encoding", "gzip")]
    responder = Responder(x, tried, RULES, 200, headers)
    said = b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","sequence_number":%d,"delta":"a"}\n\n'
    pack = zlib.compressobj(wbits=31)
    for numbers in ((0,), (1, 2, 3)):
        piece = b"".join([said % n for n in numbers])
        packed = pack.compress(piece) + pack.flush(zlib.Z_SYNC_FLUSH)
        assert responder.feed(packed) == piece
    out = responder.feed(b"\xff" * 40)
    assert b'"type":"error"' in out and b'"sequence_number":4' in out


@pytest.mark.parametrize("renamed", [False, True], ids=["as it came", "renamed"])
@pytest.mark.parametrize("format", STREAMS)
def test_a_stream_that_breaks_off_ends_with_an_error_of_its_own(format: Format, renamed: bool) -> None:
    stream, error = STREAMS[format], WireError(502, "It broke off.")
    for end in range(0, len(stream), 7):
        x = ask(format, True)
        tried = wire.attempt(x, model="up" if renamed else "m")
        prepare(x, tried, RULES)
        responder = Responder(x, tried, RULES, 200, [("content-type", "text/event-stream")])
        out = b"".join(responder.feed(stream[at : min(at + 11, end)]) for at in range(0, end, 11))
        last = responder.broken_off(error)
        assert responder.broken_off(error) == b""
        # An event that was cut off is not glued to those that tell of it.
        told = [e for e in EventReader().feed(stream[:end]) if e.data]
        added = [e for e in EventReader().feed(out + last)[-4:] if e.data and b"It broke off." in e.data]
        documents = [parse(event.data or b"") for event in added]
        twice = format in (Format.OPENAI_RESPONSES, Format.GEMINI)
        assert len(documents) == (2 if twice else 1), (end, out + last)
        if format is Format.OPENAI_RESPONSES:
            numbers = [document["sequence_number"] for document in documents]
            assert numbers == ([len(told), len(told) + 1] if told else [1, 2])
            assert (documents[1]["response"]["id"] == "r") is bool(told)


ARRAY = b'[{"candidates": [{"content": {"parts": [{"text": "a"}]}}],\r\n"modelVersion": "up"}\r\n,\r\n{"candidates": [], "modelVersion": "up"}\r\n]'


@given(step=st.integers(1, len(ARRAY)))
def test_geminis_json_arrays(step: int) -> None:
    x = ask(Format.GEMINI, True, sse=False)
    out, responder = wire.answered(x, ARRAY, model="up", step=step)
    assert out == ARRAY.replace(b'"up"', b'"m"')
    assert dict(responder.headers)["content-type"] == "application/json"


@pytest.mark.parametrize("model", ["m", "up"], ids=["as it came", "renamed"])
def test_an_array_that_breaks_off_ends_with_an_error_in_it(model: str) -> None:
    x = ask(Format.GEMINI, True, sse=False)
    tried = wire.attempt(x, model=model)
    prepare(x, tried, RULES)
    for end in range(len(ARRAY) - 2):
        responder = Responder(x, tried, RULES, 200, [("content-type", "application/json")])
        out = responder.feed(ARRAY[:end])
        last = responder.broken_off(WireError(502, "It broke off."))
        assert (parse(out + last)[-1]["error"]["message"] == "It broke off.") if last else not out


def test_one_body_that_breaks_off_is_given_no_more() -> None:
    x = ask(Format.ANTHROPIC, False)
    responder = Responder(x, wire.attempt(x), RULES, 200, [("content-type", "application/json")])
    responder.feed(b'{"type": "mess')
    assert responder.broken_off(WireError(502, "It broke off.")) == b""


def test_elements_taken_out_of_an_array_leave_an_array() -> None:
    drop = Rules([Rule(name="drop", reason="", event=lambda v, c: DROPPED if v.get("candidates") else v)])
    out, _ = wire.answered(ask(Format.GEMINI, True, sse=False), ARRAY, rules=drop)
    assert parse(out) == [{"candidates": [], "modelVersion": "up"}]
    nothing = Rules([Rule(name="drop", reason="", event=lambda v, c: DROPPED)])
    assert parse(wire.answered(ask(Format.GEMINI, True, sse=False), ARRAY, rules=nothing)[0]) == []


def test_a_body_becomes_an_array_for_a_client_that_streams_arrays() -> None:
    out, _ = wire.answered(ask(Format.GEMINI, True, sse=False), serialise(FOLDED[Format.GEMINI]))
    assert parse(out) == [FOLDED[Format.GEMINI]]
    assert [e.data is None for e in ArrayReader().feed(out)] == [False]


def test_a_stream_is_framed_and_called_what_the_client_asked_for() -> None:
    events = b"".join(b"data: " + serialise(value) + b"\r\n\r\n" for value in parse(ARRAY))
    out, responder = wire.answered(ask(Format.GEMINI, True, sse=False), events, media="text/event-stream")
    assert (parse(out), dict(responder.headers)["content-type"]) == (parse(ARRAY), "application/json")
    out, responder = wire.answered(ask(Format.GEMINI, True), ARRAY, media="application/json; charset=UTF-8")
    assert [e.document for e in EventReader().feed(out)] == parse(ARRAY)
    assert dict(responder.headers)["content-type"] == "text/event-stream"


@pytest.mark.parametrize(
    ("format", "stream"),
    [
        (Format.ANTHROPIC, STREAMS[Format.ANTHROPIC][:400] + b'\n\nevent: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'),
        (Format.OPENAI_CHAT, b'data: {"error":{"message":"Overloaded","code":529}}\n\n'),
        (Format.OPENAI_RESPONSES, b'event: response.failed\ndata: {"type":"response.failed","response":{"error":{"code":"x","message":"Overloaded"}}}\n\n'),
        (Format.GEMINI, b'data: {"error":{"code":503,"message":"Overloaded","status":"UNAVAILABLE"}}\r\n\r\n'),
    ],
)  # fmt: skip
def test_an_error_in_a_stream_is_the_answer_to_a_client_that_wants_one_body(
    format: Format, stream: bytes
) -> None:
    out, responder = wire.answered(ask(format, False), stream, media="text/event-stream")
    assert parse(out)["error"]["message"] == "Overloaded"
    assert responder.status >= 500


@pytest.mark.parametrize("format", STREAMS)
def test_a_stream_cut_off_is_an_error_for_a_client_that_wants_one_body(format: Format) -> None:
    out, responder = wire.answered(ask(format, False), b": nothing\n\n", media="text/event-stream")
    assert "ended before" in parse(out)["error"]["message"]
    assert responder.status in (500, 502)


@pytest.mark.parametrize("format", [Format.ANTHROPIC, Format.OPENAI_CHAT, Format.OPENAI_RESPONSES])
def test_so_is_one_that_has_begun_to_speak(format: Format) -> None:
    """Gemini's chunks do not tell whether another one was to follow."""
    events = [event.raw for event in EventReader().feed(STREAMS[format])]
    for end in range(1, len(events) - 3):
        out, responder = wire.answered(ask(format, False), b"".join(events[:end]), media="text/event-stream")
        assert "ended before" in parse(out)["error"]["message"], end
        assert responder.status in (500, 502)


def test_what_is_no_answer_becomes_an_error_event() -> None:
    out, _ = wire.answered(ask(Format.OPENAI_CHAT, True), b'{"code":11101,"msg":"invalid request"}')
    [event, done] = EventReader().feed(out)
    assert parse(event.data or b"")["error"]["message"] == "invalid request"
    assert done.data == b"[DONE]"


@pytest.mark.parametrize("client", STREAMS)
def test_what_is_no_answer_is_an_error_for_a_client_of_another_format(client: Format) -> None:
    upstream = Format.GEMINI if client is Format.ANTHROPIC else Format.ANTHROPIC
    rules = Rules(catalogue.BUILT_IN, translator=FormatTranslator())
    out, responder = wire.answered(
        ask(client, False), b'{"ok":true}', wire.provider(upstream), rules=rules, model="up"
    )
    assert parse(out)["error"]["message"].startswith("The upstream's answer ")
    assert responder.status == 500


@pytest.mark.parametrize("status", [101, 204, 304])
def test_answers_without_a_body(status: int) -> None:
    upstream: Headers = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Accept", "x")]
    out, responder = wire.answered(
        ask(Format.OPENAI_RESPONSES, True), b"raw", status=status, headers=upstream, model="up"
    )
    assert (out, responder.status) == (b"raw", status)
    assert len(responder.headers) == (3 if status == 101 else 1)


def test_other_operations_get_their_model_name_back() -> None:
    x = wire.exchange(
        Format.OPENAI_CHAT,
        b'{"model":"m","input":"x"}',
        operation=Operation.EMBEDDINGS,
        path="/v1/embeddings",
    )
    out, _ = wire.answered(x, b'{"data": [1.0, 2e-3], "model": "up"}', model="up")
    assert out == b'{"data": [1.0, 2e-3], "model": "m"}'


@given(
    st.binary(max_size=300),
    st.sampled_from([*STREAMS]),
    st.booleans(),
    st.sampled_from(["", "text/event-stream", "application/json"]),
    st.integers(1, 50),
    st.sampled_from([200, 400]),
)
@settings(max_examples=150)
def test_no_bytes_make_it_raise(
    body: bytes, format: Format, stream: bool, media: str, step: int, status: int
) -> None:
    out, _ = wire.answered(ask(format, stream), body, media=media, model="up", step=step, status=status)
    assert isinstance(out, bytes)


def test_an_event_with_several_data_lines_is_renamed() -> None:
    stream = b'data: {"message":\ndata: {"model":\ndata:  "up"}}\n\n'
    out, _ = wire.answered(ask(Format.ANTHROPIC, True), stream, media="text/event-stream", model="up", step=9)
    assert out == stream.replace(b"up", b"m")


@pytest.mark.parametrize("status", [200, 500])
def test_an_encoding_that_nobody_knows_passes_as_it_came(status: int) -> None:
    upstream: Headers = [
        ("content-type", "application/json"),
        ("content-encoding", "lzma"),
        ("content-length", "3"),
    ]
    out, responder = wire.answered(
        ask(Format.ANTHROPIC, False), b"\x5d\x00\x00", headers=upstream, model="up", status=status
    )
    assert (out, responder.headers) == (b"\x5d\x00\x00", upstream)


def test_errors_of_the_clients_own_host_pass_as_they_came() -> None:
    body, headers = gzip.compress(b'{"error":{}}'), [("content-encoding", "gzip"), ("content-length", "32")]
    out, responder = wire.answered(ask(Format.ANTHROPIC, False), body, headers=headers, status=500, own=True)
    assert (out, responder.headers) == (body, headers)


@pytest.mark.parametrize("format", [f for f in STREAMS if f is not Format.GEMINI])
def test_what_is_no_json_becomes_an_error_event_for_a_client_that_streams(format: Format) -> None:
    out, _ = wire.answered(ask(format, True), b"<html>Bad gateway</html>", media="application/json")
    assert b"no JSON" in out and out.startswith((b"data: ", b"event: "))


def test_the_clients_own_host_answers_in_its_own_shape() -> None:
    body = serialise(FOLDED[Format.ANTHROPIC])
    assert wire.answered(ask(Format.ANTHROPIC, True), body, own=True)[0] == body
    renamed, responder = wire.answered(ask(Format.ANTHROPIC, True), body, own=True, model="up")
    assert (renamed, dict(responder.headers)["content-type"]) == (body, "application/json")
