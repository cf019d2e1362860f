"""Answers that are event streams: event by event into the client's stream, or folded into one body."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from router_core.body_pipes import MAX_WHOLE
from router_core.encoding import DecodingError
from router_core.fold import fold
from router_core.formats import Format
from router_core.formats.errors import WireError, error_body
from router_core.formats.failures import read_event, wire
from router_core.framing import Framing
from router_core.json_document import serialise, splice
from router_core.observing import Show
from router_core.rewrite.stage import Stage
from router_core.sse import Event, Reader
from router_core.translator import EventTranslator


class Incoming:
    """The upstream's events, shown to the observer, after the rules of the upstream's format and translated."""

    def __init__(
        self, reader: Reader, upstream: Stage, translator: EventTranslator | None, show: Show
    ) -> None:
        self._reader = reader
        self._upstream = upstream
        self._translator = translator
        self._show = show

    def feed(self, data: bytes) -> Iterator[Event]:
        for event in self._reader.feed(data):
            yield from self._taken(event)

    def close(self) -> Iterator[Event]:
        for event in self._reader.close():
            yield from self._taken(event)
        if self._translator is not None:
            yield from self._translator.close()

    def quiet(self, data: bytes) -> bool:
        """Whether `data` is whole events of which nobody wants to see one."""
        return (
            self._translator is None
            and self._reader.whole(data)
            and self._upstream.quiet(data)
            and self._show.to.passes_over(data)
        )

    def _taken(self, event: Event) -> Iterator[Event]:
        self._show.to.event(event)
        changed = self._upstream.event(event)
        if changed is None:
            return
        if self._translator is None:
            yield changed
        else:
            yield from self._translator.feed(changed)


BLANKS = (b"\n\n", b"\r\n\r\n")
"""What ends an event."""


class PassingPipe:
    """A stream that nobody reads or changes, of which it is known where it stands, should it break off."""

    def __init__(self, framing: Framing) -> None:
        self.framing = framing
        self._begun = bytearray()
        """Of an event whose end has not come."""

    def feed(self, data: bytes) -> bytes:
        if not self._begun and data.endswith(b"\n\n"):
            self.framing.event(Event(data), True)
            return data
        start = max(len(self._begun) - 3, 0)
        self._begun += data
        ends = (
            self._begun.rfind(blank, start) + len(blank) for blank in BLANKS if blank in self._begun[start:]
        )
        if end := max(ends, default=0):
            self.framing.event(Event(bytes(self._begun[:end])), True)
            del self._begun[:end]
        return data

    def close(self) -> bytes:
        return b""

    def error(self, error: WireError) -> bytes:
        # An event that is cut off ends first.
        return (b"\n\n" if self._begun else b"") + self.framing.error(error)


class EventPipe:
    """Event by event, into a stream."""

    def __init__(self, incoming: Incoming, client: Stage, framing: Framing, kept: bool) -> None:
        """`kept` says that an event which nobody changes stays as it is framed."""
        self._incoming = incoming
        self._client = client
        self.framing = framing
        self._kept = kept

    def feed(self, data: bytes) -> bytes:
        # Upstreams mostly send whole events, and most of them are a few words that concern no rule.
        if self._kept and self._incoming.quiet(data) and self._client.quiet(data):
            return self.framing.event(Event(data), True)
        return b"".join([self._written(event) for event in self._incoming.feed(data)])

    def close(self) -> bytes:
        return b"".join([self._written(event) for event in self._incoming.close()]) + self.framing.end()

    def error(self, error: WireError) -> bytes:
        return self.framing.error(error)

    def _written(self, event: Event) -> bytes:
        changed = self._client.event(event)
        return b"" if changed is None else self.framing.event(changed, self._kept)


class FoldPipe:
    """Event by event, folded into one body for a client that did not ask for a stream."""

    framing = None

    def __init__(
        self, incoming: Incoming, client: Stage, format: Format, failed: Callable[[int], None]
    ) -> None:
        self._incoming = incoming
        self._client = client
        self._format = format
        self._failed = failed
        self._events: list[Event] = []
        self._size = 0

    def feed(self, data: bytes) -> bytes:
        self._size += len(data)
        if self._size > MAX_WHOLE:
            raise DecodingError(f"it is over {MAX_WHOLE >> 20} MiB")
        self._events.extend(self._incoming.feed(data))
        return b""

    def close(self) -> bytes:
        self._events.extend(self._incoming.close())
        body, error = fold(self._format, self._events)
        if error is not None:
            found = wire(self._format, read_event(error))
            self._failed(found.status)
            return error_body(self._format, found)
        raw = serialise(body)
        changed = self._client.body(body, raw)
        return raw if changed is body else splice(raw, body, changed)

    def error(self, error: WireError) -> bytes:
        self._failed(error.status)
        return error_body(self._format, error)
