"""The sockets that an instance listens on: opened all at once, before anything else begins."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from detour.ports import Address, parse_address
from router_core import processes
from router_core.config.schema import Config

logger = logging.getLogger(__name__)

MODES: Final = {
    "proxy": "regular",
    # A reverse proxy for a place that does not exist: each request gets its destination from its plan.
    "gateway": "reverse:http://gateway.invalid",
    "transparent": "transparent",
    "wireguard": "peers",
    "local": "process",
}
"""mitmproxy's mode for each listener that mitmproxy serves."""

STREAM: Final = socket.SOCK_STREAM
KINDS: Final = {"wireguard": socket.SOCK_DGRAM}
"""Kinds of sockets of listeners that are not TCP."""

LISTENERS: Final = ("proxy", "gateway", "admin", "transparent", "wireguard")
"""In the order of the ready line."""


class ListenError(Exception):
    """One line for each address that cannot be listened on: what, by whom, and the remedy."""


@dataclass(frozen=True, slots=True)
class Listener:
    name: str
    """One of `LISTENERS`."""
    host: str
    """As the configuration writes it."""
    sockets: tuple[socket.socket, ...]
    """Bound; a host name may have several addresses, on one port. None where the server binds its own (UDP)."""
    bound: Address
    """With the port that the system chose, where 0 was asked for."""

    @property
    def mode(self) -> str:
        """mitmproxy's mode with the address, as its option is written."""
        if self.name == "local":
            return f"{MODES[self.name]}:{self.host}"
        host = self.host if self.sockets else self.bound.host
        return f"{MODES[self.name]}@{Address(host, self.bound.port)}"

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()


def configured(config: Config) -> dict[str, Address]:
    """The addresses that `config` names."""
    written = {name: getattr(config.listen, name) for name in LISTENERS}
    return {name: parse_address(value) for name, value in written.items() if value}


def private() -> dict[str, Address]:
    """For an instance that serves one command: nobody but it would know the address of the admin port."""
    return {name: Address("127.0.0.1", 0) for name in ("proxy", "gateway")}


def local(pid: int) -> Listener:
    """No listener, but what is captured of process `pid`."""
    return Listener("local", str(pid), (), Address("", 0))


def on(name: str, host: str, sockets: tuple[socket.socket, ...]) -> Listener:
    """The listener `name` on `sockets`."""
    return Listener(name, host, sockets, Address(*sockets[0].getsockname()[:2]))


def open_listeners(
    addresses: dict[str, Address],
    offered: Sequence[tuple[str, socket.socket]] = (),
    *,
    replacing: bool = False,
) -> dict[str, Listener]:
    """A listener for each of `addresses`. Raises ListenError, with all of them closed, if one cannot be opened.

    A socket of `offered` is taken for the listener whose name or whose address it has; the others are closed.
    With `replacing` a UDP port may still be that of the instance whose place is taken.
    """
    opened: dict[str, Listener] = {}
    problems = []
    left = list(offered)
    for name, address in addresses.items():
        taken = [(given, sock) for given, sock in left if _is_for(given, sock, name, address)]
        left = [one for one in left if one not in taken]
        sockets = tuple(sock for _, sock in taken)
        try:
            if name in KINDS:
                opened[name] = Listener(name, address.host, (), _free(address, KINDS[name], replacing))
                continue
            sockets = sockets or bind(address, dual=name == "transparent")
        except OSError as error:
            problems.append(_problem(name, address, error))
        else:
            opened[name] = on(name, address.host, sockets)
    for given, sock in left:
        host, port = sock.getsockname()[:2]
        logger.warning(
            "nothing of `listen` is at %s, whose socket was passed as %r", Address(host, port), given
        )
        sock.close()
    if problems:
        close_all(opened.values())
        raise ListenError("\n".join(problems))
    return opened


def _free(address: Address, kind: socket.SocketKind, replacing: bool) -> Address:
    """`address` with the port that is to be bound. Raises OSError if it cannot be."""
    try:
        sockets = bind(address, kind=kind)
    except OSError as error:
        if replacing and error.errno == errno.EADDRINUSE:
            return address
        raise
    bound = Address(*sockets[0].getsockname()[:2])
    for sock in sockets:
        sock.close()
    return bound


def _is_for(given: str, sock: socket.socket, name: str, address: Address) -> bool:
    """Whether the socket that was offered as `given` is the one for the listener `name` at `address`."""
    if given not in (name, *LISTENERS):
        given = name  # the service manager's own name for it, which says nothing
    host, port = sock.getsockname()[:2]
    return given == name and address.port in (0, port) and host in _hosts(address.host)


def _hosts(host: str) -> set[str]:
    """The IP addresses that `host` stands for."""
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError:
        return set()
    return found | {"0.0.0.0"} if host == "::" else found


def close_all(listeners: Iterable[Listener]) -> None:
    for listener in listeners:
        listener.close()


def bind(
    address: Address, *, dual: bool = False, kind: socket.SocketKind = STREAM
) -> tuple[socket.socket, ...]:
    """A socket for each address of the host, all on one port, the first bound first. Raises OSError.

    With `dual`, ``::`` stands for every address of IPv4 too.
    """
    hosts = ["::", "0.0.0.0"] if dual and address.host == "::" else [address.host]
    found = [
        info
        for host in hosts
        for info in socket.getaddrinfo(host, address.port, type=kind, flags=socket.AI_PASSIVE)
    ]
    sockets: list[socket.socket] = []
    port, missing = address.port, None
    with contextlib.ExitStack() as undo:
        for family, _, protocol, _, (host, *_) in dict.fromkeys(found):
            sock = socket.socket(family, kind, protocol)
            undo.callback(sock.close)
            if kind is STREAM:
                # Of datagram sockets it would let two have one port.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                sock.bind((host, port))
            except OSError as error:
                # A name's IPv6 address, where IPv6 is off.
                if error.errno != errno.EADDRNOTAVAIL or len(found) == 1:
                    raise
                missing = error
                continue
            port = port or sock.getsockname()[1]
            sock.setblocking(False)
            sockets.append(sock)
        if missing and not sockets:
            raise missing
        undo.pop_all()
    return tuple(sockets)


def _problem(name: str, address: Address, error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            holder = processes.listener(address.port) if name not in KINDS else None
            why = f"{os.strerror(errno.EADDRINUSE)}{f' by {holder}' if holder else ''}"
            remedy = "stop it or choose another port"
        case errno.EACCES:
            why, remedy = "only root may", "choose a port from 1024 on, or grant CAP_NET_BIND_SERVICE"
        case errno.EADDRNOTAVAIL:
            why, remedy = "this machine does not have the address", "choose one that `ip address` shows"
        case errno.EAFNOSUPPORT:
            why, remedy = "IPv6 is off on this machine", f"switch it on, or listen on 0.0.0.0:{address.port}"
        case _:
            why, remedy = error.strerror or str(error), "choose another address"
    return f"listen.{name}: cannot listen on {address}: {why}; {remedy}"


def ready_line(listeners: dict[str, Listener]) -> str:
    """What an instance says on standard output when it serves."""
    return " ".join(["detour ready", *(f"{n}={listeners[n].bound}" for n in LISTENERS if n in listeners)])
