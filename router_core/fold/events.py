"""What all formats need to fold and unfold."""

from __future__ import annotations

import json
from typing import Any

from router_core.json_document import Json, serialise
from router_core.sse import Event, encode

type Named = tuple[str | None, Json]
"""An event's name and its parsed data."""


class UnfoldError(ValueError):
    """The body is no answer that could be a stream; `is_error` says that it is an error instead."""

    def __init__(self, message: str, *, is_error: bool = False) -> None:
        super().__init__(message)
        self.is_error = is_error


def new_event(name: str | None, value: Json) -> Event:
    data = serialise(value)
    return Event(encode(name, data), name, data, parsed=True)


def arguments(text: str) -> dict[str, Any]:
    """The object that a tool call's arguments spell, integers of any size kept; empty for none or a cut text."""
    try:
        value = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def concatenated(old: Json, new: Json) -> Json:
    """A text continued, a list extended, anything else replaced unless the new value is null."""
    if isinstance(old, str) and isinstance(new, str):
        return old + new
    if isinstance(old, list) and isinstance(new, list):
        return old + new
    return old if new is None else new
