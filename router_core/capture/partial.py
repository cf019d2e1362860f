"""What a stream had said when it broke off: its text, thinking and tool calls, joined piece by piece."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from router_core.formats import Format
from router_core.sse import Event

type Said = tuple[object, str, str, str]
"""(slot, kind, name, text): pieces of one slot and kind belong together, and a name may come with any of them."""


def heard(format: Format, events: Iterable[Event]) -> list[tuple[str, str, str]]:
    """(kind, name, text) of each part that `events` began, in order; kinds are text, thinking and call."""
    parts: dict[tuple[object, str], list[str]] = {}
    names: dict[tuple[object, str], str] = {}
    read = _READERS[format]
    for event in events:
        try:
            document = orjson.loads(event.data or b"null")
        except ValueError:
            continue
        if not isinstance(document, dict):
            continue
        try:
            pieces = list(read(document))
        except (TypeError, AttributeError, KeyError):
            continue
        for slot, kind, name, text in pieces:
            parts.setdefault((slot, kind), []).append(text if isinstance(text, str) else "")
            if name:
                names[slot, kind] = name
    return [(kind, names.get((slot, kind), ""), "".join(texts)) for (slot, kind), texts in parts.items()]


def _anthropic(event: dict[str, Any]) -> Iterable[Said]:
    slot = event.get("index", 0)
    block, delta = event.get("content_block") or {}, event.get("delta") or {}
    if block.get("type", "").endswith("tool_use"):
        yield slot, "call", block.get("name", ""), ""
    for kind, source, key in (
        ("text", block, "text"),
        ("text", delta, "text"),
        ("thinking", delta, "thinking"),
        ("call", delta, "partial_json"),
    ):
        if source.get(key):
            yield slot, kind, "", source[key]


def _chat(event: dict[str, Any]) -> Iterable[Said]:
    choices = event.get("choices") or ([event] if "message" in event else [])
    for number, choice in enumerate(choices):
        slot, delta = choice.get("index", number), choice.get("delta") or choice.get("message") or {}
        if thinking := delta.get("reasoning_content") or delta.get("reasoning") or delta.get("thinking"):
            yield slot, "thinking", "", thinking
        if delta.get("content"):
            yield slot, "text", "", delta["content"]
        for place, call in enumerate(delta.get("tool_calls") or []):
            function = call.get("function") or {}
            arguments = function.get("arguments") or ""
            text = arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()
            yield (slot, call.get("index", place)), "call", function.get("name") or "", text


def _responses(event: dict[str, Any]) -> Iterable[Said]:
    slot, kind = event.get("output_index", 0), event.get("type", "")
    if kind == "response.output_item.added" and str(event["item"].get("type")).endswith("_call"):
        yield slot, "call", event["item"].get("name", ""), ""
    elif kind.endswith("_text.delta"):
        yield slot, "thinking" if "reasoning" in kind else "text", "", event.get("delta", "")
    elif kind.endswith(("_arguments.delta", "_input.delta")):
        yield slot, "call", "", event.get("delta", "")


def _gemini(event: dict[str, Any]) -> Iterable[Said]:
    for number, candidate in enumerate(event.get("candidates") or []):
        slot = candidate.get("index", number)
        for part in (candidate.get("content") or {}).get("parts") or []:
            if part.get("text"):
                yield slot, "thinking" if part.get("thought") else "text", "", part["text"]
            elif call := part.get("functionCall"):
                yield (
                    (slot, id(part)),
                    "call",
                    call.get("name", ""),
                    orjson.dumps(call.get("args", {})).decode(),
                )


_READERS = {
    Format.ANTHROPIC: _anthropic,
    Format.OPENAI_CHAT: _chat,
    Format.OPENAI_RESPONSES: _responses,
    Format.GEMINI: _gemini,
    Format.OLLAMA: _chat,
}
