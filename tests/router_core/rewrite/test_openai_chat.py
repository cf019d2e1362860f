"""The rules for Chat Completions and its look-alikes, each by the wire before and after."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from router_core.formats import Format
from router_core.json_document import parse, serialise
from router_core.providers.model import ModelInfo
from router_core.rewrite.shortening import shortened
from router_core.sse import EventReader
from tests.router_core import wire
from tests.router_core.rewrite.cases import Case, Defaults

case = Defaults({"format": Format.OPENAI_CHAT, "model": "gpt-4.1"})
ASK = {"role": "user", "content": "hi"}
SYSTEM = {"role": "system", "content": "be brief"}
LONG = "mcp__" + "x" * 80
HOSTS = {"order": ["moonshotai", "fireworks"], "allow_fallbacks": False}
HOSTED: dict[str, Any] = {
    "quirks": frozenset({"provider_preferences"}),
    "model": "kimi-k2.5",
    "models": (ModelInfo("kimi-k2.5", provider=HOSTS),),
}


def talk(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"messages": [ASK, *messages], **more}


def call(id: str = "call_1", **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": [{"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}}], **more}  # fmt: skip


CASES = [
    case("force-stream", "missing", talk(), talk(stream=True), quirks=frozenset({"force_stream"})),
    case("force-stream", "false", talk(stream=False), talk(stream=True), quirks=frozenset({"force_stream"})),
    case("force-stream", "asked for", talk(stream=True), None, quirks=frozenset({"force_stream"})),
    case("force-stream", "others may choose", talk(stream=False), None),
    case("chat-max-tokens", "reasoning models", talk(max_tokens=5), talk(max_completion_tokens=5), model="gpt-5.4-mini"),
    case("chat-max-tokens", "o4", talk(max_tokens=5), talk(max_completion_tokens=5), model="o4-mini"),
    case("chat-max-tokens", "both given", talk(max_tokens=5, max_completion_tokens=6), talk(max_completion_tokens=6), model="gpt-5"),
    case("chat-max-tokens", "older models take it", talk(max_tokens=5), None, model="gpt-4o"),
    case("chat-max-tokens", "DeepSeek knows the old one", talk(max_completion_tokens=5), talk(max_tokens=5), provider="deepseek",
         model="deepseek-chat"),
    case("chat-max-tokens", "an unknown host is not second-guessed", talk(max_completion_tokens=5), None, provider="vllm", model="qwen3"),
    case("chat-include-usage", "missing", talk(stream=True), talk(stream=True, stream_options={"include_usage": True})),
    case("chat-include-usage", "beside other options", talk(stream=True, stream_options={"include_obfuscation": False}),
         talk(stream=True, stream_options={"include_obfuscation": False, "include_usage": True})),
    case("chat-include-usage", "false", talk(stream=True, stream_options={"include_usage": False}),
         talk(stream=True, stream_options={"include_usage": True})),
    case("chat-include-usage", "asked for", talk(stream=True, stream_options={"include_usage": True}), None),
    case("chat-include-usage", "not streaming", talk(), None),
    case("chat-include-usage", "refused there", talk(stream=True), None, quirks=frozenset({"no_stream_options"})),
    case("chat-no-stream-options", "refused there", talk(stream=True, stream_options={"include_usage": True}), talk(stream=True),
         quirks=frozenset({"no_stream_options"})),
    case("chat-ensure-system", "missing", talk(), {"messages": [{"role": "system", "content": "You are a helpful assistant."}, ASK]},
         quirks=frozenset({"ensure_system"})),
    case("chat-ensure-system", "there is one", {"messages": [SYSTEM, ASK]}, None, quirks=frozenset({"ensure_system"})),
    case("chat-ensure-system", "developer is one", {"messages": [ASK, {"role": "developer", "content": "x"}]}, None,
         quirks=frozenset({"ensure_system"})),
    case("openrouter-usage", "missing", talk(), talk(usage={"include": True}), quirks=frozenset({"usage_include"})),
    case("openrouter-usage", "asked for", talk(usage={"include": True}), None, quirks=frozenset({"usage_include"})),
    case("openrouter-usage", "what else stands there stays", talk(usage={"x": 1}), talk(usage={"x": 1, "include": True}),
         quirks=frozenset({"usage_include"})),
    case("openrouter-provider", "nothing chosen", talk(), talk(provider=HOSTS), **HOSTED),
    case("openrouter-provider", "a wish of another kind", talk(provider={"data_collection": "deny"}),
         talk(provider={"data_collection": "deny", **HOSTS}), **HOSTED),
    case("openrouter-provider", "chosen already", talk(provider={"order": ["novita"]}), None, **HOSTED),
    case("openrouter-provider", "sorted already", talk(provider={"sort": "price"}), None, **HOSTED),
    case("openrouter-provider", "no object", talk(provider="novita"), None, **HOSTED),
    case("openrouter-provider", "another model", talk(), None, **HOSTED | {"model": "kimi-k2"}),
    case("openrouter-provider", "another format", {"input": "hi"}, {"input": "hi", "provider": HOSTS},
         format=Format.OPENAI_RESPONSES, **HOSTED),
    case("chat-reasoning-history", "DeepSeek reads reasoning_content", talk({"role": "assistant", "reasoning": "r", "content": "a"}),
         talk({"role": "assistant", "reasoning_content": "r", "content": "a"}), provider="deepseek"),
    case("chat-reasoning-history", "OpenRouter reads reasoning", talk({"role": "assistant", "content": "a", "reasoning_content": "r"}),
         talk({"role": "assistant", "content": "a", "reasoning": "r"}), provider="openrouter"),
    case("chat-reasoning-history", "Mistral refuses both", talk({"role": "assistant", "content": "a", "reasoning_content": "r"}),
         talk({"role": "assistant", "content": "a"}), provider="mistral"),
    case("chat-reasoning-history", "an unknown host", talk({"role": "assistant", "content": "a", "reasoning_content": "r"}), None,
         provider="vllm"),
    case("chat-echo-reasoning", "a blank for what was dropped", talk(call()), talk(call(reasoning_content=" ")),
         quirks=frozenset({"echo_reasoning"})),
    case("chat-echo-reasoning", "kept", talk(call(reasoning_content="r")), None, quirks=frozenset({"echo_reasoning"})),
    case("chat-effort-dialect", "OpenRouter's to OpenAI's", talk(reasoning={"effort": "high"}), talk(reasoning_effort="high"), model="gpt-5"),
    case("chat-effort-dialect", "a budget to OpenAI's", talk(thinking={"type": "enabled", "budget_tokens": 1000}),
         talk(reasoning_effort="low"), model="gpt-5"),
    case("chat-effort-dialect", "to thinking.type", talk(reasoning_effort="none"), talk(thinking={"type": "disabled"}), provider="glm"),
    case("chat-effort-dialect", "to enable_thinking", talk(reasoning_effort="low"), talk(enable_thinking=True, thinking_budget=1024),
         provider="qwen"),
    case("chat-effort-dialect", "OpenRouter knows both of its own", talk(reasoning_effort="low"), None, provider="openrouter"),
    case("chat-effort-dialect", "an unknown host", talk(thinking={"type": "enabled"}), None, provider="vllm"),
    case("chat-vendor-parameters", "Groq", talk(logprobs=True, logit_bias={}), talk(), provider="groq"),
    case("chat-vendor-parameters", "Cerebras", talk(client_metadata={}), talk(), provider="cerebras"),
    case("chat-vendor-parameters", "Mistral's word for it", talk(seed=7), talk(random_seed=7), provider="mistral"),
    case("chat-vendor-parameters", "Grok thinks", talk(stop=["x"], presence_penalty=1), talk(), provider="xai", model="grok-4"),
    case("chat-vendor-parameters", "legal at OpenAI", talk(logprobs=True, stop=["x"]), None),
    case("chat-empty-tools", "refused there", talk(tools=[], tool_choice="auto"), talk(), quirks=frozenset({"drop_empty_tools"})),
    case("chat-empty-tools", "not empty", talk(tools=[{"type": "function"}]), None, quirks=frozenset({"drop_empty_tools"})),
    case("chat-thinking-tool-choice", "while thinking", talk(enable_thinking=True, tool_choice="required"),
         talk(enable_thinking=True, tool_choice="auto"), quirks=frozenset({"tool_choice_auto_when_thinking"})),
    case("chat-thinking-tool-choice", "else it may be forced", talk(tool_choice="required"), None,
         quirks=frozenset({"tool_choice_auto_when_thinking"})),
    case("mistral-tool-ids", "calls and their outputs stay pairs", talk(call(), {"role": "tool", "tool_call_id": "call_1", "content": "x"}),
         talk(call("74196fe72"), {"role": "tool", "tool_call_id": "74196fe72", "content": "x"}), quirks=frozenset({"mistral_tool_ids"})),
    case("mistral-tool-ids", "its own", talk(call("g6fVbXS8K")), None, quirks=frozenset({"mistral_tool_ids"})),
]  # fmt: skip


@pytest.mark.parametrize("case", [*CASES, *(c.again() for c in CASES if c.after is not None)], ids=str)
def test_wire(case: Case) -> None:
    case.check()


def test_long_names_are_shortened_and_restored() -> None:
    body = talk(
        {
            "role": "assistant",
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": LONG, "arguments": "{}"}}],
        },
        tools=[{"type": "function", "function": {"name": LONG, "parameters": {}}}],
        tool_choice={"type": "function", "function": {"name": LONG}},
    )
    x = wire.exchange(Format.OPENAI_CHAT, serialise(body), model="gpt-4.1", stream=True)
    sent = parse(wire.prepared(x).body)
    short = sent["tools"][0]["function"]["name"]
    assert len(short) == 64 and short.startswith("mcp__xxx")
    assert (
        sent["tool_choice"]["function"]["name"]
        == sent["messages"][1]["tool_calls"][0]["function"]["name"]
        == short
    )
    stream = (
        b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c1","function":{"name":"%s"}}]}}]}\n\n'
        b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n' % short.encode()
    )
    out, _ = wire.answered(x, stream, media="text/event-stream", step=9)
    assert out == stream.replace(short.encode(), LONG.encode())
    assert "chat-long-names" in x.fired


@pytest.mark.parametrize(
    ("base", "sent", "expected"),
    [
        ("deepseek", {"reasoning_effort": "high", "max_completion_tokens": 9}, {"max_tokens": 9, "thinking": {"type": "enabled"}}),
        ("mistral", {"user": "u", "seed": 1}, {"random_seed": 1}),
        ("openai-compatible", {"user": "u", "thinking": {}}, {"user": "u", "thinking": {}}),
    ],
)  # fmt: skip
def test_a_provider_is_told_what_the_one_that_it_extends_takes(base: str, sent: Any, expected: Any) -> None:
    to = replace(wire.provider(Format.OPENAI_CHAT, "second"), lineage=("first", base))
    out = wire.prepared(wire.exchange(Format.OPENAI_CHAT, serialise(talk(**sent)), model="m"), to)
    assert parse(out.body) == talk(**expected)


@pytest.mark.parametrize("wrap", [
    lambda tool: {"tools": [tool]},
    lambda tool: {"tool_choice": tool},
    lambda tool: {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [tool]}}},
    lambda tool: {"messages": [{"role": "assistant", "tool_calls": [{"id": "c", **tool}]}]},
])  # fmt: skip
@pytest.mark.parametrize("kind", ["function", "custom"])
def test_a_long_name_is_short_wherever_it_stands(wrap: Callable[[Any], Any], kind: str) -> None:
    def sent(name: str) -> bytes:
        return serialise({"model": "gpt-4.1", "messages": [], **wrap({"type": kind, kind: {"name": name}})})

    out = wire.prepared(wire.exchange(Format.OPENAI_CHAT, sent(LONG), model="gpt-4.1"))
    assert out.body == sent(shortened(LONG))


def test_a_long_name_is_restored_in_an_answer_of_any_length() -> None:
    x = wire.exchange(
        Format.OPENAI_CHAT, serialise(talk(tools=[{"type": "function", "function": {"name": LONG}}]))
    )
    call = {
        "id": "c",
        "type": "function",
        "function": {"name": shortened(LONG), "arguments": "y" * (3 << 20)},
    }
    body = serialise({"choices": [{"message": {"tool_calls": [call]}}]})
    out, _ = wire.answered(x, body, step=100_000)
    assert out == body.replace(shortened(LONG).encode(), LONG.encode())


@pytest.mark.parametrize("ascii", [True, False])
@pytest.mark.parametrize("letter", ["ü", "\U0001f98c", "\ud800"], ids=ascii)
def test_a_long_name_is_restored_however_its_letters_are_spelled(letter: str, ascii: bool) -> None:
    long = letter * 70
    body = talk(tools=[{"type": "function", "function": {"name": long}}])
    x = wire.exchange(Format.OPENAI_CHAT, serialise(body), model="gpt-4.1", stream=True)
    called = {"choices": [{"index": 0, "delta": {"tool_calls": [{"function": {"name": shortened(long)}}]}}]}
    data = json.dumps(called, ensure_ascii=ascii or letter == "\ud800").encode()
    out, _ = wire.answered(x, b"data: " + data + b"\n\n", media="text/event-stream")
    (event,) = EventReader().feed(out)
    assert event.document["choices"][0]["delta"]["tool_calls"][0]["function"]["name"] == long


CHUNK = b'data: {"id":"1","choices":[{"index":0,"delta":{"content":"a"}}],"usage":null}\n\n'
USAGE = b'data: {"id":"1","choices":[],"usage":{"prompt_tokens":1}}\n\n'
DONE = b"data: [DONE]\n\n"


def test_the_usage_chunk_is_taken_out_for_a_client_that_did_not_ask() -> None:
    x = wire.exchange(Format.OPENAI_CHAT, b'{"model":"gpt-4.1","stream":true,"messages":[]}')
    out, _ = wire.answered(x, CHUNK + USAGE + DONE, media="text/event-stream", step=5)
    assert out == CHUNK + DONE
    assert x.fired == ["chat-include-usage"]


def test_the_usage_chunk_stays_for_a_client_that_asked() -> None:
    body = b'{"model":"gpt-4.1","stream":true,"messages":[],"stream_options":{"include_usage":true}}'
    x = wire.exchange(Format.OPENAI_CHAT, body)
    out, _ = wire.answered(x, CHUNK + USAGE + DONE, media="text/event-stream")
    assert out == CHUNK + USAGE + DONE


def test_usage_beside_choices_stays() -> None:
    stream = (
        b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}\n\n'
    )
    x = wire.exchange(Format.OPENAI_CHAT, b'{"model":"gpt-4.1","stream":true,"messages":[]}')
    assert wire.answered(x, stream, media="text/event-stream")[0] == stream


def test_a_forced_stream_is_folded_for_its_client() -> None:
    x = wire.exchange(Format.OPENAI_CHAT, b'{"model":"gpt-5.5","messages":[]}')
    to = wire.provider(Format.OPENAI_CHAT, "codebuddy", quirks={"force_stream"})
    out, responder = wire.answered(x, CHUNK + USAGE + DONE, to, media="text/event-stream", step=3)
    assert parse(out) == {
        "id": "1",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": None}],
        "usage": {"prompt_tokens": 1},
    }
    assert dict(responder.headers)["content-type"] == "application/json"
