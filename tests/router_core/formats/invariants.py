"""What each upstream demands of a request beyond its types."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any

from router_core.formats import Format


def assert_holds(format: Format, document: dict[str, Any]) -> None:
    _CHECKS[format](document)
    json.dumps(document, allow_nan=False)


def blocks_of(message: dict[str, Any]) -> list[dict[str, Any]]:
    """The content of an Anthropic message, which may be one text, as blocks."""
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _anthropic(document: dict[str, Any]) -> None:
    assert document["max_tokens"] >= 1
    roles = [message["role"] for message in document["messages"]]
    assert roles[0] == "user"
    assert set(roles) <= {"user", "assistant"}
    assert all(one != two for one, two in pairwise(roles))
    open_calls: list[str] = []
    marks = 0
    for message in document["messages"]:
        blocks = blocks_of(message)
        assert blocks
        marks += sum("cache_control" in block for block in blocks)
        answered = [b["tool_use_id"] for b in blocks if b["type"] == "tool_result"]
        assert answered == open_calls
        # Results stand first.
        assert all(b["type"] == "tool_result" for b in blocks[: len(answered)])
        for block in blocks:
            if block["type"] == "text":
                assert block["text"].strip()
        assert blocks[-1]["type"] not in ("thinking", "redacted_thinking")
        open_calls = [b["id"] for b in blocks if b["type"] == "tool_use"]
        assert len(set(open_calls)) == len(open_calls)
        for id in open_calls:
            assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", id)
    assert not open_calls
    last = document["messages"][-1]
    if last["role"] == "assistant" and blocks_of(last)[-1]["type"] == "text":
        assert not blocks_of(last)[-1]["text"][-1].isspace()
    for tool in document.get("tools", ()):
        if "type" not in tool:
            assert re.fullmatch(r"[a-zA-Z0-9_-]{1,128}", tool["name"])
            assert tool["input_schema"]["type"] == "object"
            assert not {"anyOf", "oneOf", "allOf"} & tool["input_schema"].keys()
    marks += sum(
        "cache_control" in block for block in [*document.get("system", ()), *document.get("tools", ())]
    )
    assert marks <= 4
    thinking = document.get("thinking", {})
    if thinking.get("type") == "enabled":
        assert 1024 <= thinking["budget_tokens"] < document["max_tokens"]
        assert document.get("tool_choice", {}).get("type") not in ("any", "tool")
        assert "temperature" not in document
    assert document.get("temperature", 0) <= 1


def _chat(document: dict[str, Any]) -> None:
    open_calls: list[str] = []
    for message in document["messages"]:
        if message["role"] == "tool":
            assert message["tool_call_id"] == open_calls.pop(0)
            assert isinstance(message["content"], str)
            continue
        assert not open_calls
        if message["role"] == "assistant":
            calls = message.get("tool_calls", ())
            assert calls or message["content"] or message.get("refusal")
            for call in calls:
                assert isinstance(json.loads(call["function"]["arguments"]), dict)
                assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", call["function"]["name"])
                open_calls.append(call["id"])
            assert len(set(open_calls)) == len(open_calls)
            assert all(0 < len(id) <= 64 for id in open_calls)
    assert not open_calls
    for tool in document.get("tools", ()):
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", tool["function"]["name"])
        assert tool["function"]["parameters"]["type"] == "object"
    assert "tool_choice" not in document or document.get("tools")


def _responses(document: dict[str, Any]) -> None:
    assert document["store"] is False
    calls: list[str] = []
    answers: list[str] = []
    assert document["input"]
    for item, following in zip(document["input"], [*document["input"][1:], {}], strict=True):
        if item["type"] == "reasoning":
            assert following.get("role") == "assistant" or following["type"] in (
                ("reasoning", "function_call", "custom_tool_call")
            )
        if item["type"] in ("function_call", "custom_tool_call"):
            calls.append(item["call_id"])
        if item["type"] in ("function_call_output", "custom_tool_call_output"):
            answers.append(item["call_id"])
            assert item["call_id"] in calls
        if item["type"] == "function_call":
            assert isinstance(json.loads(item["arguments"]), dict)
    assert sorted(calls) == sorted(answers)
    assert len(set(calls)) == len(calls)
    assert all(0 < len(id) <= 64 for id in calls)
    for tool in document.get("tools", ()):
        if tool["type"] == "function":
            assert tool["parameters"]["type"] == "object"
            assert tool["strict"] in (True, False)


def _gemini(document: dict[str, Any]) -> None:
    roles = [content["role"] for content in document["contents"]]
    assert roles[0] == "user"
    assert all(one != two for one, two in pairwise(roles))
    open_calls: list[str] = []
    for content in document["contents"]:
        parts = content["parts"]
        assert parts
        answered = [p["functionResponse"]["name"] for p in parts if "functionResponse" in p]
        assert answered == open_calls
        for part in parts:
            if "functionResponse" in part:
                assert isinstance(part["functionResponse"]["response"], dict)
        open_calls = [p["functionCall"]["name"] for p in parts if "functionCall" in p]
        for part in parts:
            if "functionCall" in part:
                assert isinstance(part["functionCall"]["args"], dict)
    assert not open_calls
    for tool in document.get("tools", ()):
        for declaration in tool.get("functionDeclarations", ()):
            _gemini_schema(declaration.get("parameters", {"type": "STRING"}))
            assert re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}", declaration["name"])


FORBIDDEN = {"$schema", "$ref", "$defs", "const", "oneOf", "allOf", "not", "if", "additionalProperties"} | {
    "patternProperties", "exclusiveMinimum", "exclusiveMaximum", "propertyNames", "examples", "$comment"
}  # fmt: skip


def _gemini_schema(schema: dict[str, Any]) -> None:
    assert not FORBIDDEN & schema.keys()
    assert "type" in schema or "anyOf" in schema
    assert all(isinstance(value, str) for value in schema.get("enum", ()))
    assert set(schema.get("required", ())) <= schema.get("properties", {}).keys()
    for inner in (*schema.get("properties", {}).values(), *schema.get("anyOf", ())):
        _gemini_schema(inner)
    if "items" in schema:
        _gemini_schema(schema["items"])


_CHECKS = {
    Format.ANTHROPIC: _anthropic,
    Format.OPENAI_CHAT: _chat,
    Format.OPENAI_RESPONSES: _responses,
    Format.GEMINI: _gemini,
}
