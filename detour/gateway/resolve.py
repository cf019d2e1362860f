"""The providers' addresses, from the DNS that this machine uses, with the time for which they are good.

The system's own resolver functions tell no times, so dnspython asks the servers of /etc/resolv.conf.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from dns.asyncresolver import Resolver
from dns.exception import DNSException, Timeout
from dns.resolver import NXDOMAIN, NoNameservers, NoResolverConfiguration

from detour.gateway.hosts import may_be_redirected
from detour.gateway.ruleset import IPAddress

PATIENCE: Final = 5.0
"""Seconds for all servers together to answer one question."""
AT_ONCE: Final = 8
"""Hosts that are asked for at the same time."""
MAX_ANSWERS: Final = 64
"""Addresses that are taken from one answer."""

TYPES: Final = {4: "A", 6: "AAAA"}


class ResolveError(Exception):
    """Nobody can be asked; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Answer:
    host: str
    addresses: frozenset[IPAddress] = frozenset()
    ttl: float = 0.0
    """Seconds until the first of them runs out."""
    error: str = ""
    """Why a question was not answered; others may have been."""


def without_address(answers: Iterable[Answer]) -> list[str]:
    """``HOST, HOST: why`` for each reason for which hosts have no address."""
    reasons: dict[str, list[str]] = {}
    for answer in answers:
        if not answer.addresses:
            reasons.setdefault(answer.error or "the DNS has none", []).append(answer.host)
    return [f"{', '.join(hosts)}: {reason}" for reason, hosts in reasons.items()]


def make_resolver() -> Resolver:
    """Raises ResolveError."""
    try:
        resolver = Resolver()
    except (NoResolverConfiguration, OSError, ValueError) as error:
        raise ResolveError(
            f"/etc/resolv.conf names no DNS server ({error}); add one, as `nameserver 192.0.2.53`"
        ) from None
    resolver.lifetime = PATIENCE
    return resolver


async def ask(resolver: Resolver, hosts: Iterable[str], families: Sequence[int]) -> list[Answer]:
    """An answer for each of `hosts`, in their order."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(host: str) -> Answer:
        async with turn:
            return await _ask(resolver, host, families)

    return await asyncio.gather(*(one(host) for host in hosts))


async def _ask(resolver: Resolver, host: str, families: Sequence[int]) -> Answer:
    addresses: set[IPAddress] = set()
    ttl, error = float("inf"), ""
    for family in families:
        try:
            answer = await resolver.resolve(f"{host}.", TYPES[family], raise_on_no_answer=False)
        except NXDOMAIN:
            error = "there is no such name"
        except Timeout:
            error = "no DNS server answers"
        except NoNameservers:
            error = "the DNS servers cannot answer"
        except (DNSException, OSError, ValueError) as failure:
            error = str(failure) or type(failure).__name__
        else:
            found = (ipaddress.ip_address(record.to_text()) for record in answer.rrset or ())
            addresses |= {address for address in list(found)[:MAX_ANSWERS] if may_be_redirected(address)}
            ttl = min(ttl, max(0.0, answer.expiration - time.time()))
    return Answer(host, frozenset(addresses), 0.0 if ttl == float("inf") else ttl, error)
