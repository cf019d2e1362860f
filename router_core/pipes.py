"""The ways of an answer through Detour, and the choice among them where only the first bytes tell.

A pipe takes the upstream's bytes in pieces of any size and returns the client's. The stages are always in
one order: decode, cut into events, rules of the upstream's format, translation, rules of the client's
format, folding, framing. `event_pipes` and `body_pipes` have those that read what passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from router_core.encoding import Decoder
from router_core.formats.errors import WireError
from router_core.framing import Framing
from router_core.observing import Show
from router_core.sse import ArrayReader, Event, EventReader, Reader, looks_like_stream


class Pipe(Protocol):
    @property
    def framing(self) -> Framing | None:
        """How it writes the client's stream; None where it writes none, or does not know yet."""
        ...

    def feed(self, data: bytes) -> bytes:
        """The client's bytes for a piece of the upstream's."""
        ...

    def close(self) -> bytes:
        """What is left, once the upstream's answer is complete."""
        ...

    def error(self, error: WireError) -> bytes:
        """What tells the client that nothing more comes; empty where there is no place for it."""
        ...


class Plain:
    """The bytes as they come."""

    framing = None

    def feed(self, data: bytes) -> bytes:
        return data

    def close(self) -> bytes:
        return b""

    def error(self, error: WireError) -> bytes:
        return b""


class Sniffing:
    """Decodes, waits for the first bytes where only they tell the kind of answer, then is the pipe for it."""

    def __init__(
        self, decoder: Decoder | None, begin: Callable[[str], Pipe], kind: str | None, show: Show
    ) -> None:
        self._decoder = decoder
        self._begin = begin
        self._show = show
        self._array = kind == "array"
        self._head = b""
        self._pipe = begin(kind) if kind in ("stream", "body") else None

    def feed(self, data: bytes) -> bytes:
        if self._decoder is not None:
            data = self._decoder.feed(data)
        if self._pipe is not None:
            return self._through(self._pipe, data)
        self._head += data
        return self._become(kind_of(self._head, array=self._array))

    def close(self) -> bytes:
        out = b""
        if self._decoder is not None and (left := self._decoder.close()):
            out = self._through(self._pipe, left) if self._pipe is not None else b""
            self._head += left if self._pipe is None else b""
        if self._pipe is None:
            out += self._become(kind_of(self._head, array=self._array) or "plain")
        return out + (self._pipe.close() if self._pipe is not None else b"")

    @property
    def framing(self) -> Framing | None:
        return self._pipe.framing if self._pipe is not None else None

    def error(self, error: WireError) -> bytes:
        return self._pipe.error(error) if self._pipe is not None else b""

    def _become(self, kind: str | None) -> bytes:
        if kind is None:
            return b""
        self._pipe = Plain() if kind == "plain" else self._begin(kind)
        head, self._head = self._head, b""
        return self._through(self._pipe, head)

    def _through(self, pipe: Pipe, data: bytes) -> bytes:
        if isinstance(pipe, Plain):
            self._show.to.data(data)
        return pipe.feed(data)


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


def reader_for(kind: str, known: Iterable[Event]) -> Reader:
    """What cuts an answer into events; `known` are its first ones, where they have been read before."""
    return ArrayReader(known=known) if kind == "array" else EventReader(known=known)
