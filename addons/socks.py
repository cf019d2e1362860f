"""SOCKS5 as an outbound proxy (RFC 1928), with user and password (RFC 1929); mitmproxy has only HTTP proxies.

The destination goes to the proxy by name, so that the proxy resolves it: with ``socks5h`` that is what was
asked for, and with ``socks5`` it keeps names that only the proxy knows within reach.
"""

from __future__ import annotations

import ipaddress

from mitmproxy import connection
from mitmproxy.proxy import commands, context, layer, tunnel
from mitmproxy.proxy.layers.http._upstream_proxy import HttpUpstreamProxy

NO_ACCOUNT, ACCOUNT, NOTHING = 0x00, 0x02, 0xFF
REPLIES = {
    1: "general failure",
    2: "not allowed by its rules",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "time to live exceeded",
    7: "command not supported",
    8: "address type not supported",
}


class Socks5Proxy(tunnel.TunnelLayer):
    """Asks the SOCKS proxy at `proxy` for a connection to ``context.server``."""

    def __init__(self, ctx: context.Context, proxy: connection.Server) -> None:
        super().__init__(ctx, tunnel_connection=proxy, conn=ctx.server)
        assert proxy.address
        self.destination = ctx.server.address
        self.account: tuple[bytes, bytes] | None = getattr(proxy.address[0], "account", None)
        self.buffer = b""
        self.expect = self._method

    def start_handshake(self) -> layer.CommandGenerator[None]:
        methods = bytes([NO_ACCOUNT, ACCOUNT] if self.account else [NO_ACCOUNT])
        yield commands.SendData(self.tunnel_connection, bytes([5, len(methods)]) + methods)

    def receive_handshake_data(self, data: bytes) -> layer.CommandGenerator[tuple[bool, str | None]]:
        self.buffer += data
        while True:
            before = self.expect
            done, error = yield from self.expect()
            if done or error:
                if done and self.buffer:
                    rest, self.buffer = self.buffer, b""
                    yield from self.receive_data(rest)
                return done, error
            if self.expect == before:
                return False, None  # the rest of the reply is still to come

    def _method(self) -> layer.CommandGenerator[tuple[bool, str | None]]:
        if len(self.buffer) < 2:
            return False, None
        version, method = self.buffer[:2]
        self.buffer = self.buffer[2:]
        if version != 5:
            return False, "the outbound proxy does not speak SOCKS5"
        if method == ACCOUNT and self.account:
            user, password = self.account
            request = bytes([1, len(user)]) + user + bytes([len(password)]) + password
            yield commands.SendData(self.tunnel_connection, request)
            self.expect = self._admission
        elif method == NO_ACCOUNT:
            yield from self._ask()
        else:
            return False, "the SOCKS5 proxy wants an account; put it into the proxy's URL"
        return False, None

    def _admission(self) -> layer.CommandGenerator[tuple[bool, str | None]]:
        if len(self.buffer) < 2:
            return False, None
        status, self.buffer = self.buffer[1], self.buffer[2:]
        if status:
            return False, "the SOCKS5 proxy refused the user or password"
        yield from self._ask()
        return False, None

    def _ask(self) -> layer.CommandGenerator[None]:
        assert self.destination
        host, port = self.destination[:2]
        request = bytes([5, 1, 0]) + _address(host) + port.to_bytes(2)
        yield commands.SendData(self.tunnel_connection, request)
        self.expect = self._reply

    def _reply(self) -> layer.CommandGenerator[tuple[bool, str | None]]:
        yield from ()
        if len(self.buffer) < 5:
            return False, None
        code, kind = self.buffer[1], self.buffer[3]
        size = {1: 4, 3: 1 + self.buffer[4], 4: 16}.get(kind)
        if code or size is None:
            return False, f"the SOCKS5 proxy cannot connect: {REPLIES.get(code, f'reply {code}')}"
        if len(self.buffer) < 4 + size + 2:
            return False, None
        self.buffer = self.buffer[4 + size + 2 :]
        return True, None


def _address(host: str) -> bytes:
    """`host` as SOCKS writes it: an IP address, or a name of at most 255 bytes."""
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        name = host.encode("idna")[:255]
        return bytes([3, len(name)]) + name
    return bytes([1 if ip.version == 4 else 4]) + ip.packed


def install() -> None:
    """Let `via` be a SOCKS5 proxy: mitmproxy asks this one function for the layer of an outbound proxy."""
    original = HttpUpstreamProxy.make
    if getattr(original, "knows_socks", False):
        return

    def make(ctx: context.Context, send_connect: bool) -> tunnel.LayerStack:
        assert ctx.server.via
        scheme, address = ctx.server.via
        if scheme != "socks5":
            return original(ctx, send_connect)
        stack = tunnel.LayerStack()
        stack /= Socks5Proxy(ctx, connection.Server(address=address))
        return stack

    make.knows_socks = True  # type: ignore[attr-defined]
    HttpUpstreamProxy.make = make  # type: ignore[method-assign]
