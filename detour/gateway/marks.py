"""An event loop whose outgoing connections carry a firewall mark, by which rules tell them from other traffic.

Source: socket(7), SO_MARK; it needs the capability CAP_NET_ADMIN, or CAP_NET_RAW since Linux 5.17.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from typing import Any, Final

from detour.gateway.ruleset import RulesetError, uid_of
from router_core.config.schema import Config

try:
    from uvloop import Loop as FastLoop
except ImportError:
    FastLoop = asyncio.SelectorEventLoop  # type: ignore[assignment, misc]

SO_MARK: Final = getattr(socket, "SO_MARK", 36)  # missing in builds without the kernel's headers


def of(config: Config) -> int | None:
    """The mark that Detour's connections get; None for none."""
    mark = config.transparent.mark if config.listen.transparent else None
    return mark if mark is not None and may_mark(mark) else None


def problem(config: Config) -> str | None:
    """Why transparent mode cannot be served, e.g. as Detour would be led back to itself; None if it can."""
    settings = config.transparent
    if config.listen.transparent is None:
        return None
    if sys.platform != "linux":
        return "listen.transparent: only Linux says where a redirected connection was going; remove it here"
    if not settings.local or of(config) is not None:
        return None
    remedy = (
        "run Detour as that user" if settings.user else "set transparent.user to the user that Detour runs as"
    )
    try:
        if settings.user is not None and uid_of(settings.user) == os.geteuid():
            return None
    except RulesetError as error:
        return str(error)
    return (
        "transparent.local: nothing would tell Detour's own connections from those that are redirected to it; "
        f"{remedy}, grant CAP_NET_ADMIN to have them marked, or set local: false"
    )


def may_mark(mark: int) -> bool:
    """Whether this process may mark its connections."""
    if sys.platform != "linux":
        return False
    with socket.socket() as probe:
        try:
            probe.setsockopt(socket.SOL_SOCKET, SO_MARK, mark)
        except OSError:
            return False
    return True


class Marking(asyncio.AbstractEventLoop):
    """A loop's `create_connection`, through which asyncio's streams and httpx connect, with marked sockets.

    Addresses are tried one after the other, as asyncio does unless it is told otherwise.
    """

    mark: int

    async def create_connection(
        self,
        protocol_factory: Callable[[], Any],
        host: str | None = None,
        port: int | None = None,
        *,
        sock: socket.socket | None = None,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        local_addr: tuple[str, int] | None = None,
        **options: Any,
    ) -> Any:
        if sock is None and host is not None:
            sock = await self._connected(host, port, family, proto, flags, local_addr)
            if options.get("ssl") and options.get("server_hostname") is None:
                options["server_hostname"] = host
            for name in ("happy_eyeballs_delay", "interleave", "all_errors"):
                options.pop(name, None)
        return await super().create_connection(protocol_factory, sock=sock, **options)

    async def _connected(
        self,
        host: str,
        port: int | None,
        family: int,
        proto: int,
        flags: int,
        local_addr: tuple[str, int] | None,
    ) -> socket.socket:
        """A marked socket, connected to the first address of `host` that answers. Raises OSError."""
        found = await self.getaddrinfo(
            host, port, family=family, type=socket.SOCK_STREAM, proto=proto, flags=flags
        )
        refused: OSError = OSError(f"{host} has no address")
        for kind, type_, protocol, _, address in found:
            sock = socket.socket(kind, type_, protocol)
            try:
                sock.setblocking(False)
                sock.setsockopt(socket.SOL_SOCKET, SO_MARK, self.mark)
                if local_addr:
                    sock.bind(local_addr)
                await self.sock_connect(sock, address)
            except OSError as error:
                sock.close()
                refused = error
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise refused


class MarkingLoop(Marking, FastLoop):  # type: ignore[misc]
    """The loop that serves."""

    def __init__(self, mark: int) -> None:
        super().__init__()
        self.mark = mark


class MarkingSelectorLoop(Marking, asyncio.SelectorEventLoop):
    """Python's own loop, for what another one does not suit."""

    def __init__(self, mark: int) -> None:
        super().__init__()
        self.mark = mark
