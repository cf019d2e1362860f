"""Event streams, read in pieces of any size and written back byte for byte.

A reader cuts a stream into `Event`s whose `raw` bytes, joined, are the input again, so whatever nobody
touches leaves as it came. Where the pieces were cut makes no difference to the events. The grammar is
the HTML standard's, section "Interpreting an event stream"
(https://html.spec.whatwg.org/multipage/server-sent-events.html).

Boundaries are two line ends in a row. A lone CR is a line end too, which makes CR LF at the end of a piece
ambiguous: ``LF CR`` waits for the next byte, ``CR CR`` does not (an LF behind it then leads the next
event, where an empty line means nothing).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from typing import Final, Protocol

from router_core.json_document import Json, parse

MAX_EVENT: Final = 64 << 20
"""Bytes of one event that a reader holds; what is longer passes as events without fields."""

UNREAD: Final = object()
"""In the place of a value that nobody has asked for."""

_BOM: Final = b"\xef\xbb\xbf"
_BOUNDARY: Final = re.compile(rb"\n(?:\n|\r\n?)|\r\r")
_LINE_END: Final = re.compile(rb"\r\n?|\n")


class Event:
    """One event as it came: `raw` with its terminator, and its fields, read when they are first asked for."""

    __slots__ = ("_data", "_document", "_name", "_parsed", "raw")

    def __init__(
        self,
        raw: bytes,
        name: str | None = None,
        data: bytes | None = None,
        *,
        parsed: bool = False,
        document: Json = UNREAD,
    ):
        """`document` is the value of `data` where it is known already."""
        self.raw = raw
        self._name = name
        self._data = data
        self._parsed = parsed
        self._document = document

    @property
    def name(self) -> str | None:
        """The value of the last ``event:`` line, or None."""
        if not self._parsed:
            self._parse()
        return self._name

    @property
    def data(self) -> bytes | None:
        """The ``data:`` lines joined by LF, or None where there is none."""
        if not self._parsed:
            self._parse()
        return self._data

    @property
    def document(self) -> Json:
        """The JSON value of `data`, read once, whoever asks for it. Raises ValueError where it is no JSON."""
        if self._document is UNREAD:
            self._document = parse(self.data or b"")
        return self._document

    @property
    def silent(self) -> bool:
        """True for comments and empty frames: nothing that a client would dispatch."""
        return self.data is None

    def _parse(self) -> None:
        self._name, self._data = read_fields(self.raw)
        self._parsed = True

    def __repr__(self) -> str:
        return f"Event({self.raw[:80]!r}{'...' if len(self.raw) > 80 else ''})"


class Reader(Protocol):
    """What cuts an answer into events: `EventReader` for SSE, `ArrayReader` for a JSON array."""

    def feed(self, data: bytes) -> list[Event]: ...

    def whole(self, data: bytes) -> bool:
        """Whether `data` is whole events, with nothing before it that is still unread; then it may be left unfed."""
        ...

    def close(self) -> list[Event]: ...


def read_fields(raw: bytes) -> tuple[str | None, bytes | None]:
    """(name, data) of one event's bytes; an invalid UTF-8 name is read with replacement characters.

    A JSON object that stands in no field is data.
    """
    name: str | None = None
    data: list[bytes] = []
    lines = raw.split(b"\n") if b"\r" not in raw else _LINE_END.split(raw)
    for line in lines:
        if line.startswith(b"data"):
            rest = line[4:]
            if rest[:1] == b":":
                data.append(rest[2:] if rest[1:2] == b" " else rest[1:])
            elif not rest:
                data.append(b"")
        elif line.startswith(b"event"):
            rest = line[5:]
            if rest[:1] == b":":
                name = (rest[2:] if rest[1:2] == b" " else rest[1:]).decode("utf-8", "replace")
            elif not rest:
                name = ""
    if not data and raw.lstrip()[:1] == b"{":
        # Google writes an error in the middle of a stream as it is, without any field; its libraries look for it.
        return name, raw.strip()
    return name, (data[0] if len(data) == 1 else b"\n".join(data)) if data else None


class EventReader:
    """Reads ``text/event-stream``. Time is linear in the input, whatever the sizes of pieces and events."""

    def __init__(self, limit: int = MAX_EVENT, known: Iterable[Event] = ()) -> None:
        """`known` are the first events of the stream, where somebody has read them before."""
        self._limit = limit
        self._known = deque(known)
        self._pending = bytearray()
        self._searched = 0
        self._first = True

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes, in order."""
        pending = self._pending
        pending += data
        events: list[Event] = []
        start = 0
        position = max(0, self._searched - 2)
        end = len(pending)
        while match := _BOUNDARY.search(pending, position):
            boundary = match.end()
            if boundary == end and pending[boundary - 1] == 0x0D and pending[boundary - 2] == 0x0A:
                break
            events.append(self._event(bytes(pending[start:boundary])))
            start = position = boundary
        if start:
            del pending[:start]
        if len(pending) > self._limit:
            events.append(Event(bytes(pending), parsed=True))
            pending.clear()
        self._searched = len(pending)
        return events

    def whole(self, data: bytes) -> bool:
        if self._pending or self._known or self._first or len(data) > self._limit:
            return False
        return data.endswith((b"\n\n", b"\r\n\r\n"))

    def close(self) -> list[Event]:
        """The last event of a stream that ends without a blank line, if there is one."""
        raw = bytes(self._pending)
        self._pending.clear()
        self._searched = 0
        return [self._event(raw)] if raw else []

    def _event(self, raw: bytes) -> Event:
        if self._known and (known := _known(self._known, raw)):
            self._first = False
            return known
        if self._first:
            self._first = False
            if raw.startswith(_BOM):
                return Event(raw, *read_fields(raw[len(_BOM) :]), parsed=True)
        return Event(raw)


_STRUCTURE: Final = re.compile(rb'["{}\[\]]')
_STRING_REST: Final = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)


class ArrayReader:
    """Reads the JSON array that Gemini streams without ``alt=sse``: one event for each element.

    An event's `data` is the element, its `raw` also holds the bracket, comma and space before it; what
    follows the last element is an event without fields.
    """

    def __init__(self, limit: int = MAX_EVENT, known: Iterable[Event] = ()) -> None:
        self._limit = limit
        self._known = deque(known)
        self._pending = bytearray()
        self._position = 0
        self._depth = 0
        self._element = -1
        self._in_string = False

    def feed(self, data: bytes) -> list[Event]:
        """The elements that `data` completes, in order."""
        pending = self._pending
        pending += data
        events: list[Event] = []
        start = 0
        while (position := self._step()) is not None:
            raw = bytes(pending[start:position])
            known = _known(self._known, raw) if self._known else None
            element = raw[self._element - start :]
            events.append(known or Event(raw, None, element, parsed=True))
            start = position
            self._element = -1
        if start:
            del pending[:start]
            self._position -= start
            if self._element >= 0:
                self._element -= start
        if len(pending) > self._limit:
            events.append(Event(bytes(pending), parsed=True))
            pending.clear()
            self._position, self._element = 0, 0 if self._element >= 0 else -1
        return events

    def whole(self, data: bytes) -> bool:
        # Only a look at each byte tells.
        return False

    def close(self) -> list[Event]:
        """The closing bracket, or what an interrupted stream left."""
        raw = bytes(self._pending)
        self._pending.clear()
        return [Event(raw, parsed=True)] if raw else []

    def _step(self) -> int | None:
        """Scans to the end of the next element; None when the input ends before it."""
        pending = self._pending
        while True:
            if self._in_string:
                rest = _STRING_REST.match(pending, self._position)
                self._position = rest.end() if rest else self._position
                if self._position >= len(pending) or pending[self._position] != 0x22:
                    return None
                self._in_string = False
                self._position += 1
            match = _STRUCTURE.search(pending, self._position)
            if match is None:
                self._position = len(pending)
                return None
            self._position = match.end()
            token = pending[match.start()]
            if token == 0x22:
                self._in_string = True
            elif token in b"{[":
                self._depth += 1
                if self._depth == 2:
                    self._element = match.start()
            else:
                self._depth -= 1
                if self._depth == 1 and self._element >= 0:
                    return self._position


def _known(known: deque[Event], raw: bytes) -> Event | None:
    """The next event of `known` if it is this one; with the first that is not, none of them is."""
    if known[0].raw == raw:
        return known.popleft()
    known.clear()
    return None


def of_message(data: bytes) -> Event:
    """A WebSocket message as the event that it is, without any framing."""
    return Event(data, None, data, parsed=True)


def encode(name: str | None, data: bytes) -> bytes:
    """One event with LF line ends; each line of `data` becomes a ``data:`` line."""
    head = f"event: {name}\n".encode() if name else b""
    if b"\n" in data or b"\r" in data:
        data = b"\ndata: ".join(_LINE_END.split(data))
    return b"%sdata: %s\n\n" % (head, data)


def replace_data(event: Event, data: bytes, document: Json = UNREAD) -> Event:
    """`event` with other data, whose value may be known: its other lines and its line ends stay as they came."""
    pieces: list[bytes] = []
    position = 0
    written = False
    for match in re.finditer(rb"[^\r\n]*(\r\n?|\n|$)", event.raw):
        line = match[0]
        bare = line.removeprefix(_BOM) if not position else line
        if bare.startswith((b"data:", b"data\n", b"data\r")):
            if not written:
                field = b"data: " if bare[5:6] == b" " else b"data:"
                end = match[1] or b"\n"
                pieces.append(line[: len(line) - len(bare)])
                pieces.append(field + (end + field).join(_LINE_END.split(data)) + match[1])
                written = True
        else:
            pieces.append(line)
        position = match.end()
    return Event(b"".join(pieces), event.name, data, parsed=True, document=document)


def looks_like_stream(head: bytes) -> bool | None:
    """Whether a body that begins with `head` is an event stream; None while that is undecided."""
    text = head.removeprefix(_BOM).lstrip(b"\r\n")
    if not text:
        return None
    for opening in (b"data:", b"event:", b"id:", b"retry:", b":"):
        if text.startswith(opening):
            return True
        if opening.startswith(text):
            return None
    return False
