"""A WireGuard server for several peers, and what becomes of the packets in its tunnel.

mitmproxy's own mode has one peer for each server. Here each peer has a name and an address of its own, by which
its requests are told apart. TLS goes its usual way, everything else leaves the tunnel as it came in; only QUIC to
providers is dropped, so that the client falls back to TCP. The same holds for the datagrams of a command that is
captured by process.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
from typing import TYPE_CHECKING, Final, cast

import mitmproxy_rs
from mitmproxy import connection, dns, exceptions
from mitmproxy.addons import dns_resolver
from mitmproxy.proxy import events, layer, layers, mode_servers, mode_specs
from mitmproxy.proxy.layers import modes

from addons import quic
from addons.magic_host import HOST as MAGIC_HOST
from addons.transparent import Cut
from router_core.core import Core

if TYPE_CHECKING:
    from addons.listening import Proxyserver

logger = logging.getLogger(__name__)

PORT_INTERVAL: Final = 0.25
"""Seconds between two attempts at a port that is taken."""

DNS: Final = 53
HTTP: Final = 80
HTTPS: Final = 443
HTTPS_RECORD: Final = 65
"""Type of the DNS record that offers QUIC and encrypted names (RFC 9460)."""
TTL: Final = 60
MAX_HELLO: Final = 8
"""Datagrams in which a QUIC ClientHello may come."""


class PeersMode(mode_specs.WireGuardMode):
    """Written ``peers@HOST:PORT``."""


class PeersInstance(mode_servers.AsyncioServerInstance[PeersMode]):
    _opening: asyncio.Task[None] | None = None

    def make_top_layer(self, context) -> layer.Layer:
        return modes.TransparentProxy(context)

    async def _start(self) -> None:
        await self.serve()

    async def _stop(self) -> None:
        await self.close()

    async def serve(self) -> None:
        """Serve the manager's tunnel, in the place of an earlier one. Raises OSError.

        A port that another instance has, whose place this one takes, is waited for.
        """
        await self.close()
        try:
            self._servers = [await self._open()]
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            self._opening = asyncio.create_task(self._open_later())

    async def close(self) -> None:
        if self._opening:
            self._opening.cancel()
            self._opening = None
        running, self._servers = self._servers, []
        for server in running:
            server.close()
            await server.wait_closed()

    async def _open_later(self) -> None:
        logger.info("the WireGuard server waits for its port, which another process has")
        while True:
            await asyncio.sleep(PORT_INTERVAL)
            try:
                self._servers = [await self._open()]
            except OSError:
                continue
            logger.info("the WireGuard server has its port")
            return

    async def _open(self) -> mitmproxy_rs.wireguard.WireGuardServer:
        tunnel = cast("Proxyserver", self.manager).tunnel
        assert tunnel
        # Without any peer there is no server; this one is nobody's.
        nobody = mitmproxy_rs.wireguard.pubkey(mitmproxy_rs.wireguard.genkey())
        return await mitmproxy_rs.wireguard.start_wireguard_server(
            self.mode.listen_host(),
            self.mode.listen_port() or 0,
            tunnel.private_key.get_secret_value(),
            [peer.public_key for peer in tunnel.peers] or [nobody],
            self.handle_stream,
            self.handle_stream,
        )


class Peers:
    name = "detour-peers"

    def __init__(self, core: Core) -> None:
        self.core = core

    def client_connected(self, client: connection.Client) -> None:
        if is_peer(client) and not self._is_own(client) and not may_be_reached(client.sockname[0]):
            # For this machine, whoever comes from it is a friend; peers are guests.
            client.error = "a peer may not reach this machine's own addresses"
            self.core.connections.refused += 1

    def next_layer(self, nextlayer: layer.NextLayer) -> None:
        context = nextlayer.context
        client = context.client
        if not isinstance(context.layers[-1], modes.TransparentProxy):
            return
        if not isinstance(client.proxy_mode, PeersMode | mode_specs.LocalMode):
            return
        port = client.sockname[1]
        if self._is_own(client):
            nextlayer.layer = self._own_service(nextlayer, port)
        elif client.transport_protocol == "udp":
            nextlayer.layer = self._datagrams(nextlayer, port)

    def _is_own(self, client: connection.Client) -> bool:
        tunnel = self.core.tunnel
        return is_peer(client) and tunnel is not None and client.sockname[0] in tunnel.own

    def _own_service(self, nextlayer: layer.NextLayer, port: int) -> layer.Layer:
        context = nextlayer.context
        if port == DNS:
            return layers.DNSLayer(context)
        if port == HTTP and context.client.transport_protocol == "tcp":
            return layers.HttpLayer(context, layers.http.HTTPMode.transparent)
        return Cut(context)

    def _datagrams(self, nextlayer: layer.NextLayer, port: int) -> layer.Layer:
        context = nextlayer.context
        if port == HTTPS:
            datagrams = [e.data for e in nextlayer.events if isinstance(e, events.DataReceived)]
            try:
                hello = quic.client_hello(datagrams[:MAX_HELLO])
            except Exception:
                return layers.UDPLayer(context, ignore=True)  # not QUIC, or a version that nobody here knows
            if hello is None and len(datagrams) < MAX_HELLO:
                raise exceptions.AddonHalt
            if hello is not None and self.core.is_intercepted(hello.sni):
                self.core.connections.quic += 1
                return Cut(context)
        return layers.UDPLayer(context, ignore=True)


class PeersResolver(dns_resolver.DnsResolver):
    """Answers DNS at Detour's own address in the tunnel, by the name servers of this machine."""

    def __init__(self, core: Core) -> None:
        self.core = core

    async def dns_request(self, flow: dns.DNSFlow) -> None:
        question = flow.request.question
        if not self._should_resolve(flow) or question is None:
            return
        name = question.name.lower().rstrip(".")
        if name == MAGIC_HOST and (tunnel := self.core.tunnel):
            kind = {4: dns.types.A, 6: dns.types.AAAA}
            own = [a for a in map(ipaddress.ip_address, tunnel.own) if kind[a.version] == question.type]
            flow.response = flow.request.succeed(
                [
                    dns.ResourceRecord(question.name, question.type, question.class_, TTL, a.packed)
                    for a in own
                ]
            )
        elif question.type == HTTPS_RECORD and self.core.is_intercepted(name):
            flow.response = flow.request.succeed([])
        else:
            await super().dns_request(flow)

    def _should_resolve(self, flow: dns.DNSFlow) -> bool:  # type: ignore[override]
        tunnel = self.core.tunnel
        asked = (
            is_peer(flow.client_conn) and tunnel is not None and flow.client_conn.sockname[0] in tunnel.own
        )
        return asked and flow.live and not flow.response and not flow.error


def is_peer(client: connection.Client) -> bool:
    return isinstance(client.proxy_mode, PeersMode)


def may_be_reached(host: str) -> bool:
    """Whether a peer may be led to `host`: not to loopback, nor to link-local services such as cloud metadata."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return not (
        address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified
    )
