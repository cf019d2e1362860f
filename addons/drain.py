"""The end of a process that serves: no new connections, and each one closed when nothing is under way on it.

mitmproxy ends with everything open. Here requests and streams come to their end first:

- the listeners are closed;
- an HTTP/1 answer says that it is the last one on its connection;
- an HTTP/2 client is told to take its next request elsewhere (GOAWAY, RFC 9113 section 6.8), when it has no
  stream open or half of the time is over: clients built on the h2 library give up their streams at a GOAWAY;
- a connection without a request is closed when it has been quiet for `IDLE`;
- other connections are quiet for `QUIET` first: one whose client has not sent its first request yet, a tunnel
  whose content is unknown, a WebSocket session, which gets a close frame (1001, RFC 6455 section 7.4.1).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Final
from weakref import WeakSet

from mitmproxy import ctx, http
from mitmproxy.proxy import layer, layers
from mitmproxy.proxy.layers.http import HttpLayer
from mitmproxy.proxy.layers.http._http1 import Http1Server
from mitmproxy.proxy.layers.http._http2 import Http2Server
from mitmproxy.proxy.server import ConnectionHandler

from addons.failover.events import Draining
from addons.failover.layer import FailoverLayer
from router_core.core import Core

IDLE: Final = 1.0
QUIET: Final = 10.0
"""Seconds."""
LOOK: Final = 0.1
"""Seconds between two looks at the connections."""


class Drain:
    def __init__(self, core: Core) -> None:
        self.core = core
        self._told: WeakSet[FailoverLayer] = WeakSet()
        """The layers whose clients have heard that the connection ends."""

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        self._say_last(flow)

    def response(self, flow: http.HTTPFlow) -> None:
        # Of an answer that is not streamed the head goes out only now.
        self._say_last(flow)

    def _say_last(self, flow: http.HTTPFlow) -> None:
        response = flow.response
        if self.core.draining and response and response.status_code != 101 and flow.client_conn.alpn != b"h2":
            response.headers["connection"] = "close"

    async def run(self, limit: float) -> int:
        """Let everything come to its end within `limit` seconds; the number of connections that are left."""
        self.core.draining = True
        server = ctx.master.addons.get("proxyserver")
        for each in server.servers:
            # A UDP server's connections end with it.
            if each.mode.transport_protocol == "tcp":
                await each.stop()
        begun = time.monotonic()
        while server.connections and (spent := time.monotonic() - begun) < limit:
            for handler in list(server.connections.values()):
                await self._look_at(handler, urgent=spent > limit / 2)
            await asyncio.sleep(LOOK)
        return len(server.connections)

    async def _look_at(self, handler: ConnectionHandler, urgent: bool) -> None:
        """Close the connection if nothing is under way on it; a client that can be told is told before."""
        busy = tunnel = served = False
        tellable: HttpLayer | None = None
        innermost: HttpLayer | None = None
        for each in _layers(handler.layer.context.layers):
            if isinstance(each, HttpLayer):
                innermost = each
                served = _has_served(each.connections.get(handler.client))
                busy |= any(stream.child_layer is None for stream in each.streams.values())
                if isinstance(each.connections.get(handler.client), Http2Server):
                    tellable = each
            elif isinstance(each, layers.TCPLayer | layers.UDPLayer | layers.WebsocketLayer):
                tunnel = True
                tellable = innermost if isinstance(each, layers.WebsocketLayer) else None
        quiet = time.time() - handler.timeout_watchdog.last_activity
        idle = not busy and quiet >= (IDLE if served and not tunnel else QUIET)
        if isinstance(tellable, FailoverLayer) and tellable not in self._told:
            if idle or urgent or not (busy or tunnel):
                # Counts as activity, so that the client has its time to follow.
                self._told.add(tellable)
                await handler.server_event(Draining(tellable))
        elif idle and (io := handler.transports.get(handler.client)) and io.handler:
            io.handler.cancel("nothing is under way")


def _has_served(client: layer.Layer | None) -> bool:
    """Whether a request has come in on this end of a connection."""
    match client:
        case Http1Server():
            return client.stream_id > 1
        case Http2Server():
            return client.h2_conn.highest_inbound_stream_id > 0
    return False


def _layers(stack: list[layer.Layer], begin: int = 0) -> Iterator[layer.Layer]:
    """The layers of a client connection from the outermost inwards, those of its streams after their own."""
    for depth, each in enumerate(stack[begin:], begin + 1):
        yield each
        if isinstance(each, HttpLayer):
            for stream in set(each.streams.values()):
                yield from _layers(stream.context.layers, depth)
