"""mitmproxy's proxy server on sockets that were bound before it, by whoever knows where they come from."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence
from typing import Final

from mitmproxy import ctx
from mitmproxy.addons import proxyserver
from mitmproxy.proxy import mode_servers, mode_specs

from addons.local import ProcessInstance as ProcessInstance  # mitmproxy's modes know it by its class
from addons.peers import PeersInstance
from router_core.peers import Tunnel

ACCEPTS: Final = 16
"""Connections that are accepted in one round of the event loop. uvloop accepts one for each listening socket, after
which everything else has its turn: of two hundred clients that come together the last would wait for two hundred
rounds, each with the events of those that were served before."""


class Proxyserver(proxyserver.Proxyserver):
    """`sockets` are by mode, as written in mitmproxy's option; a mode without any opens its own."""

    def __init__(
        self, sockets: Mapping[str, Sequence[socket.socket]] | None = None, backlog: int = 100
    ) -> None:
        super().__init__()
        self._sockets = sockets or {}
        self._backlog = backlog
        self.tunnel: Tunnel | None = None
        """What a WireGuard listener serves."""

    async def setup_servers(self) -> bool:
        """Start one server for each mode. Raises what the first that cannot be started raises."""
        for text in ctx.options.mode:
            mode = mode_specs.ProxyMode.parse(text)
            server: mode_servers.ServerInstance = mode_servers.ServerInstance.make(mode, self)
            if sockets := self._sockets.get(text):
                self._serve_on(sockets, server)
            self.servers._instances[mode] = server
            await server.start()
        await self.servers.changed.send()
        return True

    async def serve_tunnel(self, tunnel: Tunnel) -> None:
        """Serve other peers. The connections of all of them end; they connect again by themselves."""
        self.tunnel = tunnel
        for server in self.servers:
            if isinstance(server, PeersInstance):
                await server.serve()

    async def close_tunnel(self) -> None:
        """Leave the port to another process."""
        for server in self.servers:
            if isinstance(server, PeersInstance):
                await server.close()

    def _serve_on(self, sockets: Sequence[socket.socket], server: mode_servers.ServerInstance) -> None:
        async def listen(_host: str, _port: int) -> list[asyncio.Server]:
            return [
                await asyncio.start_server(server.handle_stream, sock=each, backlog=self._backlog)
                for sock in sockets
                for each in (sock, *(sock.dup() for _ in range(ACCEPTS - 1)))
            ]

        server.listen = listen  # type: ignore[attr-defined]
