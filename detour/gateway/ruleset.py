"""The firewall rules as text for ``nft -f``: a table of Detour's own, which holds everything it needs.

- Connections to TCP port 443 of an address in the sets ``providers4`` and ``providers6`` lead to Detour:
  forwarded ones that come from `access.networks`, and those of the box's own programs.
- Detour's own connections are left alone, by their mark or by their user.
- UDP port 443 of the same addresses is rejected, so that clients of QUIC (HTTP/3) fall back to TCP.

Everything else takes the kernel's usual way. Sources: nft(8); RFC 9114 3.1, "Connection Establishment".
"""

from __future__ import annotations

import ipaddress
import pwd
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from detour.ports import Address, parse_address
from router_core.config.schema import Config

type IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
type IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

TABLE: Final = "inet detour"
SETS: Final = {4: "providers4", 6: "providers6"}
COUNTERS: Final = ("forwarded", "local", "quic")
"""Redirected connections of the network and of the box itself, and rejected QUIC packets."""

MAX_ADDRESSES: Final = 4096
"""In each of the two sets."""

PRIORITY: Final = -105
"""Of the redirection: shortly before other tables' own (-100), of which the first to redirect decides."""

_FAMILY: Final = {4: "ip", 6: "ip6"}


class RulesetError(Exception):
    """The configuration gives no rules; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Ruleset:
    """What the table is made from."""

    listener: Address
    networks: tuple[IPNetwork, ...]
    """Where forwarded connections may come from."""
    local: bool
    """Whether the box's own connections are redirected."""
    mark: int | None
    uid: int | None
    grace: float
    """Seconds that an address stays after it was last added or used."""

    @property
    def families(self) -> tuple[int, ...]:
        """The IP versions that the listener takes."""
        if self.listener.host in ("::", "localhost"):
            return (4, 6)
        return (ipaddress.ip_address(self.listener.host).version,)

    @property
    def forwarding(self) -> tuple[int, ...]:
        """The IP versions in which other machines' connections are redirected."""
        host = self.listener.host
        if host == "localhost" or ipaddress.ip_address(host).is_loopback:
            return ()  # packets of other machines cannot be led there
        return tuple(v for v in self.families if any(n.version == v for n in self.networks))

    def render(self, held: Held | None = None) -> str:
        """A script that puts this table, with what it is to hold, in the place of an earlier one."""
        held = held or Held()
        lines = [f"table {TABLE} {{"]
        for version in self.families:
            lines += self._addresses(version, held)
        for version in self.forwarding:
            lines += self._networks(version)
        for name in COUNTERS:
            packets, size = held.counters.get(name, (0, 0))
            lines += [f"\tcounter {name} {{", f"\t\tpackets {packets} bytes {size}", "\t}", ""]
        lines += self._chains()
        return REMOVAL + "\n".join([*lines, "}", ""])

    def _addresses(self, version: int, held: Held) -> Iterator[str]:
        yield from (
            f"\tset {SETS[version]} {{",
            f"\t\ttype {'ipv4_addr' if version == 4 else 'ipv6_addr'}",
            f"\t\tsize {MAX_ADDRESSES}",
            "\t\tflags dynamic,timeout",
            f"\t\ttimeout {int(self.grace)}s",
        )
        elements = [
            f"{address}" if left is None else f"{address} expires {max(1, int(min(left, self.grace)))}s"
            for address, left in sorted(held.addresses.items(), key=lambda item: int(item[0]))
            if address.version == version
        ][:MAX_ADDRESSES]
        if elements:
            yield f"\t\telements = {{ {', '.join(elements)} }}"
        yield from ("\t}", "")

    def _networks(self, version: int) -> Iterator[str]:
        networks = ", ".join(str(n) for n in self.networks if n.version == version)
        yield from (
            f"\tset networks{version} {{",
            f"\t\ttype {'ipv4_addr' if version == 4 else 'ipv6_addr'}",
            "\t\tflags interval",
            "\t\tauto-merge",
            f"\t\telements = {{ {networks} }}",
            "\t}",
            "",
        )

    def _chains(self) -> list[str]:
        lines: list[str] = []
        if self.forwarding:
            lines += _chain("prerouting", f"type nat hook prerouting priority {PRIORITY}", self._redirected())
            rejected = [self._rejected(v, self._from(v)) for v in self.forwarding]
            lines += ["", *_chain("forward", "type filter hook forward priority filter", rejected)]
        if self.local:
            own = list(self._own())
            redirected = [self._redirect(v, "local") for v in self.families]
            rejected = [self._rejected(v) for v in self.families]
            lines += [
                *([""] if lines else []),
                *_chain("output", f"type nat hook output priority {PRIORITY}", own + redirected),
                "",
                *_chain("output_quic", "type filter hook output priority filter", own + rejected),
            ]
        return lines

    def _own(self) -> Iterator[str]:
        if self.mark is not None:
            yield f"meta mark {self.mark:#010x} return"
        if self.uid is not None:
            yield f"meta skuid {self.uid} return"

    def _redirected(self) -> list[str]:
        return [self._from(v) + self._redirect(v, "forwarded") for v in self.forwarding]

    def _from(self, version: int) -> str:
        return f"{_FAMILY[version]} saddr @networks{version} "

    def _redirect(self, version: int, counter: str) -> str:
        family, name = _FAMILY[version], SETS[version]
        return (
            f"{family} daddr @{name} tcp dport 443"
            # An address that clients still use stays, also where their own DNS cache outlives an answer.
            f" update @{name} {{ {family} daddr }}"
            f' counter name "{counter}" {self._destination(version)}'
        )

    def _destination(self, version: int) -> str:
        host, port = self.listener.host, self.listener.port
        if host == "localhost":
            host = "127.0.0.1" if version == 4 else "::1"
        if ipaddress.ip_address(host).is_unspecified:
            return f"redirect to :{port}"
        return f"dnat {_FAMILY[version]} to {Address(host, port)}"

    def _rejected(self, version: int, source: str = "") -> str:
        # Every packet of the network comes by here, so what most of them fail at is asked first.
        return f'udp dport 443 {source}{_FAMILY[version]} daddr @{SETS[version]} counter name "quic" reject'


@dataclass(frozen=True, slots=True)
class Held:
    """What a table holds besides its rules, and what the next one takes over."""

    addresses: Mapping[IPAddress, float | None] = field(default_factory=dict)
    """Address to the seconds that it has left; None for all of them."""
    counters: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Name to packets and bytes."""


REMOVAL: Final = f"table {TABLE} {{\n}}\ndelete table {TABLE}\n"
"""Removes the table, if there is one: deleting one that is not there would fail."""


def _chain(name: str, hook: str, rules: Iterable[str]) -> Iterator[str]:
    yield f"\tchain {name} {{"
    yield f"\t\t{hook}; policy accept;"
    yield from (f"\t\t{rule}" for rule in rules)
    yield "\t}"


def ruleset(config: Config) -> Ruleset:
    """The rules for `config`. Raises RulesetError."""
    if config.listen.transparent is None:
        raise RulesetError(
            'transparent mode is off; add listen: {transparent: "[::]:8443"} and access.networks'
        )
    settings = config.transparent
    return Ruleset(
        parse_address(config.listen.transparent),
        tuple(each.network for each in config.access.networks),
        settings.local,
        settings.mark,
        None if settings.user is None else uid_of(settings.user),
        settings.grace,
    )


def uid_of(user: str) -> int:
    """The number of `user`, who is given by name or number. Raises RulesetError."""
    if user.isascii() and user.isdecimal():
        return int(user)
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        raise RulesetError(
            f"transparent.user: there is no user {user!r} here; name the one that Detour runs as"
        ) from None


def addition(addresses: Iterable[IPAddress]) -> str:
    """A script that adds `addresses`, with the whole of their time again. Fails where there is no table."""
    lines = []
    for address in addresses:
        element = f"element {TABLE} {SETS[address.version]} {{ {address} }}"
        # Adding one that is there changes nothing, its time neither; all three are one transaction.
        lines += [f"add {element}", f"delete {element}", f"add {element}"]
    return "\n".join([*lines, ""])
