"""The lines by which dnsmasq puts the addresses of its answers into Detour's sets. Source: dnsmasq(8), nftset."""

from __future__ import annotations

from collections.abc import Iterable

from detour.gateway.ruleset import SETS, TABLE


def lines(hosts: Iterable[str], families: Iterable[int]) -> list[str]:
    """One ``nftset=`` for each of `hosts`. dnsmasq takes its subdomains too, which Detour then tunnels."""
    family, table = TABLE.split()
    sets = ",".join(f"{version}#{family}#{table}#{SETS[version]}" for version in families)
    return [f"nftset=/{host}/{sets}" for host in hosts]
