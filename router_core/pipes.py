"""The ways of an answer through Detour: as it came, event by event, or as a whole.

A pipe takes the upstream's bytes in pieces of any size and returns the client's. The stages are always in
one order: decode, cut into events, rules of the upstream's format, translation, rules of the client's
format, folding, framing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from router_core.encoding import Decoder, DecodingError, decode, decoder
from router_core.fold import UnfoldError, fold, is_error, unfold
from router_core.formats import Format
from router_core.formats.errors import WireError, error_body
from router_core.formats.failures import read_body, read_event, wire
from router_core.framing import Framing
from router_core.json_document import Json, parse, serialise, splice
from router_core.rewrite.stage import Stage
from router_core.sse import ArrayReader, Event, EventReader, Reader, looks_like_stream
from router_core.translator import AnswerTranslator, EventTranslator

MAX_WHOLE: Final = 64 << 20
"""Bytes of an answer that is kept in memory because it must change as a whole."""


class Pipe(Protocol):
    def feed(self, data: bytes) -> bytes:
        """The client's bytes for a piece of the upstream's."""
        ...

    def close(self) -> bytes:
        """What is left, once the upstream's answer is complete."""
        ...


class Plain:
    """The bytes as they come."""

    def feed(self, data: bytes) -> bytes:
        return data

    def close(self) -> bytes:
        return b""


class EventPipe:
    """Event by event, into a stream."""

    def __init__(
        self,
        reader: Reader,
        upstream: Stage,
        translator: EventTranslator | None,
        client: Stage,
        framing: Framing,
        kept: bool,
    ) -> None:
        self._reader = reader
        self._upstream = upstream
        self._translator = translator
        self._client = client
        self._framing = framing
        self._kept = kept

    def feed(self, data: bytes) -> bytes:
        return b"".join([self._written(event) for event in self._reader.feed(data)])

    def close(self) -> bytes:
        out = [self._written(event) for event in self._reader.close()]
        if self._translator is not None:
            out += [self._finish(event) for event in self._translator.close()]
        return b"".join(out) + self._framing.end()

    def error(self, error: WireError) -> bytes:
        return self._framing.error(error)

    def _written(self, event: Event) -> bytes:
        changed = self._upstream.event(event)
        if changed is None:
            return b""
        if self._translator is not None:
            return b"".join([self._finish(e) for e in self._translator.feed(changed)])
        changed = self._client.event(changed)
        return b"" if changed is None else self._framing.event(changed, self._kept)

    def _finish(self, event: Event) -> bytes:
        changed = self._client.event(event)
        return b"" if changed is None else self._framing.event(changed, False)


class FoldPipe:
    """Event by event, folded into one body for a client that did not ask for a stream."""

    def __init__(
        self,
        reader: Reader,
        upstream: Stage,
        translator: EventTranslator | None,
        client: Stage,
        format: Format,
        failed: Callable[[int], None],
    ) -> None:
        self._reader = reader
        self._upstream = upstream
        self._translator = translator
        self._client = client
        self._format = format
        self._failed = failed
        self._events: list[Event] = []
        self._size = 0

    def feed(self, data: bytes) -> bytes:
        self._size += len(data)
        if self._size > MAX_WHOLE:
            raise DecodingError(f"it is over {MAX_WHOLE >> 20} MiB")
        for event in self._reader.feed(data):
            self._take(event)
        return b""

    def close(self) -> bytes:
        for event in self._reader.close():
            self._take(event)
        if self._translator is not None:
            self._events += self._translator.close()
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

    def _take(self, event: Event) -> None:
        changed = self._upstream.event(event)
        if changed is not None:
            self._events += [changed] if self._translator is None else self._translator.feed(changed)


class BodyPipe:
    """One JSON body, changed as a whole; unfolded into events for a client that asked for a stream."""

    def __init__(
        self,
        upstream: Stage,
        translator: AnswerTranslator | None,
        client: Stage,
        format: Format,
        framing: Framing | None,
        limit: int,
        whole: bool,
        failed: Callable[[int], None],
        seen: Callable[[Json | bytes], None],
    ) -> None:
        """`seen` is shown the upstream's document, or the bytes of a body that is too long to be read."""
        self._upstream = upstream
        self._translator = translator
        self._client = client
        self._format = format
        self._framing = framing
        self._seen = seen
        self._limit = limit
        self._whole = whole
        self._failed = failed
        self._body = bytearray()
        self._passing = False

    def feed(self, data: bytes) -> bytes:
        if self._passing:
            return data
        self._body += data
        if len(self._body) <= self._limit:
            return b""
        if self._whole:
            raise DecodingError(f"it is over {self._limit >> 20} MiB")
        self._passing = True
        body = bytes(self._body)
        self._body.clear()
        self._seen(body)
        return body

    def close(self) -> bytes:
        if self._passing:
            return b""
        raw = bytes(self._body)
        try:
            before = parse(raw)
        except ValueError:
            if self._framing is None and self._translator is None:
                # Not JSON after all: the client gets what came.
                return raw
            return self.error(WireError(502, "The upstream's answer is no JSON."))
        self._seen(before)
        value = self._upstream.body(before, raw)
        if self._translator is not None:
            before = value = self._translator.body(value)
            raw = serialise(value)
            if self._framing is None and is_error(self._format, None, value):
                self._failed(wire(self._format, read_event(raw)).status)
                return raw
        value = self._client.body(value, raw)
        if self._framing is None:
            return raw if value is before else splice(raw, before, value)
        try:
            events = unfold(self._format, value)
        except UnfoldError as e:
            return self._framing.error(
                wire(self._format, read_body(502, serialise(value))) if e.is_error else WireError(502, str(e))
            )
        # Rules of events have their say too: which of them the client asked for is one of theirs.
        kept = [changed for event in events if (changed := self._client.event(event)) is not None]
        return b"".join([self._framing.event(event, False) for event in kept]) + self._framing.end()

    def error(self, error: WireError) -> bytes:
        if self._framing is not None:
            return self._framing.error(error)
        self._failed(error.status)
        return error_body(self._format, error)


class ErrorPipe:
    """An error's body: decoded, told in the client's format, its status mapped."""

    def __init__(
        self,
        coding: str | None,
        limit: int,
        status_of: Callable[[bytes], int],
        translator: AnswerTranslator | None,
        set_status: Callable[[int], None],
    ) -> None:
        self._coding = coding
        self._limit = limit
        self._status_of = status_of
        self._translator = translator
        self._set_status = set_status
        self._body = bytearray()
        self._passing: Decoder | None = None

    def feed(self, data: bytes) -> bytes:
        if self._passing is not None:
            return self._passing.feed(data)
        self._body += data
        if len(self._body) <= self._limit:
            return b""
        # Longer than any error has to say; it passes, decoded since the headers promise that.
        self._passing = decoder(self._coding)
        return self._passing.feed(bytes(self._body))

    def close(self) -> bytes:
        if self._passing is not None:
            return self._passing.close()
        raw = bytes(self._body)
        try:
            body = decode(raw, self._coding, self._limit)
        except DecodingError:
            body = raw
        status = self._status_of(body)
        if self._translator is not None:
            status, body = self._translator.error(status, body)
        self._set_status(status)
        return body


class Sniffing:
    """Decodes, waits for the first bytes where only they tell the kind of answer, then is the pipe for it."""

    def __init__(self, decoder: Decoder | None, begin: Callable[[str], Pipe], kind: str | None) -> None:
        self._decoder = decoder
        self._begin = begin
        self._array = kind == "array"
        self._head = b""
        self._pipe = begin(kind) if kind in ("stream", "body") else None

    def feed(self, data: bytes) -> bytes:
        if self._decoder is not None:
            data = self._decoder.feed(data)
        if self._pipe is not None:
            return self._pipe.feed(data)
        self._head += data
        return self._become(kind_of(self._head, array=self._array))

    def close(self) -> bytes:
        out = b""
        if self._decoder is not None and (left := self._decoder.close()):
            out = self._pipe.feed(left) if self._pipe is not None else b""
            self._head += left if self._pipe is None else b""
        if self._pipe is None:
            out += self._become(kind_of(self._head, array=self._array) or "plain")
        return out + (self._pipe.close() if self._pipe is not None else b"")

    @property
    def reads_body(self) -> bool:
        """Whether the answer is one JSON body, which is parsed here."""
        return isinstance(self._pipe, BodyPipe)

    def error(self, error: WireError) -> bytes:
        tell = getattr(self._pipe, "error", None)
        return tell(error) if tell else b""

    def _become(self, kind: str | None) -> bytes:
        if kind is None:
            return b""
        self._pipe = Plain() if kind == "plain" else self._begin(kind)
        head, self._head = self._head, b""
        return self._pipe.feed(head)


def kind_of(head: bytes, *, array: bool) -> str | None:
    """``stream``, ``array``, ``body`` or ``plain`` by the first bytes; None while they do not tell.

    `array` says that a JSON array would be a stream (Gemini).
    """
    text = head.lstrip(b" \t\r\n\xef\xbb\xbf")
    if not text:
        return None
    if text[:1] == b"{":
        return "body"
    if text[:1] == b"[":
        return "array" if array else "body"
    stream = looks_like_stream(head)
    return None if stream is None else "stream" if stream else "plain"


def reader_for(kind: str) -> Reader:
    return ArrayReader() if kind == "array" else EventReader()
