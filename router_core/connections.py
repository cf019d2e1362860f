"""What became of the connections of clients, counted since the start."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Connections:
    """Every TLS connection to another host, and of clients that do not know of Detour every connection, is counted as one of these."""

    decrypted: int = 0
    """To a host that is intercepted."""
    tunnelled: int = 0
    """To a host that is none of these."""
    unnamed: int = 0
    """Tunnelled: TLS that names no host."""
    ech: int = 0
    """Tunnelled: TLS whose name is hidden by Encrypted Client Hello."""
    opaque: int = 0
    """Tunnelled for clients that do not know of Detour: no TLS."""
    refused: int = 0
    """Cut off: from outside `access.networks`, or a WireGuard peer's to this machine itself."""
    quic: int = 0
    """Dropped in the WireGuard tunnel: QUIC to a host that is intercepted, whose client falls back to TCP."""
    looped: int = 0
    """Cut off: aimed at the transparent listener itself, or Detour's own, redirected back to it."""
