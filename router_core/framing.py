"""How events stand in a client's stream: as an event stream, a JSON array, or lines."""

from __future__ import annotations

from typing import Any, Protocol

from router_core.formats import Format
from router_core.formats.errors import WireError, error_body, error_event, gemini_error
from router_core.json_document import parse
from router_core.sse import Event, EventReader, encode


class Framing(Protocol):
    """How events stand in the client's stream."""

    media: str

    def event(self, event: Event, kept: bool) -> bytes:
        """An event's bytes; `kept` says that it still has the upstream's framing, which is the same. Then several
        in a row may stand in the place of one."""
        ...

    def end(self) -> bytes: ...

    def error(self, error: WireError) -> bytes: ...


def wants_events(path: str) -> bool:
    """Whether a client of Gemini's asks for an event stream, where a JSON array is what it gets otherwise."""
    return "alt=sse" in path.partition("?")[2].split("&")


class SseFraming:
    media = "text/event-stream"

    def __init__(self, format: Format) -> None:
        self._format = format
        self._first = self._last = b""

    def event(self, event: Event, kept: bool) -> bytes:
        if not kept:
            event = self._framed(event)
        # Only an error needs to know the first and the last one: nothing is read here.
        if b"data" in event.raw:
            self._last = event.raw
            self._first = self._first or event.raw
        return event.raw

    def end(self) -> bytes:
        return b""

    def error(self, error: WireError) -> bytes:
        return error_event(self._format, error, self._sequence(), self._response())

    def _framed(self, event: Event) -> Event:
        data = event.data
        if data is None:
            # Comments keep a connection alive; Google's streams have none, and its libraries read none.
            comment = event.raw.startswith(b":") and self._format is not Format.GEMINI
            return event if comment else Event(b"", parsed=True)
        if self._format is Format.GEMINI and data.startswith(b'{"error"'):
            raw = gemini_error(data)
        elif self._format is Format.GEMINI:
            # Google's libraries read one line an event; an element of its arrays stands on many.
            raw = b"data: %s\r\n\r\n" % b" ".join(map(bytes.strip, data.splitlines()))
        else:
            raw = encode(event.name, data)
        return Event(raw, event.name, data, parsed=True)

    def _sequence(self) -> int:
        try:
            return int(_documents(self._last)[-1]["sequence_number"]) + 1
        except (ValueError, TypeError, KeyError, IndexError):
            return 0

    def _response(self) -> dict[str, Any] | None:
        try:
            response = _documents(self._first)[0]["response"]
        except (ValueError, TypeError, KeyError, IndexError):
            return None
        return response if isinstance(response, dict) else None


def _documents(events: bytes) -> list[Any]:
    """The JSON values of whole events. Raises ValueError where one is none."""
    reader = EventReader()
    return [parse(event.data) for event in reader.feed(events) + reader.close() if event.data]


class ArrayFraming:
    """A JSON array, as Gemini's clients get it that do not ask for ``alt=sse``."""

    media = "application/json"

    def __init__(self) -> None:
        self._begun = False
        self._ended = False

    def event(self, event: Event, kept: bool) -> bytes:
        if event.data is None:
            if kept and b"]" in event.raw:
                self._ended = True
                return event.raw if self._begun else b"[" + event.raw.lstrip(b"[")
            return b"" if not kept else event.raw
        before = b"," if self._begun else b"["
        if kept:
            space = event.raw[: len(event.raw) - len(event.data)]
            before = space if (b"[" in space) is not self._begun else before
        self._begun = True
        return before + event.data

    def end(self) -> bytes:
        if self._ended:
            return b""
        self._ended = True
        return b"]" if self._begun else b"[]"

    def error(self, error: WireError) -> bytes:
        self._ended = True
        return (b"," if self._begun else b"[") + error_body(Format.GEMINI, error) + b"]"


class LineFraming:
    """One JSON text a line, as Ollama's clients get it."""

    media = "application/x-ndjson"

    def event(self, event: Event, kept: bool) -> bytes:
        return (event.data or b"") + b"\n" if event.data else b""

    def end(self) -> bytes:
        return b""

    def error(self, error: WireError) -> bytes:
        return error_event(Format.OLLAMA, error)
