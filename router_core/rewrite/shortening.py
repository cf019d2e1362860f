"""Names and ids that are too long for an upstream, shortened on the way there and restored on the way back."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final

from router_core.json_document import Json
from router_core.rewrite.context import Context
from router_core.rewrite.rule import Look
from router_core.rewrite.trees import at

LIMIT: Final = 64
"""Characters of a tool's name, an item's id and a call_id at OpenAI."""
STATE: Final = "shortened"
_DIGEST: Final = 16
_RESTORED: Final = frozenset({"name", "call_id", "id", "item_id", "tool_call_id"})
_MAX_DEPTH: Final = 24

type Shorten = Callable[[str], str]


def shortened(text: str, limit: int = LIMIT) -> str:
    """`text` in at most `limit` characters: its beginning, which may be a type prefix, and a digest of it all.

    The same text always gives the same result, so calls and their outputs stay pairs.
    """
    if len(text) <= limit:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]
    return f"{text[: limit - _DIGEST - 1]}_{digest}"


def shortener(context: Context) -> Shorten:
    """A function that shortens and notes what it did for the answer."""
    known: dict[str, str] = context.state.setdefault(STATE, {})

    def shorten(text: str) -> str:
        short = shortened(text)
        if short is not text:
            known[short] = text
        return short

    return shorten


def field(item: dict[str, Any], key: str, shorten: Shorten) -> dict[str, Any]:
    value = item.get(key)
    if not isinstance(value, str) or len(value) <= LIMIT:
        return item
    return item | {key: shorten(value)}


def tools(body: dict[str, Any], shorten: Shorten, *, nested: bool) -> dict[str, Any]:
    """The names in ``tools`` and ``tool_choice``; `nested` as Chat Completions has them."""

    def tool(value: Json) -> Json:
        if not isinstance(value, dict):
            return value
        if not nested:
            # Namespaces of tools hold tools, and so does a choice among some of them.
            return at(field(value, "name", shorten), "tools", tool)
        allowed = value.get("allowed_tools")
        if isinstance(allowed, dict):
            return within(value, "allowed_tools", at(allowed, "tools", tool))
        return named(value, shorten)

    body = at(body, "tools", tool)
    choice = body.get("tool_choice")
    return within(body, "tool_choice", tool(choice)) if isinstance(choice, dict) else body


def named(value: Json, shorten: Shorten) -> Json:
    """A tool or a call of one in Chat Completions, which has its name one level below."""
    for kind in ("function", "custom"):
        inner = value.get(kind) if isinstance(value, dict) else None
        if isinstance(inner, dict):
            return within(value, kind, field(inner, "name", shorten))
    return value


def within(body: dict[str, Any], key: str, value: Json) -> dict[str, Any]:
    return body if body.get(key) is value else body | {key: value}


def restore(value: Json, context: Context) -> Json:
    """The client's own names and ids wherever an answer repeats the short ones."""
    return _restored(value, context.state[STATE], 0)


def _restored(value: Json, known: dict[str, str], depth: int) -> Json:
    if depth > _MAX_DEPTH:
        return value
    if isinstance(value, list):
        items = [_restored(item, known, depth + 1) for item in value]
        return value if all(a is b for a, b in zip(items, value, strict=True)) else items
    if not isinstance(value, dict):
        return value
    changed: dict[str, Json] = {}
    for key, item in value.items():
        if isinstance(item, str):
            if key in _RESTORED and item in known:
                changed[key] = known[item]
        elif isinstance(item, dict | list) and (new := _restored(item, known, depth + 1)) is not item:
            changed[key] = new
    return value | changed if changed else value


def repeated(context: Context) -> Look:
    """Whether bytes of an answer hold a text that was shortened for it."""
    state = context.state
    # The digest is spelled in one way only; what stands before it may be escaped.
    return lambda raw: any(short[-_DIGEST:].encode() in raw for short in state[STATE])
