"""Byte fidelity over recorded traffic: what no rule covers passes identically, whatever else happens."""

from __future__ import annotations

from typing import Any

import pytest

from router_core.fold import fold
from router_core.formats import Format
from router_core.json_document import parse, serialise, splice
from router_core.rewrite.rules import Rules
from router_core.sse import ArrayReader, EventReader
from tests.router_core import wire

CUTS = (1, 7, 64)


def path(pair: wire.Pair, stream: bool) -> str | None:
    if pair.format is not Format.GEMINI:
        return None
    action = "streamGenerateContent" if stream else "generateContent"
    return f"/v1beta/models/{pair.model}:{action}" + ("?alt=sse" if stream and not is_array(pair) else "")


def is_array(pair: wire.Pair) -> bool:
    return pair.streams and pair.response.lstrip().startswith(b"[")


def exchange(pair: wire.Pair, body: bytes | None = None, *, stream: bool | None = None) -> wire.Exchange:
    stream = pair.streams if stream is None else stream
    body = body or pair.request or serialise({"model": pair.model})
    return wire.exchange(pair.format, body, path=path(pair, stream), stream=stream, model=pair.model)


def media(pair: wire.Pair) -> str:
    return "text/event-stream" if pair.streams and not is_array(pair) else "application/json"


@wire.recorded(lambda pair: pair.request is not None)
def test_a_request_without_a_rule_is_sent_as_it_came(pair: wire.Pair) -> None:
    x = exchange(pair)
    model = pair.model if pair.format is Format.GEMINI else (x.document or {}).get("model")
    out = wire.prepared(x, rules=Rules(), model=model)
    assert out.body is x.request.body
    assert wire.prepared(x, own=True, model=model).body is x.request.body


@wire.recorded(lambda pair: pair.request is not None)
def test_the_built_in_rules_change_only_what_they_say(pair: wire.Pair) -> None:
    x = exchange(pair)
    document = x.document if isinstance(x.document, dict) else {}
    model = pair.model if pair.format is Format.GEMINI else document.get("model")
    out = wire.prepared(x, model=model)
    if not out.fired:
        assert out.body is x.request.body
        return
    # Keys of the root that are the same value before and after are the same bytes.
    sent = parse(out.body)
    for key in document.keys() & sent.keys():
        if document[key] == sent[key]:
            assert raw_member(out.body, sent, key) == raw_member(x.request.body, document, key)


def raw_member(body: bytes, document: dict[str, Any], key: str) -> bytes:
    return splice(body, document, {"only": document[key]}).partition(b":")[2].strip()


@wire.recorded()
def test_an_answer_without_a_rule_is_passed_on_as_it_came(pair: wire.Pair) -> None:
    out, responder = wire.answered(
        exchange(pair), pair.response, media=media(pair), status=pair.status, step=1000
    )
    assert out == pair.response
    assert responder.status == pair.status


@wire.recorded(lambda pair: pair.streams)
@pytest.mark.parametrize("step", CUTS)
def test_a_stream_that_rules_read_and_do_not_change_is_the_same_however_it_is_cut(
    pair: wire.Pair, step: int
) -> None:
    x = exchange(pair)
    x.client.tool = "amp"
    seen = Rules([wire.reading_rule()])
    out, _ = wire.answered(x, pair.response, media=media(pair), step=step, rules=seen)
    assert out == pair.response


@wire.recorded(lambda pair: pair.status == 200)
def test_a_renamed_model_is_all_that_changes(pair: wire.Pair) -> None:
    x = exchange(pair, stream=pair.streams)
    x.model = "the requested one"
    out, _ = wire.answered(x, pair.response, media=media(pair), model="up", step=500)
    assert length_without_names(out, b"the requested one") == length_without_names(pair.response, b"")


def length_without_names(body: bytes, requested: bytes) -> list[Any]:
    """Everything but the five names, as values."""
    reader = ArrayReader() if body.lstrip().startswith(b"[") else EventReader()
    stream = body.lstrip()[:1] not in (b"{",)
    data = [e.data for e in reader.feed(body) + reader.close()] if stream else [body]
    found: list[Any] = []
    for text in data:
        try:
            value = parse(text or b"null")
        except ValueError:
            found.append(text)
            continue
        for holder in [
            value,
            *((value.get(k) for k in ("message", "response")) if isinstance(value, dict) else ()),
        ]:
            if isinstance(holder, dict):
                for key in ("model", "modelVersion"):
                    if isinstance(holder.get(key), str):
                        assert not requested or holder[key] == requested.decode()
                        holder[key] = ""
        found.append(value)
    return found


@wire.recorded(lambda pair: pair.streams and pair.status == 200)
def test_a_recorded_stream_folds_into_one_answer(pair: wire.Pair) -> None:
    out, responder = wire.answered(exchange(pair, stream=False), pair.response, media=media(pair), step=333)
    body = parse(out)
    if responder.status == 200:
        assert {"content", "choices", "output", "candidates", "promptFeedback"} & body.keys()
    else:
        assert body["error"]


@wire.recorded(lambda pair: not pair.streams and pair.status == 200)
def test_a_recorded_answer_unfolds_into_a_stream_that_folds_into_it(pair: wire.Pair) -> None:
    x = wire.exchange(
        pair.format,
        serialise({"model": pair.model, "stream_options": {"include_usage": True}}),
        path=path(pair, True),
        stream=True,
    )
    out, _ = wire.answered(x, pair.response, media="application/json")
    body, error = fold(pair.format, EventReader().feed(out))
    assert error is None
    assert normal(pair.format, body) == normal(pair.format, parse(pair.response))


def normal(format: Format, body: Any) -> Any:
    """Without what a stream cannot tell: absent or null, indexes of tool calls, null input."""
    if format is Format.OPENAI_CHAT:
        for choice in body["choices"]:
            message = choice["message"]
            for call in message.get("tool_calls") or ():
                call.pop("index", None)
                call.setdefault("type", "function")
                call["function"]["arguments"] = call["function"].get("arguments") or "{}"
            for key in [k for k, v in message.items() if v is None]:
                del message[key]
        body.pop("object", None)
    if format is Format.ANTHROPIC:
        for key in ("stop_sequence", "stop_details", "container", "context_management"):
            if body.get(key) is None:
                body.pop(key, None)
    return body
