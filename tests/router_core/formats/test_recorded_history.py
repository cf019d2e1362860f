"""Every recorded answer, kept by a client of another format, is given back to its model as that said it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from router_core.fold import fold
from router_core.formats import Format
from router_core.formats.answer import Answer
from router_core.formats.memory import SessionStore
from router_core.sse import EventReader
from tests.router_core.formats import turns
from tests.router_core.formats.invariants import assert_holds
from tests.router_core.formats.translated import UPSTREAMS, asks
from tests.router_core.wire import Pair, recorded

A, C, R, G = Format.ANTHROPIC, Format.OPENAI_CHAT, Format.OPENAI_RESPONSES, Format.GEMINI
GO_ON = "Go on."
SPLICED = "spliced-message-start"
"""Begins again in its middle: what came before that is void for some clients and not for others."""

type Said = list[dict[str, Any]]
"""What a model said, as the items, blocks or parts of its format; one message for Chat."""


def whole(pair: Pair) -> Any:
    if not pair.streams:
        document = json.loads(pair.response)
        return document[0] if isinstance(document, list) else document
    reader = EventReader()
    body, error = fold(pair.format, [*reader.feed(pair.response), *reader.close()])
    return body if error is None else {}


def said(format: Format, answer: Any) -> Said:
    match format:
        case Format.ANTHROPIC:
            return list(answer.get("content", ()))
        case Format.OPENAI_CHAT:
            return [choice["message"] for choice in answer.get("choices", ())[:1]]
        case Format.OPENAI_RESPONSES:
            return list(answer.get("output", ()))
    candidates = answer.get("candidates", ())
    return list(((candidates or [{}])[0].get("content") or {}).get("parts", ()))


def given_back(format: Format, document: Any) -> Said:
    """The model's turn in a request."""
    match format:
        case Format.ANTHROPIC:
            turn = next((m["content"] for m in document["messages"] if m["role"] == "assistant"), [])
            return [{"type": "text", "text": turn}] if isinstance(turn, str) else turn
        case Format.OPENAI_CHAT:
            return [m for m in document["messages"] if m["role"] == "assistant"]
        case Format.OPENAI_RESPONSES:
            return [item for item in document["input"] if item["type"] in ("reasoning", "function_call")]
    return next((c["parts"] for c in document["contents"] if c["role"] == "model"), [])


def needed(format: Format, items: Said) -> list[Any]:
    """What a model wants back unchanged: its calls with their ids, and its reasoning with what proves it."""
    return list(_NEEDED[format](items))


def _anthropic(items: Said) -> Iterator[Any]:
    for block in items:
        match block["type"]:
            case "tool_use":
                yield block["id"], block["name"], block["input"]
            case "thinking" | "redacted_thinking":
                yield block


def _chat(items: Said) -> Iterator[Any]:
    for message in items:
        content = message.get("content") or ()
        thoughts = [block for block in content if isinstance(block, dict) and block["type"] == "thinking"]
        told = "".join(text["text"] for block in thoughts for text in block["thinking"])
        told = told or message.get("reasoning_content") or message.get("reasoning") or ""
        if told and not message.get("reasoning_details"):
            yield told
        for call in message.get("tool_calls") or ():
            yield call["id"], call["function"]["name"], arguments(call["function"]["arguments"])


def _responses(items: Said) -> Iterator[Any]:
    for item in items:
        if item["type"] == "function_call":
            yield item["call_id"], item["name"], arguments(item["arguments"])
        elif item["type"] == "reasoning" and item.get("encrypted_content"):
            yield item.get("id"), item["encrypted_content"]


def _gemini(items: Said) -> Iterator[Any]:
    for part in items:
        if call := part.get("functionCall"):
            yield call["name"], call.get("args") or {}, part.get("thoughtSignature")
        elif part.get("thoughtSignature"):
            yield part["thoughtSignature"]


def arguments(text: str) -> Any:
    """Those that are cut off are no more than the beginning of an object."""
    try:
        return json.loads(text or "{}")
    except ValueError:
        return {}


_NEEDED: dict[Format, Callable[[Said], Iterator[Any]]] = {
    A: _anthropic,
    C: _chat,
    R: _responses,
    G: _gemini,
}
_CALLS: dict[Format, Callable[[dict[str, Any]], tuple[str, str] | None]] = {
    A: lambda block: (block["id"], block["name"]) if block["type"] == "tool_use" else None,
    R: lambda item: (item["call_id"], item["name"]) if item["type"] == "function_call" else None,
    G: lambda part: (
        (part["functionCall"]["id"], part["functionCall"]["name"]) if "functionCall" in part else None
    ),
}


def follow(client: Format, opening: dict[str, Any], items: Said) -> dict[str, Any]:
    """The client's next request: what was said, and what the calls gave, or that the model is to go on."""
    if client is C:
        calls = [(call["id"], "") for message in items for call in message.get("tool_calls") or ()]
    else:
        calls = [call for item in items if (call := _CALLS[client](item))]
    match client:
        case Format.ANTHROPIC:
            results: Said = [{"type": "tool_result", "tool_use_id": id, "content": "x"} for id, _ in calls]
            user = {"role": "user", "content": results or GO_ON}
            turn = [{"role": "assistant", "content": items}] if items else []
            return {**opening, "messages": [*opening["messages"], *turn, user]}
        case Format.OPENAI_CHAT:
            results = [{"role": "tool", "tool_call_id": id, "content": "x"} for id, _ in calls]
            added = results or [{"role": "user", "content": GO_ON}]
            return {**opening, "messages": [*opening["messages"], *items, *added]}
        case Format.OPENAI_RESPONSES:
            results = [{"type": "function_call_output", "call_id": id, "output": "x"} for id, _ in calls]
            added = results or [{"role": "user", "content": GO_ON}]
            return {**opening, "input": [*opening["input"], *items, *added]}
    results = [
        {"functionResponse": {"id": id, "name": name, "response": {"output": "x"}}} for id, name in calls
    ]
    user = {"role": "user", "parts": results or [{"text": GO_ON}]}
    turn = [{"role": "model", "parts": items}] if items else []
    return {**opening, "contents": [*opening["contents"], *turn, user]}


@recorded(lambda pair: pair.status == 200 and SPLICED not in pair.path)
def test_a_model_is_given_back_what_it_said(pair: Pair) -> None:
    answer = whole(pair)
    expected = needed(pair.format, said(pair.format, answer))
    for client in UPSTREAMS:
        if client is pair.format or not expected:
            continue
        session = SessionStore().session("me", "s1")
        opening = turns.first(client)
        asked = asks(client, pair.format, opening, model=pair.model, session=session)
        read = Answer(client, pair.format, asked.context).body(answer)
        following = follow(client, opening, said(client, read))
        document = asks(client, pair.format, following, model=pair.model, session=session).document
        assert_holds(pair.format, document)
        assert needed(pair.format, given_back(pair.format, document)) == expected
