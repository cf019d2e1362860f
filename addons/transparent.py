"""Connections that a gateway box redirects to Detour: what they are, before anything is made of them.

TLS goes its usual way, where `Intercept` decides by the name in its ClientHello. Everything else is tunnelled
to where it was going, and nothing is ever sent back to Detour itself.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Final
from weakref import WeakKeyDictionary, WeakSet

from mitmproxy import connection, exceptions, platform
from mitmproxy.net.tls import starts_like_tls_record
from mitmproxy.proxy import commands, events, layer, mode_specs, server_hooks
from mitmproxy.proxy.layers import TCPLayer, modes
from mitmproxy.proxy.layers.tls import parse_client_hello

from addons.handlers import handler_of, inject
from router_core.core import Core

SILENCE: Final = 3.0
"""Seconds after which a client that has said nothing is taken to wait for its server's greeting."""

MAX_HELLO: Final = 64 * 1024
"""Bytes of a ClientHello. Those of post-quantum clients have about 2 KiB."""

HANDSHAKE: Final = b"\x16\x03"
CLIENT_HELLO: Final = b"\x01"
"""How a TLS record with a handshake begins, and which of its messages is the client's first (RFC 8446 5.1, 4)."""

LED: Final = (mode_specs.TransparentMode, mode_specs.WireGuardMode, mode_specs.LocalMode)
"""By the kernel's firewall, through a tunnel, or by process."""

LOOPED: Final = "a connection to Detour itself"


class Transparent:
    def __init__(self, core: Core) -> None:
        self.core = core
        self._silent: WeakSet[connection.Client] = WeakSet()
        self._timers: WeakKeyDictionary[connection.Client, asyncio.TimerHandle] = WeakKeyDictionary()
        self._own: set[tuple[str, int]] = set()
        """This end of each of Detour's own connections."""

    def load(self, loader) -> None:
        if platform.original_addr not in (None, original_destination):
            platform.original_addr = original_destination

    def client_connected(self, client: connection.Client) -> None:
        handler = handler_of(client)
        if client.error or handler is None or not is_transparent(client):
            return
        if client.transport_protocol == "udp":
            return
        if not isinstance(client.proxy_mode, mode_specs.TransparentMode):
            self._await(client)
            return
        local = handler.transports[client].writer.get_extra_info("sockname")  # type: ignore[union-attr]
        destination = handler.layer.context.server.address
        if destination and destination[:2] == local[:2]:
            # Nobody redirected it; to send it on to where it was going would send it here again.
            client.error = LOOPED
            self.core.connections.looped += 1
            return
        self._await(client)

    def _await(self, client: connection.Client) -> None:
        loop = asyncio.get_running_loop()
        self._timers[client] = loop.call_later(SILENCE, self._stayed_silent, client)

    def _stayed_silent(self, client: connection.Client) -> None:
        self._silent.add(client)
        # Data is what the next layer is asked for; there is none of it.
        inject(client, events.DataReceived(client, b""))

    def client_disconnected(self, client: connection.Client) -> None:
        self._heard(client)

    def _heard(self, client: connection.Client) -> None:
        if timer := self._timers.pop(client, None):
            timer.cancel()

    def server_connected(self, data: server_hooks.ServerConnectionHookData) -> None:
        if data.server.sockname:
            self._own.add(data.server.sockname[:2])

    def server_disconnected(self, data: server_hooks.ServerConnectionHookData) -> None:
        if data.server.sockname:
            self._own.discard(data.server.sockname[:2])

    def next_layer(self, nextlayer: layer.NextLayer) -> None:
        context = nextlayer.context
        if nextlayer.layer or not is_transparent(context.client) or not _is_first(context.layers):
            return
        data = nextlayer.data_client()
        if not data and context.client not in self._silent:
            return
        self._heard(context.client)
        if context.client.peername[:2] in self._own:
            self.core.connections.looped += 1
            nextlayer.layer = Cut(context)
        elif (is_tls := looks_like_tls(data)) is None:
            raise exceptions.AddonHalt  # nobody can tell before there is more of it
        elif not is_tls:
            self.core.connections.opaque += 1
            nextlayer.layer = TCPLayer(context, ignore=True)


_original_addr = platform.original_addr


def original_destination(sock: socket.socket) -> tuple[str, int]:
    """Where the client was going: to the listener itself, if the kernel knows of no redirection."""
    assert _original_addr
    try:
        return _original_addr(sock)
    except OSError:
        return sock.getsockname()[:2]


class Cut(layer.Layer):
    """Closes the client's connection."""

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, events.Start):
            yield commands.CloseConnection(self.context.client)


def is_transparent(client: connection.Client) -> bool:
    """Whether the client does not know of Detour: its connection was led here by its destination's address."""
    return isinstance(client.proxy_mode, LED)


def _is_first(layers: list[layer.Layer]) -> bool:
    """Whether nothing has been made of the connection's data yet."""
    return bool(layers) and isinstance(layers[-1], modes.TransparentProxy)


def looks_like_tls(data: bytes) -> bool | None:
    """Whether `data` begins with a ClientHello that can be read; None if it may become one."""
    if len(data) < 3:
        return None if data and HANDSHAKE.startswith(data[:2]) else False
    if not starts_like_tls_record(data) or data[5:6] not in (b"", CLIENT_HELLO):
        return False
    try:
        if hello := parse_client_hello(data):
            # mitmproxy's layer asks for these, and does not expect that they cannot be read.
            return isinstance(hello.sni, str | None) and isinstance(hello.alpn_protocols, list)
    except Exception:
        return False
    return None if len(data) < MAX_HELLO else False
