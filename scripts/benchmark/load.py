"""A load generator: keep-alive connections that send one request after the other, or streams side by side."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

BODY = b'{"model":"claude-sonnet-4-5","max_tokens":64,"stream":%s,"messages":[{"role":"user","content":"hello"}]}'


def request(stream: bool, events: int = 0, interval_ms: int = 0, body: bytes | None = None) -> bytes:
    """A proxy request in absolute form, as a client with HTTP_PROXY sends it."""
    body = BODY % (b"true" if stream else b"false") if body is None else body
    extra = b"x-events: %d/%d\r\n" % (events, interval_ms) if stream else b""
    return (
        b"POST http://api.anthropic.com/v1/messages HTTP/1.1\r\nhost: api.anthropic.com\r\n"
        b"content-type: application/json\r\nanthropic-version: 2023-06-01\r\nx-api-key: sk-client\r\n"
        b"user-agent: bench\r\naccept: */*\r\n" + extra + b"content-length: %d\r\n\r\n" % len(body) + body
    )


@dataclass
class Result:
    """Seconds throughout."""

    elapsed: float
    latencies: list[float] = field(default_factory=list)
    """Whole answers."""
    first_bytes: list[float] = field(default_factory=list)
    """From the request's last byte to the answer's first event."""
    cpu: float = 0.0
    """What the proxy spent."""
    events: int = 0
    failures: int = 0

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.elapsed


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` of `values` lie; 0 for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


class Client(asyncio.Protocol):
    """One connection; `exchange` sends a request and waits for the end of its answer."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.done: asyncio.Future[bytes] | None = None
        self.first_event = 0.0
        self.closed = False

    def connection_made(self, transport) -> None:
        self.transport = transport

    def connection_lost(self, exc) -> None:
        self.closed = True
        if self.done and not self.done.done():
            self.done.set_exception(ConnectionError("closed"))

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if not self.first_event and b"data:" in self.buffer:
            self.first_event = time.perf_counter()
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0 or self.done is None or self.done.done():
            return
        match = re.search(rb"\r\ncontent-length: (\d+)", self.buffer[:end].lower())
        complete = (
            len(self.buffer) >= end + 4 + int(match[1]) if match else self.buffer.endswith(b"\r\n0\r\n\r\n")
        )
        if complete:
            self.done.set_result(bytes(self.buffer))

    async def exchange(self, payload: bytes) -> bytes:
        self.buffer.clear()
        self.first_event = 0.0
        self.done = asyncio.get_running_loop().create_future()
        self.transport.write(payload)
        return await self.done


async def connect(port: int) -> Client:
    _, client = await asyncio.get_running_loop().create_connection(Client, "127.0.0.1", port)
    return client


async def requests(
    port: int, connections: int, seconds: float, payload: bytes, cpu: Callable[[], float] = lambda: 0.0
) -> Result:
    """As many requests as `connections` clients get through in `seconds`, after one each that does not count:
    on a slow machine making the connections would be most of it. `cpu` tells what the proxy has spent."""
    clients = await asyncio.gather(*(connect(port) for _ in range(connections)))
    await asyncio.gather(*(client.exchange(payload) for client in clients))
    result = Result(seconds)
    before = cpu()
    end = time.perf_counter() + seconds

    async def work(client: Client) -> None:
        while (begin := time.perf_counter()) < end:
            answer = await client.exchange(payload)
            if not answer.startswith(b"HTTP/1.1 200"):
                result.failures += 1
            result.latencies.append(time.perf_counter() - begin)

    await asyncio.gather(*(work(c) for c in clients))
    result.cpu = cpu() - before
    for client in clients:
        client.transport.close()
    return result


async def streams(port: int, concurrent: int, events: int, interval_ms: int) -> Result:
    """`concurrent` streams of `events` events each, begun at once."""
    clients = await asyncio.gather(*(connect(port) for _ in range(concurrent)))
    payload = request(True, events, interval_ms)
    result = Result(0.0)
    begin = time.perf_counter()

    async def work(client: Client) -> None:
        sent = time.perf_counter()
        answer = await client.exchange(payload)
        result.failures += not answer.startswith(b"HTTP/1.1 200")
        result.first_bytes.append(client.first_event - sent)
        result.latencies.append(time.perf_counter() - sent)
        result.events += answer.count(b"data:")

    await asyncio.gather(*(work(c) for c in clients))
    result.elapsed = time.perf_counter() - begin
    for client in clients:
        client.transport.close()
    return result
