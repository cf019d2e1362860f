"""What a record is: one exchange as it went over the wire, and how it is read back from its file.

A record is a file of JSON Lines, described in ``docs/capture.md``. Every line stands by itself, so a file
that was cut off anywhere is a valid record of what had happened until then.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from router_core.exchange import Exchange, Headers

FORMAT: Final = "detour-capture"
VERSION: Final = 1
SUFFIX: Final = ".jsonl"


@dataclass(slots=True)
class Opening:
    """What is known of an exchange when it begins: the first line of its record."""

    id: str
    created: float
    """Wall clock, seconds since the epoch."""
    method: str
    url: str
    """As the client meant it, with its query."""
    via: str = "proxy"
    """``proxy``, ``gateway`` or ``import``; ``tunnel`` for a connection that was not looked into."""
    client: str | None = None
    """The name of the client's access key, or its address."""
    tool: str | None = None
    provider: str | None = None
    """None where only the plan knows it."""
    format: str | None = None
    operation: str | None = None
    """None for traffic that is no surface and passes through."""
    model: str | None = None
    """As the client asked for it."""
    stream: bool = False
    websocket: bool = False
    run: str | None = None
    """Marks the exchanges of one `detour capture run`."""

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    def values(self) -> dict[str, Any]:
        """Plain values by name. `dataclasses.asdict` copies in depth, which takes ten times as long."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def of(cls, exchange: Exchange, url: str) -> Opening:
        surface = exchange.surface
        return cls(
            id=exchange.id,
            created=exchange.created,
            method=exchange.request.method,
            url=url,
            via=surface.via,
            client=exchange.client.name or exchange.client.address,
            tool=exchange.client.tool,
            provider=surface.provider.name if surface.provider else None,
            format=str(surface.format),
            operation=str(surface.operation),
            model=exchange.model,
            stream=exchange.stream,
            websocket=exchange.websocket,
        )


@dataclass(slots=True)
class Body:
    """A body as it was recorded: decoded from its content encoding, secrets replaced."""

    data: bytes = b""
    chunks: list[tuple[float, int]] = field(default_factory=list)
    """(seconds since the exchange began, bytes), in order of arrival."""
    unreadable: str | None = None
    """Why there is no more of it than `data`."""

    def add(self, data: bytes, chunks: list[tuple[float, int]]) -> None:
        self.data += data
        self.chunks += chunks

    def pieces(self) -> list[tuple[float, bytes]]:
        """The body as it arrived: (seconds, bytes)."""
        result: list[tuple[float, bytes]] = []
        position = 0
        for at, size in self.chunks:
            result.append((at, self.data[position : position + size]))
            position += size
        return result


@dataclass(slots=True)
class Sent:
    """A request as it went over one hop."""

    at: float
    method: str
    url: str
    headers: Headers = field(default_factory=list)
    body: Body = field(default_factory=Body)
    http: str | None = None

    def header(self, name: str) -> str:
        """The value of header `name` (lower case), or an empty string."""
        return next((v for k, v in self.headers if k.lower() == name), "")


@dataclass(slots=True)
class Received:
    """An answer as it came over one hop."""

    at: float
    status: int
    headers: Headers = field(default_factory=list)
    body: Body = field(default_factory=Body)
    http: str | None = None

    def header(self, name: str) -> str:
        """The value of header `name` (lower case), or an empty string."""
        return next((v for k, v in self.headers if k.lower() == name), "")

    @property
    def is_stream(self) -> bool:
        return "event-stream" in self.header("content-type")


@dataclass(slots=True)
class Hop:
    """One request and its answer: between the client and Detour (number 0), or one attempt at an upstream."""

    number: int = 0
    request: Sent | None = None
    response: Received | None = None
    timings: dict[str, float] = field(default_factory=dict)
    """Seconds since the exchange began, by name: ``connected``, ``tls``, ``first_byte`` ..."""
    about: dict[str, Any] = field(default_factory=dict)
    """Of an attempt: provider, credential, model, format, reason, rules, and its outcome."""


@dataclass(slots=True)
class Frame:
    """A WebSocket message."""

    at: float
    number: int
    """Of the hop."""
    from_client: bool
    opcode: str
    """``text`` or ``binary``."""
    data: bytes


@dataclass(slots=True)
class Record:
    opening: Opening
    client: Hop = field(default_factory=Hop)
    attempts: list[Hop] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    plan: list[dict[str, Any]] = field(default_factory=list)
    """Targets in order with their reasons, and those that were skipped."""
    end: dict[str, Any] | None = None
    """The last line; None while the exchange goes on, and after a crash."""
    problems: list[str] = field(default_factory=list)
    """What could not be read or was not recorded."""

    @property
    def id(self) -> str:
        return self.opening.id

    @property
    def status(self) -> int | None:
        if self.end and self.end.get("status") is not None:
            return self.end["status"]
        return self.client.response.status if self.client.response else None

    @property
    def upstream(self) -> Hop | None:
        """The last attempt: the one whose answer the client got."""
        return self.attempts[-1] if self.attempts else None

    def messages(self, number: int) -> list[Frame]:
        """The WebSocket messages on hop `number`; the client's where that hop has none of its own."""
        own = [frame for frame in self.frames if frame.number == number]
        return own or [frame for frame in self.frames if frame.number == 0]

    def hop(self, number: int) -> Hop:
        """Hop `number`, made if it is new; 0 is the client's."""
        if number == 0:
            return self.client
        for hop in self.attempts:
            if hop.number == number:
                return hop
        self.attempts.append(Hop(number))
        return self.attempts[-1]
