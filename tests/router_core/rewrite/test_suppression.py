"""Thinking that is kept from clients of every format: whole streams and bodies, before and after."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import httpx
import openai
import pytest
from hypothesis import given, strategies as st

from router_core.formats import Format
from router_core.formats.translator import FormatTranslator
from router_core.json_document import parse, serialise
from router_core.respond import Responder
from router_core.rewrite.generic import compile_rule
from router_core.rewrite.rule import Origin
from router_core.rewrite.rules import Rules
from router_core.rewrite.schema import RuleConfig
from tests.router_core import wire
from tests.router_core.formats import recordings
from tests.router_core.wire import Pair, recorded

CONFIG = {"on": "answer", "action": "suppress-thinking", "when": {"client": "editor"}}
RULES = Rules([compile_rule(RuleConfig.model_validate(CONFIG), "mine", Origin.USER)])
CHAT, RESPONSES, GEMINI, OLLAMA = (
    Format.OPENAI_CHAT,
    Format.OPENAI_RESPONSES,
    Format.GEMINI,
    Format.OLLAMA,
)
STREAMS = {GEMINI: "/v1beta/models/gemini-3-pro:streamGenerateContent?alt=sse"}


def hidden(format: Format, answer: bytes, *, stream: bool, tool: str = "editor") -> tuple[bytes, Responder]:
    asked = serialise({"model": "m", "stream": stream, "messages": [], "contents": []})
    path = STREAMS.get(format) if stream else None
    x = wire.exchange(format, asked, tool=tool, path=path)
    media = "text/event-stream" if stream else "application/json"
    return wire.answered(x, answer, rules=RULES, media=media, step=7 if stream else 0, model="m")


def choice(**delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


def final(**more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}], **more}


def item(kind: str, index: int, **item: Any) -> dict[str, Any]:
    return {"type": f"response.output_item.{kind}", "output_index": index, "item": item}


def candidate(*parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    content = {"role": "model", **({"parts": list(parts)} if parts else {})}
    return {"candidates": [{"content": content, "index": 0, **more}], "modelVersion": "m"}


CALL = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLED = {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "s"}
THOUGHT = {"text": "hm", "thought": True}
FUNCTION = {"type": "function_call", "id": "fc", "call_id": "c", "name": "f", "arguments": "{}"}
REASONED = {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "x"}
SAID = {"type": "message", "id": "msg", "role": "assistant", "content": []}

STREAMED = [
    # DeepSeek, Qwen: a field of its own, the role in the first chunk alone.
    (
        CHAT,
        [
            choice(role="assistant", content=None, reasoning_content="h"),
            choice(content=None, reasoning_content="m"),
            choice(content="hi", reasoning_content=None),
            choice(tool_calls=[CALL]),
            final(usage={"total_tokens": 3}),
        ],
        [
            choice(role="assistant", content=None),
            choice(content="hi", reasoning_content=None),
            choice(tool_calls=[CALL]),
            final(usage={"total_tokens": 3}),
        ],
    ),
    # OpenRouter: the role in every chunk, reasoning twice over.
    (
        CHAT,
        [
            choice(role="assistant", content="", reasoning="h", reasoning_details=[{"text": "h"}]),
            choice(role="assistant", content="", reasoning="m", reasoning_details=[{"text": "m"}]),
            choice(role="assistant", content="hi"),
            final(),
        ],
        [choice(role="assistant", content=""), choice(role="assistant", content="hi"), final()],
    ),
    # Mistral: parts of the content.
    (
        CHAT,
        [choice(role="assistant", content=""), choice(content=[{"type": "thinking", "thinking": []}]), choice(content="hi"), final()],
        [choice(role="assistant", content=""), choice(content="hi"), final()],
    ),
    # What a reasoning chunk says besides.
    (
        CHAT,
        [{**choice(reasoning="h"), "usage": {"total_tokens": 3}}],
        [{**choice(), "usage": {"total_tokens": 3}}],
    ),
    (
        RESPONSES,
        [
            {"type": "response.created", "response": {"output": [], "reasoning": {"effort": "low"}}},
            item("added", 0, **REASONED),
            {"type": "response.reasoning_summary_text.delta", "output_index": 0, "item_id": "rs", "delta": "hm"},
            item("done", 0, **REASONED),
            item("added", 1, **SAID),
            {"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": "hi"},
            item("done", 1, **SAID),
            item("added", 2, **REASONED),
            item("done", 2, **REASONED),
            item("added", 3, **FUNCTION),
            {"type": "response.completed", "response": {"output": [REASONED, SAID, REASONED, FUNCTION]}},
        ],
        [
            {"type": "response.created", "response": {"output": [], "reasoning": {"effort": "low"}}},
            item("added", 0, **SAID),
            {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "hi"},
            item("done", 0, **SAID),
            item("added", 1, **FUNCTION),
            {"type": "response.completed", "response": {"output": [SAID, FUNCTION]}},
        ],
    ),
    (
        GEMINI,
        [
            candidate(THOUGHT),
            candidate(THOUGHT, {"text": "hi"}),
            candidate(CALLED),
            candidate(THOUGHT, finishReason="STOP"),
        ],
        [candidate({"text": "hi"}), candidate(CALLED), candidate(finishReason="STOP")],
    ),
    # Gemini CLI's envelope.
    (
        GEMINI,
        [{"response": candidate(THOUGHT)}, {"response": candidate(THOUGHT, CALLED), "traceId": "t"}],
        [{"response": candidate(CALLED), "traceId": "t"}],
    ),
]  # fmt: skip


def framed(events: list[dict[str, Any]]) -> bytes:
    return b"".join(b"data: %s\n\n" % serialise(event) for event in events)


@pytest.mark.parametrize(("format", "events", "expected"), STREAMED, ids=[str(f) for f, *_ in STREAMED])
def test_streams(format: Format, events: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    out, responder = hidden(format, framed(events), stream=True)
    assert out == framed(expected)
    assert "mine" in responder.context.fired
    again, responder = hidden(format, out, stream=True)
    assert (again, responder.context.fired) == (out, [])
    shown, _ = hidden(format, framed(events), stream=True, tool="another")
    assert shown == framed(events)


BODIES = [
    (
        CHAT,
        {"choices": [{"message": {"content": None, "reasoning": "h", "reasoning_content": "h", "tool_calls": [CALL]}}]},
        {"choices": [{"message": {"content": None, "tool_calls": [CALL]}}]},
    ),
    (CHAT, {"choices": [{"message": {"content": "hi", "reasoning": "h"}}]}, None),
    (RESPONSES, {"output": [REASONED, SAID, FUNCTION]}, {"output": [SAID, FUNCTION]}),
    (RESPONSES, {"output": [REASONED, {"type": "web_search_call"}, SAID]}, None),
    (GEMINI, candidate(THOUGHT, CALLED), candidate(CALLED)),
    (GEMINI, candidate(THOUGHT, {"text": "hi"}), None),
]  # fmt: skip


@pytest.mark.parametrize(("format", "body", "expected"), BODIES)
def test_bodies_lose_it_where_they_call_a_tool(
    format: Format, body: dict[str, Any], expected: dict[str, Any] | None
) -> None:
    out, _ = hidden(format, serialise(body), stream=False)
    assert out == serialise(expected or body)
    assert hidden(format, out, stream=False)[0] == out


@pytest.mark.parametrize("stream", [True, False])
def test_ollamas_clients_whose_answers_are_always_translated(stream: bool) -> None:
    rules = Rules(RULES.rules, translator=FormatTranslator())
    x = wire.exchange(OLLAMA, serialise({"model": "m", "stream": stream, "messages": []}), tool="editor")
    spoken = [
        choice(role="assistant", reasoning_content="hm"),
        choice(content="hi"),
        choice(tool_calls=[CALL]),
        final(),
    ]
    message = {"role": "assistant", "content": "hi", "reasoning_content": "hm", "tool_calls": [CALL]}
    whole = serialise({"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]})
    out, responder = wire.answered(
        x,
        framed(spoken) if stream else whole,
        wire.provider(CHAT),
        rules=rules,
        media="text/event-stream" if stream else "application/json",
    )
    lines = [parse(line)["message"] for line in out.splitlines()]
    assert responder.context.fired[-1] == "mine"
    assert not any("thinking" in line for line in lines)
    assert "".join(line["content"] for line in lines) == "hi"
    assert [call["function"]["name"] for line in lines for call in line.get("tool_calls", ())] == ["f"]


def test_a_long_body_is_read_as_a_whole() -> None:
    body = {"output": [REASONED, FUNCTION | {"arguments": "x" * (3 << 20)}]}
    out, _ = hidden(RESPONSES, serialise(body), stream=False)
    assert parse(out)["output"][0]["type"] == "function_call"


@dataclass(frozen=True)
class Changed(Pair):
    body: bytes = b""

    @property
    def response(self) -> bytes:
        return self.body


@recorded(lambda pair: pair.status == 200)
def test_recorded_answers_mean_the_same_without_thinking(pair: Pair) -> None:
    out, _ = hidden(pair.format, pair.response, stream=pair.streams)
    changed = Changed(**{**pair.__dict__, "body": out})
    before, after = recordings.meaning(pair), recordings.meaning(changed)
    if pair.streams:
        assert after.reasoning == ""
    assert replace(after, reasoning="", signatures=0) == replace(before, reasoning="", signatures=0)


RESPONSE_STREAMS = [
    pair
    for pair in wire.pairs()
    if pair.format is RESPONSES and pair.streams and b'"type":"reasoning"' in pair.response
][:24]


@pytest.mark.skipif(not RESPONSE_STREAMS, reason="no recorded wire data; set DETOUR_WIRE_CORPUS")
def test_the_sdk_finds_every_item_where_the_events_say() -> None:
    # It refuses some recordings as they are.
    known = {pair: kinds for pair in RESPONSE_STREAMS if (kinds := read(pair.response)) is not None}
    thinking = {pair: kinds for pair, kinds in known.items() if "reasoning" in kinds}
    assert len(thinking) > 2
    for pair, kinds in known.items():
        out, _ = hidden(RESPONSES, pair.response, stream=True)
        assert read(out) == [kind for kind in kinds if kind != "reasoning"], pair


def read(body: bytes) -> list[str] | None:
    """The kinds of the items that OpenAI's library collects from a stream; None where it refuses it."""

    def respond(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=body)

    http = httpx.Client(transport=httpx.MockTransport(respond))
    client = openai.OpenAI(api_key="k", base_url="http://detour.test/v1", http_client=http, max_retries=0)
    try:
        with client.responses.stream(model="m", input="hi") as stream:
            return [item.type for item in stream.get_final_response().output]
    except (openai.OpenAIError, RuntimeError, ValueError, LookupError):
        return None


@given(st.data())
def test_any_cut_gives_the_same_stream(data: st.DataObject) -> None:
    format, events, expected = data.draw(st.sampled_from([s for s in STREAMED if s[0] is RESPONSES]))
    whole = framed(events)
    x = wire.exchange(format, serialise({"model": "m", "stream": True}), tool="editor")
    step = data.draw(st.integers(1, len(whole)))
    out, _ = wire.answered(x, whole, rules=RULES, media="text/event-stream", step=step, model="m")
    assert out == framed(expected)
