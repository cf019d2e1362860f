"""A stream folded into the JSON answer that it amounts to, and a JSON answer unfolded into a stream.

One format to the same format: everything that the upstream said is kept, also what Detour does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from router_core.fold import anthropic, gemini, ollama, openai_chat, openai_responses
from router_core.fold.events import Named, UnfoldError
from router_core.formats import Format
from router_core.json_document import Json
from router_core.sse import Event

__all__ = ["UnfoldError", "fold", "is_error", "unfold"]

_FOLDS: Final[dict[Format, Callable[[list[tuple[str | None, Json]]], Json]]] = {
    Format.ANTHROPIC: anthropic.fold,
    Format.OPENAI_CHAT: openai_chat.fold,
    Format.OPENAI_RESPONSES: openai_responses.fold,
    Format.GEMINI: gemini.fold,
    Format.OLLAMA: ollama.fold,
}
_UNFOLDS: Final[dict[Format, Callable[[Json], list[Event]]]] = {
    Format.ANTHROPIC: anthropic.unfold,
    Format.OPENAI_CHAT: openai_chat.unfold,
    Format.OPENAI_RESPONSES: openai_responses.unfold,
    Format.GEMINI: gemini.unfold,
    Format.OLLAMA: ollama.unfold,
}


def fold(format: Format, events: Iterable[Event]) -> tuple[Json, bytes | None]:
    """(body, None), or (None, data of the error event that the stream holds or None where it is cut off)."""
    parsed: list[tuple[str | None, Json]] = []
    done = False
    for event in events:
        data = event.data
        if not data:
            continue
        if data.strip() == b"[DONE]":
            done = True
            continue
        try:
            value = event.document
        except ValueError:
            continue
        if is_error(format, event.name, value):
            return None, data
        if isinstance(value, dict):
            parsed.append((event.name, value))
    try:
        body = _FOLDS[format](parsed)
        if not done and format in _ENDS and not _ENDS[format](parsed, body):
            body = None
    except (KeyError, TypeError, AttributeError):
        body = None
    return (body, None) if body is not None else (None, _CUT_OFF)


def _anthropic_ends(events: list[Named], body: Json) -> bool:
    return bool(body.get("stop_reason")) or any(value.get("type") == "message_stop" for _, value in events)


def _chat_ends(events: list[Named], body: Json) -> bool:
    return any(choice.get("finish_reason") for choice in body["choices"])


_ENDS: Final = {Format.ANTHROPIC: _anthropic_ends, Format.OPENAI_CHAT: _chat_ends}
"""Whether a stream without ``[DONE]`` was whole; the folds of other formats know themselves, or cannot know."""
_CUT_OFF: Final = (
    b'{"error":{"message":"The upstream\'s stream ended before its answer was complete.","code":502}}'
)


def is_error(format: Format, name: str | None, value: Json) -> bool:
    """Whether an event's data, or a body, is an error of `format`."""
    if not isinstance(value, dict):
        return name == "error"
    kind = value.get("type") or name
    if kind in ("error", "response.failed") or name == "error":
        return True
    if format is Format.OPENAI_RESPONSES and (kind or "object" in value):
        return False  # it says of itself whether it failed
    return format is not Format.ANTHROPIC and bool(value.get("error"))


def unfold(format: Format, body: Json) -> list[Event]:
    """The events of a stream that says what `body` says. Raises UnfoldError where it is no answer."""
    try:
        return _UNFOLDS[format](body)
    except (KeyError, TypeError, AttributeError):
        raise UnfoldError("The upstream's answer has another shape than its format.") from None
