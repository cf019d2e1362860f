"""Requests without the carriers in them, for upstreams of the client's own format.

A conversation that was translated for a while carries other formats' reasoning in opaque strings
(`router_core.formats.carrier`). The provider whose format it is would refuse them as damaged signatures of
its own. What is left alone is shared with the document that was given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from router_core.formats import Format, compaction
from router_core.formats.anthropic.thinking import loop_without_thinking
from router_core.formats.carrier import MARK

type Json = Any

_GONE: Final = object()
_PLAIN: Final = ("text", "tool_use")


def without_carriers(format: Format, document: Json) -> Json:
    """`document` without carriers; the same object where it has none."""
    take = _TAKERS.get(format)
    return take(document) if take is not None and isinstance(document, dict) else document


def _carries(value: Json) -> bool:
    return isinstance(value, str) and value.startswith(MARK)


def _list(fields: dict[str, Json], key: str, function: Callable[[Json], Json]) -> dict[str, Json]:
    """`fields` with each item of a list through `function`, without those that it makes `_GONE`."""
    items = fields.get(key)
    if not isinstance(items, list):
        return fields
    rest = iter(items)
    for i, item in enumerate(rest):
        new = function(item)
        if new is not item:
            changed = (*items[:i], new, *map(function, rest))
            return {**fields, key: [item for item in changed if item is not _GONE]}
    return fields


def _anthropic(document: dict[str, Json]) -> Json:
    changed = _list(document, "messages", _message)
    if changed is document:
        return document
    # A message that held nothing else is left out; neighbours of one role are one turn to Anthropic.
    changed["messages"] = [
        m for m in changed["messages"] if not (isinstance(m, dict) and m.get("content") == [])
    ]
    if budgeted(document.get("thinking")) and loop_without_thinking(changed["messages"]):
        # With a thinking budget, the turn that made the calls would have to begin with a signed block.
        del changed["thinking"]
    return changed


def _message(message: Json) -> Json:
    if not isinstance(message, dict) or message.get("role") != "assistant":
        return message
    searches: set[Json] = set()

    def block(native: Json) -> Json:
        # Most of a conversation's blocks are these.
        if not isinstance(native, dict) or (native.get("type") in _PLAIN and "citations" not in native):
            return native
        if _carries(native.get("signature")) or _carries(native.get("data")):
            return _GONE
        content = native.get("content")
        if isinstance(content, list) and any(_carries(i.get("encrypted_content")) for i in _objects(content)):
            searches.add(native.get("tool_use_id"))
            return _GONE
        if native.get("citations"):
            return _list(
                native, "citations", lambda c: _GONE if _carries(_field(c, "encrypted_index")) else c
            )
        return native

    changed = _list(message, "content", block)
    if searches:
        changed = _list(changed, "content", lambda b: _GONE if _field(b, "id") in searches else b)
    return changed


def budgeted(thinking: Json) -> bool:
    """Whether thinking has a budget; what thinks as it likes takes turns without it."""
    return _field(thinking, "type") == "enabled"


def _responses(document: dict[str, Json]) -> Json:
    def item(native: Json) -> Json:
        if not _carries(_field(native, "encrypted_content")):
            return native
        summary = compaction.unpack(native) if native.get("type") in compaction.ITEMS else None
        if summary is None:
            return _GONE
        # It stands for all that was said before.
        said = [{"type": "input_text", "text": summary}]
        return {"type": "message", "role": "user", "content": said}

    return _list(document, "input", item)


def _chat(document: dict[str, Json]) -> Json:
    def detail(entry: Json) -> Json:
        return _GONE if _carries(_field(entry, "signature")) or _carries(_field(entry, "data")) else entry

    def message(native: Json) -> Json:
        if not isinstance(native, dict):
            return native
        changed = _list(native, "reasoning_details", detail)
        if changed is not native:
            # The text beside them is the same foreign reasoning.
            gone = {"reasoning_content", "reasoning"}
            if not changed["reasoning_details"]:
                gone.add("reasoning_details")
            changed = {key: value for key, value in changed.items() if key not in gone}
        return _list(changed, "tool_calls", _unsigned_call)

    return _list(document, "messages", message)


def _unsigned_call(call: Json) -> Json:
    google = _field(_field(call, "extra_content"), "google")
    if not _carries(_field(google, "thought_signature")):
        return call
    return {key: value for key, value in call.items() if key != "extra_content"}


def _gemini(document: dict[str, Json]) -> Json:
    inner = document.get("request")
    if isinstance(inner, dict):
        changed = _gemini(inner)
        return document if changed is inner else {**document, "request": changed}

    def part(native: Json) -> Json:
        for name in ("thoughtSignature", "thought_signature"):
            if _carries(_field(native, name)):
                kept = {key: value for key, value in native.items() if key != name}
                return _GONE if kept == {"text": ""} else kept
        return native

    return _list(document, "contents", lambda c: _list(c, "parts", part) if isinstance(c, dict) else c)


def _field(value: Json, name: str) -> Json:
    return value.get(name) if isinstance(value, dict) else None


def _objects(value: Json) -> list[dict[str, Json]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


_TAKERS: Final[dict[Format, Callable[[dict[str, Json]], Json]]] = {
    Format.ANTHROPIC: _anthropic,
    Format.OPENAI_CHAT: _chat,
    Format.OPENAI_RESPONSES: _responses,
    Format.GEMINI: _gemini,
}
