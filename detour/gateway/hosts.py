"""The hosts whose connections are led to Detour."""

from __future__ import annotations

from detour.gateway.ruleset import IPAddress
from router_core.config.schema import Config
from router_core.config.values import is_address, is_loopback
from router_core.providers.registry import Registry


def redirected(config: Config, registry: Registry) -> list[str]:
    """The names that Detour decrypts, in their order; addresses and this machine itself have no DNS."""
    hosts = {*registry.hosts, *config.capture.hosts}
    return sorted(host for host in hosts if not is_loopback(host) and not is_address(host))


def may_be_redirected(address: IPAddress) -> bool:
    """Whether `address` can be another machine's; blocking DNS servers answer 0.0.0.0 or 127.0.0.1."""
    return not (
        address.is_loopback or address.is_unspecified or address.is_multicast or address.is_link_local
    )
