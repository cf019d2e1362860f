"""Upstream connections: how long they may take, what they offer, and how many there may be."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections import defaultdict
from typing import cast
from urllib.parse import unquote, urlsplit
from weakref import WeakKeyDictionary

from mitmproxy import connection, http, tls
from mitmproxy.net.server_spec import ServerSpec
from mitmproxy.proxy import server_hooks

from addons import socks
from addons.handlers import handler_of
from router_core.core import Core

logger = logging.getLogger(__name__)

PROXY_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
ALPN = {"always": (b"h2", b"http/1.1"), "never": (b"http/1.1",)}


class Upstream:
    def __init__(self, core: Core) -> None:
        self.core = core
        self._timers: WeakKeyDictionary[connection.Connection, asyncio.TimerHandle] = WeakKeyDictionary()

    def load(self, loader) -> None:
        socks.install()

    def client_connected(self, client: connection.Client) -> None:
        handler = handler_of(client)
        if handler is None:
            return
        # mitmproxy allows five connections per client and address and holds each for its whole life, so
        # the sixth stream of an HTTP/2 client over HTTP/1.1 upstreams would wait for another one's end.
        limit = self.core.config.limits.connections
        handler.max_conns = defaultdict(lambda: asyncio.Semaphore(limit))

    def server_connect(self, data: server_hooks.ServerConnectionHookData) -> None:
        offers = ALPN.get(self.core.config.upstream.http2)
        if offers and not data.server.alpn_offers:
            data.server.alpn_offers = offers
        self._arm(data.client, data.server)

    def server_connected(self, data: server_hooks.ServerConnectionHookData) -> None:
        if not data.server.tls:
            self._disarm(data.server)

    def server_connect_error(self, data: server_hooks.ServerConnectionHookData) -> None:
        self._disarm(data.server)

    def server_disconnected(self, data: server_hooks.ServerConnectionHookData) -> None:
        self._disarm(data.server)

    def tls_start_server(self, data: tls.TlsData) -> None:
        offers = ALPN.get(self.core.config.upstream.http2)
        if offers and isinstance(data.conn, connection.Server) and not data.conn.alpn_offers:
            data.conn.alpn_offers = offers
        if data.conn not in self._timers:
            self._arm(data.context.client, data.conn)  # behind an outbound proxy

    def tls_established_server(self, data: tls.TlsData) -> None:
        self._disarm(data.conn)

    def tls_failed_server(self, data: tls.TlsData) -> None:
        self._disarm(data.conn)

    def http_connect_upstream(self, flow: http.HTTPFlow) -> None:
        host = flow.server_conn.address[0] if flow.server_conn.address else ""
        if isinstance(host, ProxyHost) and host.authorization:
            flow.request.headers["proxy-authorization"] = host.authorization

    def _arm(self, client: connection.Client, server: connection.Connection) -> None:
        seconds = self.core.config.upstream.connect_timeout
        if seconds:
            loop = asyncio.get_running_loop()
            self._timers[server] = loop.call_later(seconds, self._give_up, client, server)

    def _disarm(self, server: connection.Connection) -> None:
        if timer := self._timers.pop(server, None):
            timer.cancel()

    def _give_up(self, client: connection.Client, server: connection.Connection) -> None:
        self._timers.pop(server, None)
        handler = handler_of(client)
        if handler is None:
            return
        via = server.via[1] if isinstance(server, connection.Server) and server.via else None
        for open_connection, transport in list(handler.transports.items()):
            is_it = open_connection is server or (via and getattr(open_connection, "address", None) == via)
            if is_it and transport.handler:
                transport.handler.cancel("connect timeout")


class ProxyHost(str):
    """The name of an outbound proxy, and who asks it: connections are shared by what equals, and two
    accounts of one proxy may have an address each."""

    account: tuple[bytes, bytes] | None = None
    """User and password."""

    @property
    def authorization(self) -> str:
        """The value of Proxy-Authorization, empty without an account."""
        return "Basic " + base64.b64encode(b":".join(self.account)).decode() if self.account else ""

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other) is True and self.account == getattr(other, "account", None)

    def __hash__(self) -> int:
        return str.__hash__(self)


def outbound_proxy(url: str | None) -> ServerSpec | None:
    """mitmproxy's form of an outbound proxy's URL, None for none.

    Raises ValueError for a scheme that mitmproxy cannot speak.
    """
    if not url or url == "direct":
        return None
    parts = urlsplit(url)
    if parts.scheme not in PROXY_PORTS or not parts.hostname:
        raise ValueError(f"an outbound proxy is http, https or socks5://HOST:PORT, not {parts.scheme}://")
    host = ProxyHost(parts.hostname)
    if parts.username is not None:
        host.account = unquote(parts.username).encode(), unquote(parts.password or "").encode()
    scheme = parts.scheme.removesuffix("h")
    return cast(ServerSpec, (scheme, (host, parts.port or PROXY_PORTS[parts.scheme])))
