"""An object or array of a JSON text under edit: where its parts stand, and how they are joined again."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from router_core.json_document.text import Json

_SPACE: Final = re.compile(rb"[ \t\n\r]*+")
KEY: Final = re.compile(rb'[ \t\n\r]*+("[^"\\]*+(?:\\.[^"\\]*+)*+")[ \t\n\r]*+:[ \t\n\r]*+', re.DOTALL)
"""A member's key with the colon; group 1 is the key in its quotes."""


class Span(NamedTuple):
    """Where a member or item stands: white space, key (objects only), value, white space."""

    start: int
    key_start: int
    key_end: int
    value_start: int
    value_end: int
    end: int


class Container:
    """An edited object or array: where its parts stand, and how they are put together again."""

    def __init__(self, old: Json, new: Json, start: int, names: list[str]) -> None:
        self.old = old
        self.new = new
        self.start = start
        self.end = start
        self.names = names
        """Keys of the scanned members, as they stand."""
        self.head = 0
        """Items at the beginning of an array that stay and stand there as one piece."""
        self.second: int | None = None
        """The offset behind the first comma, where no span tells it."""
        self.spans: list[Span] = []
        """Of the parts behind them."""
        self.inner: dict[int, Container] = {}
        """Edited containers among the parts, by index."""
        self.pairs: dict[int, int] = {}
        self.shared = 0
        """Items at the end of an array that stay, likewise."""
        self.rested = False
        self._head = (b"", b"", b"")
        self._out: list[tuple[bytes, bytes, bytes]] = []

    def add(
        self, body: bytes, start: int, key_start: int, key_end: int, value_start: int, value_end: int
    ) -> int:
        """Notes a part; returns the offset behind the comma or bracket that follows it."""
        end = skip_space(body, value_end)
        if body[end] not in b",]}":
            raise IndexError
        self.spans.append(Span(start, key_start, key_end, value_start, value_end, end))
        return end + 1

    def begin(self, body: bytes, start: int, end: int) -> int:
        """Notes the head, from `start` to `end`; returns the offset behind the comma that follows it."""
        after = skip_space(body, end)
        if body[after] not in b",]":
            raise IndexError
        self._head = (body[self.start + 1 : start], body[start:end], body[end:after])
        return after + 1

    def close(self, body: bytes, position: int, end: int) -> Container:
        """The parts are complete; what stands between `position` and the bracket before `end` stays."""
        self._body = body
        self.end = end
        spans = self.spans
        self._rest = body[position : end - 1]
        self._closing = b""
        if not self._rest and spans:
            self._closing = body[spans[-1].value_end : spans[-1].end]
        self._before = body[self.start + 1 : skip_space(body, self.start + 1)]
        second = self._second(position)
        self._between = self._before if second is None else body[second : skip_space(body, second)]
        self.colon = b":"
        if isinstance(self.old, dict) and self.old and (first := KEY.match(body, self.start + 1)):
            self.colon = body[first.end(1) : first.end()]
        return self

    def _second(self, position: int) -> int | None:
        """Where the white space before the second part begins, which is how new parts are set off."""
        if self.second is not None:
            return self.second
        if self.head and self.spans:
            return self.spans[0].start
        if len(self.spans) > 1:
            return self.spans[1].start
        return position if self._rest else None

    def span(self, i: int) -> Span:
        return self.spans[i - self.head]

    def key(self, i: int) -> bytes:
        return self._body[self.spans[i].key_start : self.spans[i].value_start]

    def put(self, text: bytes, index: int = -1) -> None:
        """Adds a part's text: that of the part at `index`, or of a new one."""
        before = self._between if self._out else self._before
        after = b""
        if index >= 0:
            span = self.span(index)
            if index and self._out:
                before = self._body[span.start : span.key_start if span.key_end else span.value_start]
            if index < self.head + len(self.spans) - 1 or self._rest:
                after = self._body[span.value_end : span.end]
        self._out.append((before, text, after))

    def put_head(self) -> None:
        """Adds the items at the beginning, as they are."""
        self._out.append(self._head)

    def put_rest(self) -> None:
        """Adds the parts that were not scanned, as they are."""
        self.rested = True
        stripped = self._rest.rstrip(b" \t\n\r")
        self._closing = self._rest[len(stripped) :]
        if self._out:
            self._out.append((b"", stripped, b""))
        else:
            self._out.append((self._before, stripped.lstrip(b" \t\n\r"), b""))

    def join(self) -> bytes:
        inner = b",".join([before + text + after for before, text, after in self._out])
        return (
            self._body[self.start : self.start + 1]
            + inner
            + self._closing
            + self._body[self.end - 1 : self.end]
        )


def skip_space(body: bytes, position: int) -> int:
    return _SPACE.match(body, position).end()  # type: ignore[union-attr]
