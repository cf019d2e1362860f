"""What a peer's device is told: its WireGuard configuration, wg-quick(8)'s form of it."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable

from detour.environment import ANY
from detour.ports import parse_address
from detour.wireguard.store import PeerEntry, public_of
from router_core.config.schema import Config
from router_core.peers import GATEWAY, IPAddress, Tunnel

EVERYTHING = ("0.0.0.0/0", "::/0")
OWN_KEY = "PUT-YOUR-PRIVATE-KEY-HERE"
KEEPALIVE = 25
"""Seconds between packets that keep a NAT's mapping open, as WireGuard's documentation recommends."""


def configuration(entry: PeerEntry, tunnel: Tunnel, providers: Iterable[IPAddress]) -> str:
    """The device's file. `providers` are the addresses that are led through the tunnel unless everything is."""
    own = tunnel.addresses(GATEWAY)
    mine = ", ".join(f"{address}/{address.max_prefixlen}" for address in tunnel.addresses(entry.number))
    interface = [f"PrivateKey = {entry.private_key or OWN_KEY}", f"Address = {mine}"]
    if entry.all_traffic:
        # Otherwise the device's own DNS goes on, and with it everything that is none of Detour's business.
        interface.append(f"DNS = {', '.join(map(str, own))}")
        allowed = list(EVERYTHING)
    else:
        allowed = [*(f"{address}/{address.max_prefixlen}" for address in own), *collapsed(providers)]
    peer = [
        f"PublicKey = {public_of(tunnel.private_key.get_secret_value())}",
        f"AllowedIPs = {', '.join(allowed)}",
        f"Endpoint = {entry.endpoint}",
        f"PersistentKeepalive = {KEEPALIVE}",
    ]
    return "\n".join(["[Interface]", *interface, "", "[Peer]", *peer, ""])


def collapsed(addresses: Iterable[IPAddress]) -> list[str]:
    """`addresses` as the fewest networks, IPv4 first."""
    found = set(addresses)
    networks = [
        str(network)
        for version in (4, 6)
        for network in ipaddress.collapse_addresses(
            [ipaddress.ip_network(a) for a in found if a.version == version]  # type: ignore[type-var]
        )
    ]
    return networks


def endpoint(config: Config, given: str | None) -> str | None:
    """``HOST:PORT`` by which a device reaches the server; None if nothing but loopback can be told."""
    assert config.listen.wireguard
    listener = parse_address(config.listen.wireguard)
    host, port = listener.host, listener.port
    if written := given or config.wireguard.endpoint:
        host, port = _split(written, port)
    elif host in ANY:
        host = _outward() or ""
    if not host or host.startswith("127.") or host in ("localhost", "::1"):
        return None
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _split(written: str, port: int) -> tuple[str, int]:
    """``HOST``, ``HOST:PORT``, ``[IPV6]:PORT`` or an IPv6 address."""
    host, colon, number = written.rpartition(":")
    if colon and number.isdecimal() and (":" not in host or host.startswith("[")):
        return host.strip("[]"), int(number)
    return written.strip("[]"), port


def _outward() -> str | None:
    """The address with which this machine leaves for others."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return None
        return str(probe.getsockname()[0])
