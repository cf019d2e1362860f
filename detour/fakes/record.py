"""What a fake provider saw, readable from any thread while it serves."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from detour.fakes.paths import read_json

type State = Literal["receiving", "answering", "answered", "failed", "cancelled"]
"""``failed`` is a fault of the fake's own that ended the answer; ``cancelled``: the client went away."""

LIMIT = 20_000
"""Requests and connections that are remembered; the oldest are forgotten first."""


@dataclass(slots=True, eq=False)
class SeenConnection:
    id: int
    sni: str | None = None
    protocol: str = ""
    """``http/1.1`` or ``h2``."""
    opened: float = field(default_factory=time.monotonic)
    closed: float | None = None


@dataclass(slots=True, eq=False)
class SeenRequest:
    method: str
    target: str
    """Path and query."""
    headers: list[tuple[str, str]]
    """In wire order, names as received; HTTP/2's pseudo-headers are left out."""
    authority: str | None
    """Host or ``:authority``."""
    protocol: str
    """``http/1.1``, ``h2`` or ``websocket``."""
    connection: SeenConnection
    stream: int = 0
    """HTTP/2 stream id; 0 on HTTP/1.1."""
    body: bytes = b""
    key: str | None = None
    model: str | None = None
    state: State = "receiving"
    sent: int = 0
    """Bytes of body sent so far."""
    ended: float | None = None
    messages: list[str] = field(default_factory=list)
    """WebSocket: the client's text messages."""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def document(self) -> Any:
        """The JSON body, or None."""
        return read_json(self.body)

    def header(self, name: str) -> str | None:
        """All values of `name`, joined; None where there is none."""
        values = [v for n, v in self.headers if n.lower() == name.lower()]
        return ", ".join(values) if values else None


class Record:
    """Connections and requests in the order in which they came."""

    def __init__(self) -> None:
        self.connections: deque[SeenConnection] = deque(maxlen=LIMIT)
        self.requests: deque[SeenRequest] = deque(maxlen=LIMIT)
        self._changed = threading.Condition()
        self._connections_seen = 0

    def connection(self) -> SeenConnection:
        with self._changed:
            self._connections_seen += 1
            connection = SeenConnection(self._connections_seen)
            self.connections.append(connection)
            self._changed.notify_all()
        return connection

    def request(self, request: SeenRequest) -> None:
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()

    def turn(self, request: SeenRequest, state: State) -> None:
        """Move `request` to `state`."""
        with self._changed:
            request.state = state
            if state in ("answered", "failed", "cancelled"):
                request.ended = time.monotonic()
            self._changed.notify_all()

    def closed(self, connection: SeenConnection) -> None:
        with self._changed:
            connection.closed = time.monotonic()
            self._changed.notify_all()

    def sent(self, request: SeenRequest, count: int) -> None:
        with self._changed:
            request.sent += count
            self._changed.notify_all()

    def wait_for(self, condition: Callable[[Record], bool], timeout: float = 60.0) -> bool:
        """Block until `condition` holds; False after `timeout` seconds. Not for the fake's own loop."""
        with self._changed:
            return self._changed.wait_for(lambda: condition(self), timeout)

    def with_key(self, key: str) -> list[SeenRequest]:
        """The requests that carried `key` as their credential."""
        return [r for r in tuple(self.requests) if r.key == key]

    def clear(self) -> None:
        with self._changed:
            self.connections.clear()
            self.requests.clear()
