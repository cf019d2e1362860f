"""An outbound HTTP proxy that asks for a password and remembers what went through it."""

from __future__ import annotations

import asyncio
import base64
from contextlib import suppress


class ConnectProxy:
    """Serves CONNECT only (RFC 9110 9.3.6). `seen` holds the targets, `refused` those without the password."""

    def __init__(self, user: str, password: str) -> None:
        self.seen: list[str] = []
        self.refused: list[str] = []
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._wanted = f"proxy-authorization: basic {pair}".lower()
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        assert self._server, "not started"
        return self._server.sockets[0].getsockname()[1]

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def close(self) -> None:
        if self._server:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            target = head.split(" ")[1]
            if self._wanted not in head.lower():
                self.refused.append(target)
                writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
            else:
                self.seen.append(target)
                host, _, port = target.rpartition(":")
                there = await asyncio.open_connection(host, int(port))
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await asyncio.gather(_copy(reader, there[1]), _copy(there[0], writer))
        writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()
