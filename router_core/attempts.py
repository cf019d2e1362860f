"""How often somebody may show a wrong key: a token bucket for each source address.

Only a key that is wrong counts, not one that is missing: many clients ask without one first. Who has shown a
right key keeps it while others at the same address guess, so that one program with a mistyped key, or one
guest behind a NAT, locks nobody out.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from cachetools import LRUCache

BURST: Final = 10
"""Wrong keys that an address may show at once."""
INTERVAL: Final = 6.0
"""Seconds after which it may show one more."""
MAX_SOURCES: Final = 4096
"""Addresses, and pairs of an address and a key's name, that are remembered; beyond it the idlest is forgotten."""


class Attempts:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._spent: LRUCache[str, float] = LRUCache(MAX_SOURCES)
        """By source: when its bucket is full again."""
        self._known: LRUCache[tuple[str, str], bool] = LRUCache(MAX_SOURCES)
        self.told: Callable[[str, str | None], None] = lambda address, name: None
        """Called with what counts, for the `hear` of the processes that serve beside this one."""

    def judge(self, address: str, name: str | None) -> float:
        """Seconds for which an attempt from `address` is refused, whatever was shown; 0 if its outcome counts.

        `name` is that of the right key that was shown, None for a wrong one.
        """
        if name is not None and self._known.get((address, name)):
            return 0.0
        now = self._clock()
        full = max(self._spent.get(source(address), now), now)
        if (wait := full - now - (BURST - 1) * INTERVAL) > 0:
            return wait
        self.told(address, name)
        self.hear(address, name)
        return 0.0

    def known(self) -> tuple[dict[str, float], list[tuple[str, str]]]:
        """All that is remembered, for the `learn` of another process of this machine."""
        now = self._clock()
        return {where: full for where, full in self._spent.items() if full > now}, list(self._known)

    def learn(self, spent: dict[str, float], known: list[tuple[str, str]]) -> None:
        """What another process remembers, for one that has just begun."""
        for where, full in spent.items():
            self._spent[where] = max(full, self._spent.get(where, full))
        self._known.update(dict.fromkeys(known, True))

    def hear(self, address: str, name: str | None) -> None:
        """Counts an attempt, of this process or of another one."""
        if name is not None:
            self._known[address, name] = True
            return
        where, now = source(address), self._clock()
        self._spent[where] = max(self._spent.get(where, now), now) + INTERVAL


@lru_cache(MAX_SOURCES)
def source(address: str) -> str:
    """Who has `address`: of IPv6, a network of 64 bits, since a single machine has all of its addresses."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address
