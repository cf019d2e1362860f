"""Redaction of a body that arrives in chunks, although a secret may be cut in two by any of them.

What ends with a line is redacted and handed on; an unfinished line is held until it is finished, so events
of a stream leave at once. A line without an end leaves in slices: the window behind a slice shows every
secret that begins in the slice, and the cut is moved before a secret that would straddle it.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from router_core.capture.redaction import Redactor
from router_core.capture.spans import Place, Span

SLICE: Final = 64 << 10
"""Bytes that are redacted in one go. Pattern matching holds the interpreter's lock, so this is kept short."""
WINDOW: Final = 16 << 10
"""Bytes behind a slice that are looked at; a longer secret inside one line may be found only in part."""


type Chunk = tuple[float, bytes]
"""When it came, in seconds since the exchange began, and what it is."""


class Piece(NamedTuple):
    """Redacted bytes, and how they spread over the chunks that they came from."""

    marks: list[tuple[float, int]]
    """(arrival, redacted bytes); a chunk that was cut by a piece's end has a mark in both."""
    data: bytes


class ChunkRedactor:
    """Holds at most ``SLICE + WINDOW`` bytes between calls."""

    def __init__(self, redactor: Redactor, place: Place) -> None:
        self._redactor = redactor
        self._place = place
        self._times: deque[float] = deque()
        self._sizes: deque[int] = deque()
        """Of the chunks that are pending; of the first one, what is left."""
        self._pending = b""
        self._begun = 0
        """Redacted bytes of the first one that have left already."""
        self.finished: deque[int] = deque()
        """Redacted bytes of each chunk that has left as a whole, in order; whoever cares takes them out."""

    def feed(self, chunks: list[Chunk]) -> list[Piece]:
        """The pieces that `chunks` complete."""
        if chunks:
            times, pieces = zip(*chunks, strict=True)
            self._times.extend(times)
            self._sizes.extend(map(len, pieces))
            self._pending = b"".join((self._pending, *pieces))
        return self._drain(closing=False)

    def close(self) -> list[Piece]:
        """What was held back."""
        return self._drain(closing=True)

    def _drain(self, closing: bool) -> list[Piece]:
        pieces: list[Piece] = []
        position = 0
        while data := self._pending[position : position + SLICE + WINDOW]:
            more = position + len(data) < len(self._pending)
            cut, spans = self._cut(data, more, closing)
            if not cut:
                break
            pieces.append(self._take(data, cut, spans))
            position += cut
        if closing:
            while self._times:
                self._leave(0)
        self._pending = self._pending[position:]
        return pieces

    def _cut(self, data: bytes, more: bool, closing: bool) -> tuple[int, list[Span]]:
        """How many bytes of a slice and its window may leave, and the secrets among them."""
        if not more and len(data) < SLICE + WINDOW:
            cut = len(data) if closing else self._whole_lines(data, len(data))
            return cut, self._redactor.spans(data[:cut], self._place) if cut else []
        if cut := self._whole_lines(data, SLICE):
            return cut, self._redactor.spans(data[:cut], self._place)
        cut = SLICE
        while data[cut] & 0xC0 == 0x80:
            cut -= 1
        spans = self._redactor.spans(data, self._place)
        for span in spans:
            if span.start < cut < span.end:
                cut = span.start or span.end
        return cut, [s for s in spans if s.end <= cut]

    def _whole_lines(self, data: bytes, limit: int) -> int:
        """The end of the last line that is complete within `limit`, and so is every secret that it begins."""
        cut = data.rfind(b"\n", 0, limit) + 1
        begin = self._redactor.unfinished(data, cut, self._place) if cut else None
        return cut if begin is None else data.rfind(b"\n", 0, begin) + 1

    def _take(self, data: bytes, cut: int, spans: list[Span]) -> Piece:
        """Replaces `spans` in the first `cut` bytes and maps the chunks' ends to the redacted bytes."""
        if not spans and cut == len(data) == sum(self._sizes):
            return self._take_all(data)
        pieces: list[bytes] = []
        marks: list[tuple[float, int]] = []
        position = written = marked = 0
        remaining = iter(spans)
        span = next(remaining, None)
        chunk_end = 0
        while position < cut or self._times:
            chunk_begin, chunk_end = chunk_end, chunk_end + self._sizes[0]
            end = min(chunk_end, cut)
            while span and span.start < end:
                stand_in = self._redactor.stand_in(data, span)
                pieces += (data[position : span.start], stand_in)
                written += span.start - position + len(stand_in)
                position = span.end
                span = next(remaining, None)
            if end > position:
                pieces.append(data[position:end])
                written += end - position
                position = end
            size, marked = written - marked, written
            if chunk_end > cut:
                # The rest of this chunk stays, and keeps its time.
                if size or cut > chunk_begin:
                    marks.append((self._times[0], size))
                self._begun += size
                self._sizes[0] = chunk_end - cut
                break
            marks.append((self._times[0], size))
            self._leave(size)
            if chunk_end == cut and not (self._sizes and not self._sizes[0]):
                break
        return Piece(marks, b"".join(pieces))

    def _take_all(self, data: bytes) -> Piece:
        """`_take` where everything that is pending leaves as it is, as nearly all events do."""
        marks = list(zip(self._times, self._sizes, strict=True))
        self._sizes[0] += self._begun
        self._begun = 0
        self.finished.extend(self._sizes)
        self._times.clear()
        self._sizes.clear()
        return Piece(marks, data)

    def _leave(self, size: int) -> None:
        """The last `size` redacted bytes of the first chunk have left."""
        self.finished.append(self._begun + size)
        self._begun = 0
        self._times.popleft()
        self._sizes.popleft()
