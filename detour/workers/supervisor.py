"""The process in front of the workers: it opens the sockets, starts workers on them, and speaks for them all.

It takes no traffic. Each worker accepts from the same sockets, so that a connection goes to one that has time
for it, and none is lost when one of them ends.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

from detour.admin.server import TokenError, serve_admin
from detour.instance import StartError
from detour.listeners import KINDS, MODES, Listener
from detour.workers.crew import CrewContext
from detour.workers.hand import Hand
from detour.workers.loglines import LogLines
from router_core.config.loader import Loaded
from router_core.config.schema import Config
from router_core.config.watch import watch
from router_core.core import Core
from router_core.paths import paths
from router_core.usage.activity import Finished, Told
from router_core.usage.address import LedgerError
from router_core.usage.setup import make_ledger

logger = logging.getLogger(__name__)

BACKOFF: Final = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds until a worker that ended is started again: the first time, the second ..."""
SETTLED: Final = 60.0
"""Seconds after which the next end counts as the first."""
LAST: Final = 15.0
"""Seconds that a worker may take to end, beyond those in which it finishes what is under way."""


class Supervisor:
    """What `detour.launcher` runs: like an instance of one process, see `detour.instance.Serving`."""

    def __init__(
        self, loaded: Loaded, listeners: dict[str, Listener], count: int, options: Sequence[str]
    ) -> None:
        self._loaded = loaded
        self._listeners = {name: each for name, each in listeners.items() if name in MODES}
        self._options = options
        self.hands = [Hand(number, self._hear) for number in range(1, count + 1)]
        self.serving: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.context = CrewContext(_core(loaded), self.hands)
        self._lines = LogLines()
        self._keeping: list[asyncio.Task[None]] = []
        self._ending = asyncio.Event()
        self._close_admin: Any = None

    @property
    def config(self) -> Config:
        return self.context.core.config

    async def start(self, stack: AsyncExitStack, admin: Listener | None) -> None:
        """Serve until `stack` is closed. Raises StartError."""
        if admin:
            try:
                served = await serve_admin(admin, self.context)
            except TokenError as error:
                raise StartError(str(error)) from None
            self._close_admin = served.close
            stack.push_async_callback(served.close)
        stack.push_async_callback(self._end)
        path = self._loaded.path.resolve() if self._loaded.path else None
        self._keeping = [asyncio.create_task(self._keep(hand, path)) for hand in self.hands]
        every = asyncio.create_task(self._all_serve())
        await asyncio.wait([every, *self._keeping], return_when=asyncio.FIRST_COMPLETED)
        if not every.done():
            every.cancel()
            raise StartError("a worker cannot serve")
        watching = asyncio.create_task(
            watch(lambda: self.context.loaded.watched, self.read_again, since=self._loaded.read_at)
        )
        stack.callback(watching.cancel)

    async def _all_serve(self) -> None:
        for hand in self.hands:
            await hand.ready.wait()

    async def drain(self, limit: float) -> int:
        self.context.core.draining = True
        self._ending.set()
        # The workers' own copies are the last ones.
        for listener in self._listeners.values():
            listener.close()
        for hand in self.hands:
            hand.signal(signal.SIGTERM)
        _, left = await asyncio.wait(self._keeping, timeout=limit + LAST)
        return len(left)

    async def keep(self) -> None:
        """Every worker keeps its routing state for the process that comes after it."""
        await self.context.tell_all("keep")

    async def supersede(self) -> None:
        await self.context.tell_all("supersede")
        self.context.core.superseded = True
        if self._close_admin:
            await self._close_admin()

    async def read_again(self) -> bool:
        return await self.context.core.read_again()

    async def _end(self) -> None:
        self._ending.set()
        for hand in self.hands:
            hand.signal(signal.SIGTERM)
        _, left = await asyncio.wait(self._keeping, timeout=LAST)
        for hand in self.hands if left else ():
            hand.signal(signal.SIGKILL)
        await asyncio.wait(self._keeping)

    async def _keep(self, hand: Hand, config: Path | None) -> None:
        """Have the worker serve, again and again; returns when it ends before it has served once, or is to end."""
        failures = 0
        while True:
            began = time.monotonic()
            try:
                code = await hand.run(config, self._options, self._listeners_of(hand), self._lines)
            except OSError as error:
                logger.error("worker %d cannot be started: %s", hand.number, error)
                code = 1
            if self._ending.is_set() or not hand.served:
                return
            failures = 0 if time.monotonic() - began > SETTLED else failures + 1
            delay = BACKOFF[min(max(failures - 1, 0), len(BACKOFF) - 1)]
            logger.error("worker %d ended with %d; it is started again%s", hand.number, code, _in(delay))
            if await self._ends_within(delay):
                return

    async def _ends_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._ending.wait()
        except TimeoutError:
            return False

    def _listeners_of(self, hand: Hand) -> dict[str, Listener]:
        """The first worker alone serves the WireGuard tunnel, whose sessions no other process would know."""
        return {name: each for name, each in self._listeners.items() if hand.number == 1 or name not in KINDS}

    def _hear(self, hand: Hand, what: str, value: Any) -> None:
        activity = self.context.activity
        match what:
            case "ready":
                self._greeting = asyncio.ensure_future(self.context.welcome(hand))
            case "others":
                for other in self.hands:
                    if other is not hand:
                        other.tell(what, value)
            case "finished":
                for entry in value:
                    activity.told(Finished(entry))
            case "begun":
                for document in value:
                    activity.told(Told(document))


def _in(delay: float) -> str:
    return f" in {delay:g} s" if delay else ""


def _core(loaded: Loaded) -> Core:
    """What the admin port shows of the configuration. It is never started, and routes nothing. Raises StartError."""
    core = Core(loaded)
    try:
        # To be read; the workers write it.
        core.activity.ledger = make_ledger(loaded.config, paths(loaded.config).data)
    except LedgerError as error:
        raise StartError(str(error)) from None
    return core
