"""Places that several processes take turns at: under a concurrency limit, at a lock, and marks for all to see."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

from router_core.state import scripts
from router_core.state.link import Link, Unanswered

CALL_TIMEOUT: Final = 1.0
LEASE_PATIENCE: Final = 0.1
LEASE_LIFE: Final = 30.0


def key_of(*parts: str) -> str:
    """Keys carry one hash tag, so that a cluster keeps them on one node."""
    return ":".join(("{detour}", *parts))


@dataclass(frozen=True, slots=True)
class Lease:
    name: str
    holder: str


class Places:
    def __init__(self, redis: Any, link: Link, origin: str, wanted: Callable[[], None]):
        """`origin` tells this process apart; `wanted` is called when `send_back` has something to do."""
        self._redis, self._link, self._origin, self._wanted = redis, link, origin, wanted
        self._leases: dict[str, set[str]] = {}
        self._returned: dict[str, list[Lease]] = {}
        self._lease = redis.register_script(scripts.LEASE)
        self._renew = redis.register_script(scripts.RENEW)
        self._unlock = redis.register_script(scripts.UNLOCK)

    async def lease(self, name: str, limit: int, life: float | None = None) -> object:
        free = self._returned.get(name)
        if free and self._link.up and life is None:
            # A place that is on its way back need not go there first.
            lease = free.pop()
            self._leases.setdefault(name, set()).add(lease.holder)
            return lease
        holder = f"{self._origin}:{secrets.token_hex(6)}"
        call = self._lease(
            keys=[key_of("lease", name)], args=[holder, limit, int((life or LEASE_LIFE) * 1000)]
        )
        try:
            taken = await self._link.call(call, LEASE_PATIENCE)
        except Unanswered:
            return None
        if not taken:
            return False
        if life is None:
            self._leases.setdefault(name, set()).add(holder)
        return Lease(name, holder)

    def give_back(self, lease: object) -> None:
        if isinstance(lease, Lease):
            self._leases.get(lease.name, set()).discard(lease.holder)
            if self._link.up:
                self._returned.setdefault(lease.name, []).append(lease)
                self._wanted()

    async def send_back(self) -> None:
        """Tells Redis of the places that were given back. Raises Unanswered; they run out by themselves then."""
        returned, self._returned = self._returned, {}
        for name, leases in returned.items():
            if leases:
                call = self._redis.zrem(key_of("lease", name), *(lease.holder for lease in leases))
                await self._link.call(call, CALL_TIMEOUT)

    async def holding(self) -> None:
        """Keeps the places of long requests."""
        while True:
            await asyncio.sleep(LEASE_LIFE / 3)
            for name, holders in list(self._leases.items()):
                if not holders:
                    del self._leases[name]
                    continue
                call = self._renew(keys=[key_of("lease", name)], args=[int(LEASE_LIFE * 1000), *holders])
                with suppress(Unanswered):
                    await self._link.call(call, CALL_TIMEOUT)

    @asynccontextmanager
    async def lock(self, name: str, ttl: float) -> AsyncIterator[bool]:
        key, holder = key_of("lock", name), f"{self._origin}:{secrets.token_hex(6)}"
        mine = True
        with suppress(Unanswered):
            call = self._redis.set(key, holder, nx=True, px=int(ttl * 1000))
            mine = bool(await self._link.call(call, CALL_TIMEOUT))
        try:
            yield mine
        finally:
            if mine:
                with suppress(Unanswered):
                    await self._link.call(self._unlock(keys=[key], args=[holder]), CALL_TIMEOUT)

    async def mark(self, name: str, life: float) -> None:
        with suppress(Unanswered):
            await self._link.call(
                self._redis.set(key_of("mark", name), b"1", px=int(life * 1000)), CALL_TIMEOUT
            )

    async def marked(self, name: str) -> bool:
        with suppress(Unanswered):
            return bool(await self._link.call(self._redis.exists(key_of("mark", name)), CALL_TIMEOUT))
        return False
