"""Listening addresses: how they are written, and what keeps one from being taken."""

from __future__ import annotations

import socket
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    """Without brackets."""
    port: int
    """0 for any free one."""

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """``HOST:PORT`` or ``[HOST]:PORT``. The configuration's loader has checked the form."""
    host, _, port = text.rpartition(":")
    return Address(host.strip("[]"), int(port))


def bind_error(address: Address, kind: socket.SocketKind = socket.SOCK_STREAM) -> OSError | None:
    """Why nothing can listen at `address` now, or None."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        with socket.socket(family, kind) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address.host, address.port))
    except OSError as error:
        return error
    return None
