"""What a fake provider does with a connection, as a list of steps.

A wire format builds a `Reply`; a `Fault` turns it into steps; HTTP/1.1, HTTP/2 and WebSocket each perform
the same steps in their own way. `Reset` is a TCP RST on HTTP/1.1 and RST_STREAM on HTTP/2.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

type Framing = Literal["chunked", "length", "eof"]
"""How an HTTP/1.1 body is delimited (RFC 9112 section 6); HTTP/2 has one way only."""


@dataclass(frozen=True, slots=True)
class Head:
    status: int
    headers: tuple[tuple[str, str], ...] = ()
    framing: Framing = "chunked"
    length: int | None = None
    """The Content-Length to claim when `framing` is ``length``; the true one when None."""


@dataclass(frozen=True, slots=True)
class Data:
    """One flushed write: one chunk, one DATA frame (or as many as flow control wants), one message."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes that bypass the protocol, to break it."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: float


@dataclass(frozen=True, slots=True)
class Gate:
    """Wait until `FakeUpstream.open` is called with this name."""

    name: str


@dataclass(frozen=True, slots=True)
class Stall:
    """Send nothing more; ends when the other side goes away."""


@dataclass(frozen=True, slots=True)
class Reset:
    code: int = 2
    """HTTP/2 error code (RFC 9113 section 7); 2 is INTERNAL_ERROR."""


@dataclass(frozen=True, slots=True)
class Goaway:
    """HTTP/2: say that the connection ends and that this stream was not processed. HTTP/1.1: close."""

    code: int = 0


@dataclass(frozen=True, slots=True)
class Close:
    """End the connection in an orderly way (FIN), whether or not the answer is complete."""


@dataclass(frozen=True, slots=True)
class WebSocketClose:
    code: int = 1000
    reason: str = ""


@dataclass(frozen=True, slots=True)
class End:
    """The answer is complete."""


type Step = Head | Data | Raw | Pause | Gate | Stall | Reset | Goaway | Close | WebSocketClose | End


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer before any fault: a head and its body in the parts in which it is flushed."""

    status: int
    headers: tuple[tuple[str, str], ...]
    parts: tuple[bytes, ...]
    opening: int = 0
    """How many of `parts`, from the first, say nothing of the answer's content."""
    content: int = 0
    """How many parts after those are content."""
    framing: Framing = "length"

    def steps(self) -> list[Step]:
        return [self.head(), *map(Data, self.parts), End()]

    def head(self) -> Head:
        length = sum(map(len, self.parts)) if self.framing == "length" else None
        return Head(self.status, self.headers, self.framing, length)


def compress(steps: Iterable[Step]) -> Iterator[Step]:
    """The same answer compressed, each part flushed on its own."""
    packer = zlib.compressobj(wbits=31)
    for step in steps:
        match step:
            case Head():
                yield replace(step, headers=(*step.headers, ("Content-Encoding", "gzip")), framing="chunked")
            case Data(data):
                yield Data(packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH))
            case End():
                yield Data(packer.flush())
                yield step
            case _:
                yield step
