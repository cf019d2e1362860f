"""One body on its way into a record: decoded, redacted, and cut into lines of JSON."""

from __future__ import annotations

import base64
from typing import Any

from router_core.capture.chunks import Chunk, ChunkRedactor, Piece
from router_core.capture.redaction import Redactor
from router_core.capture.spans import Place
from router_core.encoding import DecodingError, decoder


class BodyLines:
    """One body on its way into the record."""

    def __init__(self, redactor: Redactor, place: Place, encoding: str, where: dict[str, Any]) -> None:
        self._where = where
        self._fresh: list[Chunk] = []
        self._redacted = ChunkRedactor(redactor, place)
        self.unreadable: str | None = None
        self._said = False
        self._last = 0.0
        try:
            self._decoder = decoder(encoding)
        except DecodingError as error:
            self.unreadable = str(error)

    @property
    def finished(self):
        return self._redacted.finished

    def add(self, at: float, data: bytes) -> None:
        if self.unreadable:
            return
        self._last = at
        try:
            self._fresh.append((at, self._decoder.feed(data)))
        except DecodingError as error:
            self.unreadable = str(error)

    def extend(self, chunks: list[Chunk]) -> None:
        """`add` for each of `chunks`."""
        if self.unreadable is None and self._decoder.plain:
            self._last = chunks[-1][0]
            self._fresh += chunks
        else:
            for chunk in chunks:
                self.add(*chunk)

    def lines(self) -> list[dict[str, Any]]:
        """What can be written now."""
        fresh, self._fresh = self._fresh, []
        return self._lines(self._redacted.feed(fresh)) if fresh else self._lines([])

    def close(self, at: float) -> list[dict[str, Any]]:
        """What was held back."""
        if not self.unreadable and (rest := self._decoder.close()):
            self._fresh.append((at, rest))
        lines = self.lines()
        return lines + self._lines(self._redacted.close())

    def _lines(self, pieces: list[Piece]) -> list[dict[str, Any]]:
        lines = [self._line(p) for p in pieces if p.data or p.marks]
        if self.unreadable and not self._said:
            self._said = True
            lines.append(
                {"kind": "body", "t": seconds(self._last), **self._where, "unreadable": self.unreadable}
            )
        return lines

    def _line(self, piece: Piece) -> dict[str, Any]:
        line: dict[str, Any] = {"kind": "body", "t": seconds(piece.marks[0][0]), **self._where}
        if len(piece.marks) > 1:
            line["chunks"] = stamped(piece.marks)
        return {**line, **content(piece.data)}


def seconds(at: float) -> float:
    return round(at, 6)


def stamped(marks: list[tuple[float, int]]) -> list[tuple[float, int]]:
    """`marks` of a body as they are written."""
    return [(round(at, 6), size) for at, size in marks]


def content(data: bytes) -> dict[str, str]:
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}
