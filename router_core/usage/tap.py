"""Usage read from an answer's bytes as they pass: nothing is held up, re-encoded or parsed without need.

Of a stream only the events that hold the word ``usage`` are cut out and parsed; everything else costs two
searches through the bytes. A JSON body is parsed once, when it is complete.
"""

from __future__ import annotations

import contextlib
from time import monotonic
from typing import Final

from router_core.encoding import Decoder, DecodingError, decoder
from router_core.sse import ArrayReader, EventReader, looks_like_stream
from router_core.usage.count import Meter
from router_core.usage.pace import Pace

MAX_EVENT: Final = 64 << 20
"""Bytes of one event, or of a whole JSON body, that are kept for reading."""

NEEDLE: Final = b'"usage'
"""Without it an event says nothing of usage."""


class Tap:
    """Feeds a `Meter` from the pieces of one answer. `feed` and `close` never raise."""

    def __init__(self, meter: Meter, content_encoding: str = "") -> None:
        self.meter = meter
        try:
            self._decoder: Decoder | None = decoder(content_encoding)
        except DecodingError:
            self._decoder = None
        self._pending = bytearray()
        self._searched = 0
        self._stream: bool | None = None
        self._array: ArrayReader | None = None
        self.pace: Pace | None = None
        """Is shown the decoded pieces, if there is one."""

    def feed(self, data: bytes) -> None:
        """Takes a piece of the answer's body as it came over the wire."""
        if self._decoder is None:
            return
        try:
            data = self._decoder.feed(data)
        except DecodingError:
            self._decoder = None
            return
        if self.pace is not None:
            self.pace.feed(data, monotonic())
        if self._array is not None:
            self._read_array(self._array, data)
            return
        self._pending += data
        if self._stream is None:
            self._decide()
        if self._stream:
            self._read_events()
        if len(self._pending) > MAX_EVENT:
            self._decoder = None
            self._pending.clear()

    def close(self) -> None:
        """The answer is complete, or was cut off. A second call does nothing."""
        if self._decoder is None:
            return
        with contextlib.suppress(DecodingError):
            self._pending += self._decoder.close()
        self._decoder = None
        rest = bytes(self._pending)
        self._pending.clear()
        if self._stream:
            self._read(rest)
        elif self._array is None:
            self.meter.feed(rest)

    def _decide(self) -> None:
        head = bytes(self._pending[:64]).lstrip()
        self._stream = looks_like_stream(head)
        if self._stream is False and head.startswith(b"["):
            # Gemini's streams without alt=sse: what came until a client goes away is still read.
            self._array = ArrayReader(MAX_EVENT)
            self._read_array(self._array, bytes(self._pending))
            self._pending.clear()

    def _read_array(self, reader: ArrayReader, data: bytes) -> None:
        for event in reader.feed(data):
            self.meter.feed(event)

    def _read_events(self) -> None:
        pending = self._pending
        end = _last_boundary(pending, max(0, self._searched - 3))
        if end:
            complete = bytes(pending[:end])
            del pending[:end]
            self._read(complete)
        self._searched = len(pending)

    def _read(self, events: bytes) -> None:
        if NEEDLE not in events:
            return
        reader = EventReader()
        for event in reader.feed(events) + reader.close():
            if NEEDLE in event.raw:
                self.meter.feed(event)


def _last_boundary(data: bytearray, start: int) -> int:
    """Where the last complete event ends, 0 if none does; see `router_core.sse` for the line ends."""
    found = ((data.rfind(mark, start), len(mark)) for mark in (b"\n\n", b"\n\r\n", b"\r\r"))
    return max(at + size if at >= 0 else 0 for at, size in found)
