"""What became of the connections of clients, counted since the start."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Connections:
    """Every TLS connection to another host, and in transparent mode every connection, is counted as one of these."""

    decrypted: int = 0
    """To a host that is intercepted."""
    tunnelled: int = 0
    """To a host that is none of these."""
    unnamed: int = 0
    """Tunnelled: TLS that names no host."""
    ech: int = 0
    """Tunnelled: TLS whose name is hidden by Encrypted Client Hello."""
    opaque: int = 0
    """Tunnelled in transparent mode: no TLS."""
    refused: int = 0
    """Cut off: from outside `access.networks`."""
    looped: int = 0
    """Cut off: aimed at the transparent listener itself, or Detour's own, redirected back to it."""
