"""The proxy server's listening sockets."""

from __future__ import annotations

import asyncio
import socket
from types import SimpleNamespace
from typing import Any

import uvloop

from addons.listening import ACCEPTS, Proxyserver

CLIENTS = 8 * ACCEPTS


async def rounds_until_all_are_served(listener: socket.socket) -> int:
    """The rounds of the event loop in which `CLIENTS` connections, which wait already, are handed over."""
    served = 0

    async def handle_stream(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal served
        served += 1
        writer.close()

    server: Any = SimpleNamespace(handle_stream=handle_stream)
    Proxyserver(backlog=CLIENTS)._serve_on([listener], server)
    clients = [socket.create_connection(listener.getsockname()) for _ in range(CLIENTS)]
    opened = await server.listen("", 0)
    rounds = 0
    while served < CLIENTS and rounds < 10 * CLIENTS:
        await asyncio.sleep(0)
        rounds += 1
    for each in (*clients, *opened):
        each.close()
    assert served == CLIENTS
    return rounds


def test_clients_that_come_together_are_accepted_together() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=CLIENTS) as listener:
        rounds = uvloop.run(rounds_until_all_are_served(listener))
    # Accepted one by one they would need as many rounds as there are.
    assert rounds < CLIENTS / 2


def test_a_closed_server_listens_no_more() -> None:
    async def open_and_close(listener: socket.socket) -> None:
        server: Any = SimpleNamespace(handle_stream=None)
        Proxyserver(backlog=CLIENTS)._serve_on([listener], server)
        for opened in await server.listen("", 0):
            opened.close()
        await asyncio.sleep(0.01)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        uvloop.run(open_and_close(listener))
    with socket.socket() as late:
        assert late.connect_ex(address) != 0
