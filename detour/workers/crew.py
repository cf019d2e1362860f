"""The admin port's view of several workers, and what it asks of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from detour.admin.context import Context
from detour.admin.sight import Sight, added, merged, sight_of
from detour.workers.channel import Failed, Gone
from detour.workers.hand import Hand
from router_core.config.loader import Loaded
from router_core.config.problems import Problem
from router_core.core import Core
from router_core.usage.activity import Subscription

logger = logging.getLogger(__name__)


class CrewContext(Context):
    """`core` holds the configuration in force and the exchanges of all workers; it routes nothing itself."""

    def __init__(self, core: Core, hands: Sequence[Hand]) -> None:
        super().__init__(core)
        self._hands = hands
        self._watched = False
        self._telling: set[asyncio.Task[Any]] = set()

    async def look(self) -> Sight:
        sights = await self.tell_all("look")
        whole = merged(sights) if sights else sight_of(self.core)
        # What workers counted that have ended since is not forgotten.
        counted = [hand.connections for hand in self._hands] + [hand.past_connections for hand in self._hands]
        return replace(whole, finished=self.activity.finished_total, connections=added(counted))

    async def models(self) -> list[dict[str, Any]]:
        found = await self.tell_all("models")
        return found[0] if found else await super().models()

    def serves(self) -> bool:
        return super().serves() and any(hand.ready.is_set() for hand in self._hands)

    def workers(self) -> list[dict[str, Any]]:
        return [{"number": h.number, "pid": h.pid, "ready": h.ready.is_set()} for h in self._hands]

    def subscribe(self) -> Subscription | None:
        if not self._watched:
            self._watched = True
            self._soon(self.tell_all("watch"))
        return super().subscribe()

    async def reset(self, credential: str) -> None:
        await self.tell_all("reset", credential)

    async def switch(self, credential: str, off: bool) -> None:
        await self.tell_all("switch", credential, off)

    async def forget_refusals(self) -> None:
        await self.tell_all("forget_refusals")

    async def record(self, mode: str) -> None:
        await super().record(mode)
        await self.tell_all("record", mode)

    async def reload(self) -> list[Problem]:
        warnings = await super().reload()
        await self.tell_all("reload")
        return warnings

    async def _put_in_force(self, loaded: Loaded) -> None:
        self.core.loaded, self.core.config, self.core.registry = loaded, loaded.config, loaded.registry

    async def welcome(self, hand: Hand) -> None:
        """Tell a worker that has just begun what was chosen before, and what the others know."""
        for other in self._hands:
            if other is not hand and (known := await self._tell(other, "known")):
                await self._tell(hand, "learn", *known)
                break
        if self.capture_mode:
            await self._tell(hand, "record", self.capture_mode)
        if self._watched:
            await self._tell(hand, "watch")

    async def tell_all(self, what: str, *arguments: Any) -> list[Any]:
        """The answers of the workers that serve, in their order."""
        answers = await asyncio.gather(*(self._tell(hand, what, *arguments) for hand in self._hands))
        return [answer for hand in answers for answer in hand]

    async def _tell(self, hand: Hand, what: str, *arguments: Any) -> list[Any]:
        """The one answer, or none."""
        if not hand.ready.is_set():
            return []
        try:
            return [await hand.call(what, *arguments)]
        except (Gone, Failed) as error:
            logger.warning("worker %d did not follow %r: %s", hand.number, what, error)
            return []

    def _soon(self, doing: Any) -> None:
        task = asyncio.ensure_future(doing)
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)
