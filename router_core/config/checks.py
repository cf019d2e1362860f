"""What only the whole configuration can tell: references between its parts, addresses, secrets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from router_core.config.credential_checks import check_credentials, limit_faults, unusable
from router_core.config.document import Path as Place
from router_core.config.problems import masked, nearest, shown
from router_core.config.report import Report
from router_core.config.rewrite_checks import check_rewrites
from router_core.config.schema import (
    Access,
    Config,
    Transparent,
    WireGuard,
)
from router_core.config.values import (
    Fault,
    is_address,
    is_host,
    is_loopback,
    parse_address,
    proxy_faults,
)
from router_core.paths import paths
from router_core.peers import IPNetwork, peer_names
from router_core.providers.registry import Registry
from router_core.routing.failures import parse_row

_STATE_SCHEMES: Final = ("redis://", "rediss://", "unix://")
_ANY: Final = ("0.0.0.0", "::")
_NAMED: Final = 10
"""Known names that a message lists at most."""


def check(config: Config, registry: Registry, report: Report, env: Mapping[str, str]) -> None:
    """Everything but the model names, which are in `router_core.config.targets`."""
    _listeners(config, report)
    _access(config, report, env)
    _upstream(config, report)
    check_credentials(config, registry, report, env)
    _usage(config, registry, report, env)
    _routing(config, report)
    check_rewrites(config, registry, report)
    _capture(config, registry, report)
    if config.state != "memory" and not config.state.startswith(_STATE_SCHEMES):
        report.error(
            ("state",), f"{shown(config.state)} is no place for state", "write memory or redis://HOST:PORT/0"
        )


def _listeners(config: Config, report: Report) -> None:
    taken: dict[str, tuple[str, int]] = {}
    for name in ("proxy", "gateway", "admin", "transparent"):
        text = getattr(config.listen, name)
        address = parse_address(text) if text else None
        if address is None:
            continue
        host, port = address
        for other, (other_host, other_port) in taken.items():
            same = host == other_host or host in _ANY or other_host in _ANY
            if port and port == other_port and same:
                what = f"listen.{name} and listen.{other} are both at {text}"
                # One of them may be at its default, which has no line.
                written = name if report.tree.has(("listen", name)) else other
                report.error(("listen", written), what, "give each its own port")
        taken[name] = address
        if name == "transparent":
            report.faults(("listen", name), _transparent_faults(host, port))
            _own_connections(config.transparent, report)
        if is_loopback(host):
            continue
        if wanting := _wanting(name, config.access):
            what = f"listen.{name} is open to other machines, and {wanting[0]} is empty"
            report.error(("listen", name), what, f"add {' or '.join(wanting)}, or listen on 127.0.0.1")
    if config.listen.wireguard is not None:
        report.faults(("wireguard",), _tunnel_faults(config.wireguard))
    elif not taken and report.tree.child("listen") is not None:
        report.error(("listen",), "every listener is switched off", "give at least one an address")


def _transparent_faults(host: str, port: int) -> list[Fault]:
    found: list[Fault] = []
    if not is_address(host) and host != "localhost":
        found.append((f"{shown(host)} is a name, which firewall rules do not know", "write an address"))
    if not port:
        found.append(("port 0 is another port at each start, and rules lead to this one", "write its number"))
    return found


def _tunnel_faults(wireguard: WireGuard) -> list[Fault]:
    found: list[Fault] = []
    for key, version in (("network4", 4), ("network6", 6)):
        network = getattr(wireguard, key)
        if network.version != version:
            found.append((f"{key} is a network of IPv{network.version}", f"write one of IPv{version}"))
        elif network.num_addresses < 8:
            found.append((f"{key} has no room for peers", "write a larger one"))
    return found


def _own_connections(transparent: Transparent, report: Report) -> None:
    if transparent.local and transparent.mark is None and transparent.user is None:
        what = "nothing tells Detour's own connections from those that are redirected to it"
        report.error(("transparent", "mark"), what, "remove mark: null, or add user, or local: false")


def _wanting(listener: str, access: Access) -> list[str]:
    """The keys of `access` of which one is needed before `listener` may be open to other machines."""
    keys, networks = "access.keys", "access.networks"
    enough = {"transparent": [networks], "admin": [keys]}.get(listener, [keys, networks])
    given = {keys: access.keys, networks: access.networks}
    return [] if any(given[key] for key in enough) else enough


def _access(config: Config, report: Report, env: Mapping[str, str]) -> None:
    seen: set[str] = set()
    for number, entry in enumerate(config.access.keys):
        path: Place = ("access", "keys", number)
        if entry.name in seen:
            report.error((*path, "name"), f"client {shown(entry.name)} is given twice", "rename one of them")
        seen.add(entry.name)
        for place, limit in enumerate(entry.limits):
            report.faults((*path, "limits", place), limit_faults(limit))
        if reason := unusable((*path, "key"), entry.key, report, env):
            report.warn((*path, "key"), f"client {shown(entry.name)} cannot get in: {reason}")
    places: set[IPNetwork] = set()
    for number, each in enumerate(config.access.networks):
        path = ("access", "networks", number)
        if each.name in seen:
            what = f"client {shown(each.name)} is both a key and a network"
            report.error((*path, "name"), what, "rename one of them")
        if each.network in places:
            report.error((*path, "network"), f"network {each.network} is given twice", "remove one of them")
        places.add(each.network)


def _routing(config: Config, report: Report) -> None:
    for number, row in enumerate(config.routing.failures):
        try:
            parse_row(row)
        except ValueError as error:
            what, _, remedy = masked(str(error)).partition("; ")
            report.error(("routing", "failures", number), what, remedy)


def _capture(config: Config, registry: Registry, report: Report) -> None:
    for name in config.capture.dirs:
        if name not in registry.providers and name not in report.names("providers"):
            remedy = nearest(name, sorted(registry.providers)) or "name one that `detour check` lists"
            report.error(("capture", "dirs", name), f"there is no provider {shown(name)}", remedy)
    for number, host in enumerate(config.capture.hosts):
        if not is_host(host):
            remedy = "write the exact name, e.g. api.example.com"
            report.error(("capture", "hosts", number), f"{shown(host)} is not a host name", remedy)


def _upstream(config: Config, report: Report) -> None:
    if config.upstream.proxy:
        report.faults(("upstream", "proxy"), proxy_faults(config.upstream.proxy))
    bundle = config.upstream.ca_bundle
    if bundle and not Path(bundle).is_file():
        report.error(("upstream", "ca_bundle"), f"there is no file {bundle}", "name a PEM file")


def _clients(config: Config, env: Mapping[str, str]) -> list[str] | None:
    """What names a client in the ledger: client keys, networks, and the peers of the WireGuard tunnel. None where a
    peer's name cannot be told."""
    names = [key.name for key in config.access.keys]
    names += dict.fromkeys(network.name for network in config.access.networks if network.name is not None)
    if not config.listen.wireguard:
        return names
    peers = peer_names(paths(config, env).data)
    return None if peers is None else [*names, *peers]


def _usage(config: Config, registry: Registry, report: Report, env: Mapping[str, str]) -> None:
    known = {
        "client": _clients(config, env),
        "credential": [credential.id for credential in config.credentials],
    }
    for number, budget in enumerate(config.usage.budgets):
        for key, names in known.items():
            name = getattr(budget, key)
            if name is not None and names is not None and name not in names:
                what = f"budget for an unknown {key} {shown(name)}"
                listed = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
                none = (
                    "none is configured"
                    if key == "credential"
                    else "there is no client key, no network with a name and no peer"
                )
                remedy = nearest(name, names) or (f"known are {listed}" if names else none)
                report.error(("usage", "budgets", number, key), what, remedy)
    for number, price in enumerate(config.usage.prices):
        if price.provider is not None and price.provider not in registry.names:
            remedy = nearest(price.provider, registry.names)
            what = f"price for an unknown provider {shown(price.provider)}"
            report.error(("usage", "prices", number, "provider"), what, remedy)
