"""Requests of each wire format and clients that are closer to the wire than an HTTP library."""

from __future__ import annotations

import itertools
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

import h2.config
import h2.connection
import h2.events

TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Shape:
    """How a client of one format asks."""

    path: str
    """On the provider's own host; ``{model}`` where the path names it."""
    stream_path: str
    body: dict[str, Any]
    headers: Callable[[str], dict[str, str]]
    """From the client's key to the headers that carry it."""

    def request(self, model: str, *, stream: bool = False, key: str = "client-key") -> tuple[str, dict, dict]:
        """Path, headers and body."""
        path = (self.stream_path if stream else self.path).format(model=model)
        in_body = "{model}" not in self.path
        fields = {"model": model, **({"stream": True} if stream else {})} if in_body else {}
        return path, self.headers(key), {**fields, **self.body}


_MESSAGES = [{"role": "user", "content": "Say hello."}]
SHAPES: dict[str, Shape] = {
    "anthropic": Shape(
        "/v1/messages",
        "/v1/messages",
        {"max_tokens": 64, "messages": _MESSAGES},
        lambda key: {"x-api-key": key, "anthropic-version": "2023-06-01"},
    ),
    "openai-chat": Shape(
        "/v1/chat/completions",
        "/v1/chat/completions",
        {"messages": _MESSAGES},
        lambda key: {"authorization": f"Bearer {key}"},
    ),
    "openai-responses": Shape(
        "/v1/responses",
        "/v1/responses",
        {"input": "Say hello."},
        lambda key: {"authorization": f"Bearer {key}"},
    ),
    "gemini": Shape(
        "/v1beta/models/{model}:generateContent",
        "/v1beta/models/{model}:streamGenerateContent?alt=sse",
        {"contents": [{"role": "user", "parts": [{"text": "Say hello."}]}]},
        lambda key: {"x-goog-api-key": key},
    ),
}


_numbers = itertools.count(1)


def fresh_model() -> str:
    """A model's name that no other test uses, so that its requests can be told from theirs."""
    return f"model-of-test-{next(_numbers)}"


def address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


def tunnel(proxy: str, target: str) -> socket.socket:
    """A socket that the proxy says leads to `target` (``host:port``)."""
    sock = socket.create_connection(address(proxy), timeout=TIMEOUT)
    sock.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        if not byte:
            raise ConnectionError(f"CONNECT was answered {head!r}")
        head += byte
    if b" 200 " not in head.split(b"\r\n", 1)[0]:
        raise ConnectionError(f"CONNECT was answered {head!r}")
    return sock


@dataclass(slots=True)
class Stream:
    """What one HTTP/2 stream has brought so far."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    data: bytes = b""
    ended: bool = False
    reset: int | None = None


class Http2Client:
    """One HTTP/2 connection through the proxy; blocks, and leaves every decision to its caller."""

    def __init__(self, proxy: str, host: str, tls: ssl.SSLContext, port: int = 443) -> None:
        tls.set_alpn_protocols(["h2", "http/1.1"])
        self._sock = tls.wrap_socket(tunnel(proxy, f"{host}:{port}"), server_hostname=host)
        if self._sock.selected_alpn_protocol() != "h2":
            raise ConnectionError("the proxy did not choose HTTP/2")
        self._host = host
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(1 << 24)
        self.streams: dict[int, Stream] = {}
        self.going_away = False
        """Whether the other side has said that it takes no further streams."""
        self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._sock.close()

    def send(self, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> int:
        """Begin a request; the id of its stream."""
        id = self._h2.get_next_available_stream_id()
        self.streams[id] = Stream()
        pseudo = {":method": method, ":scheme": "https", ":authority": self._host, ":path": path}
        self._h2.send_headers(id, [*pseudo.items(), *headers.items()], end_stream=not body)
        if body:
            self._h2.send_data(id, body, end_stream=True)
        self._flush()
        return id

    def upload(self, method: str, path: str, headers: dict[str, str], size: int) -> Stream:
        """Send a body of `size` bytes, or as much of it as the other side wants before it answers."""
        id = self._h2.get_next_available_stream_id()
        stream = self.streams[id] = Stream()
        pseudo = {":method": method, ":scheme": "https", ":authority": self._host, ":path": path}
        self._h2.send_headers(id, [*pseudo.items(), *headers.items()])
        left = size
        while left and not stream.ended:
            room = min(self._h2.local_flow_control_window(id), self._h2.max_outbound_frame_size, left)
            if room:
                self._h2.send_data(id, b"x" * room, end_stream=room == left)
                left -= room
                self._flush()
            else:
                self._read()
        self.until(lambda _: stream.ended)
        return stream

    def cancel(self, id: int) -> None:
        self._h2.reset_stream(id, 8)
        self._flush()

    def until(self, condition: Callable[[dict[int, Stream]], bool]) -> dict[int, Stream]:
        """Read until `condition` holds. Raises TimeoutError, or ConnectionError at the connection's end."""
        while not condition(self.streams):
            self._read()
        return self.streams

    def _read(self) -> None:
        data = self._sock.recv(1 << 16)
        if not data:
            raise ConnectionError("the connection ended")
        for event in self._h2.receive_data(data):
            self._handle(event)
        self._flush()

    def _handle(self, event: Any) -> None:
        self.going_away |= isinstance(event, h2.events.ConnectionTerminated)
        stream = self.streams.get(getattr(event, "stream_id", 0))
        if stream is None:
            return
        match event:
            case h2.events.ResponseReceived():
                stream.headers = {str(name): str(value) for name, value in event.headers}
                stream.status = int(stream.headers.pop(":status"))
            case h2.events.DataReceived():
                stream.data += event.data
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamEnded():
                stream.ended = True
            case h2.events.StreamReset():
                stream.reset, stream.ended = event.error_code, True

    def _flush(self) -> None:
        self._sock.sendall(self._h2.data_to_send())
