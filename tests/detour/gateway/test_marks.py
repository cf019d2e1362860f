"""Connections that carry a mark, and when Detour cannot be told from those that it serves."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable

import httpx
import pytest

from detour.gateway import marks
from detour.gateway.marks import SO_MARK, MarkingLoop, MarkingSelectorLoop, may_mark
from router_core.config.schema import Config

MARK = 0xDE70
needs_mark = pytest.mark.skipif(not may_mark(MARK), reason="needs CAP_NET_ADMIN")


def config(**transparent: object) -> Config:
    return Config.model_validate({"listen": {"transparent": "127.0.0.1:8443"}, "transparent": transparent})


@needs_mark
@pytest.mark.parametrize("loop", [MarkingLoop, MarkingSelectorLoop])
def test_every_connection_is_marked(loop: Callable[[int], asyncio.AbstractEventLoop]) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    async def main() -> None:
        server = await asyncio.start_server(serve, "localhost", 0)
        port = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("localhost", port)
        assert writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, SO_MARK) == MARK
        writer.close()
        async with (
            httpx.AsyncClient(trust_env=False) as client,
            client.stream("GET", f"http://localhost:{port}") as got,
        ):
            sock = got.extensions["network_stream"].get_extra_info("socket")
            assert sock.getsockopt(socket.SOL_SOCKET, SO_MARK) == MARK
        server.close()

    with asyncio.Runner(loop_factory=lambda: loop(MARK)) as runner:
        runner.run(main())


@needs_mark
def test_a_refusal_is_the_last_address_own() -> None:
    async def main() -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", closed.getsockname()[1])

    with asyncio.Runner(loop_factory=lambda: MarkingLoop(MARK)) as runner:
        runner.run(main())


@pytest.fixture
def powerless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marks, "may_mark", lambda mark: False)


@pytest.mark.usefixtures("powerless")
def test_who_cannot_mark_says_what_to_do() -> None:
    assert "set transparent.user to the user that Detour runs as" in (marks.problem(config()) or "")
    other = str(os.geteuid() + 1)
    assert "run Detour as that user" in (marks.problem(config(user=other)) or "")
    assert "there is no user 'nobody-of-that-name' here" in (
        marks.problem(config(user="nobody-of-that-name")) or ""
    )


@pytest.mark.usefixtures("powerless")
def test_the_right_user_needs_no_mark() -> None:
    assert marks.problem(config(user=str(os.geteuid()))) is None
    assert marks.of(config()) is None


@pytest.mark.usefixtures("powerless")
def test_without_the_machines_own_connections_there_is_no_circle() -> None:
    assert marks.problem(config(local=False)) is None
    assert marks.problem(Config()) is None


def test_only_linux_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert "only Linux" in (marks.problem(config()) or "")
