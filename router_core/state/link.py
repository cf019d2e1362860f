"""Calls to Redis that end in time, and the knowledge whether it is well.

    up ──5 failures in a row, or 3 calls without an answer over half a second──▶ down
    down ──a ping is answered──▶ up

While it is down nobody calls it but the ping. A call that was not answered because this process's own
event loop stood still says nothing about Redis: its timer fired late too, which is how it is recognised.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

FAILURES: Final = 5
SILENT: Final = 3
SILENCE: Final = 0.5
"""Seconds over which unanswered calls have to spread."""
LATE: Final = 0.05
"""Seconds by which a timer may be late before the event loop counts as having stood still."""


class Unanswered(Exception):
    """The call failed, was not answered in time, or was not made because Redis is down."""


class Link:
    def __init__(self, where: str, clock: Callable[[], float] = time.monotonic):
        self.where = where
        """For messages: the address without user and password."""
        self.up = False
        self.stalls = 0
        """Calls that were lost to a standing event loop."""
        self._clock = clock
        self._failures = 0
        self._silent: list[float] = []
        self._generation = 0

    async def call[T](self, awaitable: Awaitable[T], within: float) -> T:
        """The result of a command. Raises Unanswered."""
        if not self.up:
            if asyncio.iscoroutine(awaitable):
                awaitable.close()
            raise Unanswered
        generation = self._generation
        result = await self._timed(awaitable, within)
        if generation == self._generation:
            self._failures = 0
            self._silent.clear()
        return result

    async def ping(self, awaitable: Awaitable[object], within: float) -> bool:
        """Whether Redis answers; if so it is up again."""
        try:
            await self._timed(awaitable, within)
        except Unanswered:
            return False
        if not self.up:
            self.up = True
            self._generation += 1
            self._failures = 0
            self._silent.clear()
            logger.info("routing state is shared through Redis at %s", self.where)
        return True

    async def _timed[T](self, awaitable: Awaitable[T], within: float) -> T:
        began = self._clock()
        try:
            async with asyncio.timeout(within):
                return await awaitable
        except TimeoutError:
            if self._clock() - began > within + LATE:
                self.stalls += 1
            else:
                self._unanswered()
            raise Unanswered from None
        except (RedisError, OSError) as e:
            self._failed(e)
            raise Unanswered from None

    def _unanswered(self) -> None:
        now = self._clock()
        self._silent.append(now)
        if len(self._silent) >= SILENT and now - self._silent[0] >= SILENCE:
            self._down("does not answer")

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        if self._failures >= FAILURES or not self.up:
            # An error's own words may hold the address with its password.
            self._down(f"failed ({type(error).__name__})")

    def _down(self, why: str) -> None:
        self._silent.clear()
        self._failures = 0
        if self.up:
            self.up = False
            self._generation += 1
            logger.warning("Redis at %s %s: routing goes on with what this process knows", self.where, why)
