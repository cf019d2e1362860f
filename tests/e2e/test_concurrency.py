"""Many streams of one client, and many clients at once."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from detour.fakes import Fault
from tests.e2e.conftest import House, Start
from tests.e2e.wire import SHAPES, Http2Client, Stream, address
from tests.upstream import FakeThread

STREAMS = 50
CLIENTS = 500


@pytest.mark.parametrize("alpn", [("http/1.1",), ("h2",)], ids=["h1-upstream", "h2-upstream"])
def test_fifty_streams_of_one_client_all_begin_before_any_ends(
    start: Start, fakes: FakeThread, alpn: tuple[str, ...]
) -> None:
    fake = fakes.start("fifty", alpn=alpn)
    fake.script.add(Fault.gate("all-begun"))
    detour = start(
        upstream={"first_byte_timeout": "30s", "idle_timeout": "30s", "connect_timeout": "20s"},
        providers={"anthropic": {"base_url": fake.base_url("anthropic")}},
        credentials=[{"id": "a", "provider": "anthropic", "api_key": "secret"}],
    )
    path, headers, body = SHAPES["anthropic"].request("m", stream=True)
    with Http2Client(detour.proxy, "api.anthropic.com", detour.tls()) as client:
        for _ in range(STREAMS):
            client.send("POST", path, headers, json.dumps(body).encode())

        def all_begun(streams: dict[int, Stream]) -> bool:
            return all(b'"Hello "' in s.data for s in streams.values())

        client.until(all_begun)
        assert [r.state for r in fake.record.requests] == ["answering"] * STREAMS
        fake.open("all-begun")
        streams = client.until(lambda streams: all(s.ended for s in streams.values()))
    assert [s.status for s in streams.values()] == [200] * STREAMS
    assert len({s.data for s in streams.values()}) == 1
    assert all(s.data.endswith(b'data: {"type":"message_stop"}\n\n') for s in streams.values())
    connections = {r.connection.id for r in fake.record.requests}
    assert len(connections) == (STREAMS if alpn == ("http/1.1",) else 1)


def listen_drops() -> dict[str, int]:
    """How often the kernel dropped a connection because a listener's queue was full."""
    rows = [line.split() for line in Path("/proc/net/netstat").read_text().splitlines()]
    counters = {
        name: int(value)
        for names, values in zip(rows[::2], rows[1::2], strict=True)
        for name, value in zip(names[1:], values[1:], strict=True)
    }
    return {name: counters[name] for name in ("ListenDrops", "ListenOverflows", "TCPReqQFullDrop")}


@pytest.fixture
def many_files() -> Iterator[None]:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.skipif(not Path("/proc/net/netstat").exists(), reason="the kernel's counters are Linux's")
@pytest.mark.parametrize("listener", ["proxy", "gateway"])
def test_five_hundred_clients_at_once_are_all_taken(house: House, many_files: None, listener: str) -> None:
    target = address(getattr(house.detour, listener))
    before = listen_drops()
    with ExitStack() as stack:
        sockets = []
        for _ in range(CLIENTS):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(target)
            sockets.append(sock)
        for sock in sockets:
            sock.settimeout(20)
            sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answers = [sock.recv(100) for sock in sockets]
    assert all(answer.startswith(b"HTTP/1.1 ") for answer in answers)
    assert listen_drops() == before
