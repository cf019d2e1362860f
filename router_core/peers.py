"""The WireGuard tunnel as it is served: its key, and who may come through it."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from pydantic import SecretStr

type IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
type IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

GATEWAY: Final = 1
"""Detour's own number in the tunnel's networks, where it answers DNS and shows its certificate."""


FILE: Final = Path("wireguard", "peers.json")
"""Where the peers are kept, below the data folder: ``{"peers": [{"name": ...}, ...]}``."""


def peer_names(data: Path) -> list[str] | None:
    """The names of the peers that are kept in the folder `data`; None where they cannot be read."""
    try:
        content = (data / FILE).read_bytes()
        return [str(entry["name"]) for entry in json.loads(content)["peers"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError):
        return None


@dataclass(frozen=True, slots=True)
class Peer:
    name: str
    public_key: str
    """Base64, as WireGuard writes keys."""
    number: int
    """Its place in the tunnel's networks; the first is 2."""


@dataclass(frozen=True)
class Tunnel:
    private_key: SecretStr
    peers: tuple[Peer, ...]
    networks: tuple[IPNetwork, ...]
    """One of IPv4 and one of IPv6."""

    def addresses(self, number: int) -> tuple[IPAddress, ...]:
        """Of whoever has `number`, one in each network."""
        return tuple(network[number] for network in self.networks)

    @cached_property
    def own(self) -> frozenset[str]:
        """Detour's own addresses in the tunnel."""
        return frozenset(map(str, self.addresses(GATEWAY)))

    @cached_property
    def names(self) -> Mapping[str, str]:
        """Peers' names by their addresses."""
        return {str(a): peer.name for peer in self.peers for a in self.addresses(peer.number)}
