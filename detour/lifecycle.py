"""From signals to an orderly end: what a running instance is asked for, and by whom."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable

from detour.notify import Notifier

logger = logging.getLogger(__name__)


class Lifecycle:
    """SIGTERM or SIGINT: finish what was begun, and a second one: end at once. SIGHUP: read the configuration
    again. Belongs to the running event loop."""

    def __init__(self, notifier: Notifier, *, quiet: bool = False) -> None:
        """`quiet` where another process says what everybody does."""
        self.notifier = notifier
        self._level = logging.DEBUG if quiet else logging.INFO
        self.finish = asyncio.Event()
        """Nothing new is to be begun."""
        self.at_once = asyncio.Event()
        """What is under way is to be given up. Comes with `finish`."""
        self._hung_up = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.end)
        # From the start on, so that a signal that comes early does not end the process.
        loop.add_signal_handler(signal.SIGHUP, self._hung_up.set)

    def end(self) -> None:
        if self.finish.is_set():
            self.at_once.set()
        self.finish.set()

    def give_up(self) -> None:
        self.finish.set()
        self.at_once.set()

    async def serve(self, status: str, reload: Callable[[], Awaitable[bool]]) -> None:
        """Say that it serves, and follow signals until one asks for the end.

        `reload` reads the configuration again and says whether that went well.
        """
        self.notifier.ready(status)
        tasks = [
            asyncio.create_task(self.notifier.watch()),
            asyncio.create_task(self._follow_hang_ups(status, reload)),
        ]
        await self.finish.wait()
        for task in tasks:
            task.cancel()

    async def _follow_hang_ups(self, status: str, reload: Callable[[], Awaitable[bool]]) -> None:
        while True:
            await self._hung_up.wait()
            self._hung_up.clear()
            self.notifier.reloading()
            well = await reload()
            self.notifier.ready(status if well else f"{status}; the configuration file has mistakes")

    async def drained(self, draining: Awaitable[int], limit: float) -> None:
        """Wait for `draining`, which is given `limit` seconds and says how many connections were left, or until
        there is no more patience."""
        said = "finishing what is under way, for %g s at most; a second signal ends at once"
        logger.log(self._level, said, limit)
        self.notifier.stopping("finishing what is under way")
        task, hurry = asyncio.ensure_future(draining), asyncio.ensure_future(self.at_once.wait())
        await asyncio.wait([task, hurry], return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if not task.done():
            task.cancel()
            logger.warning("ended with connections open, as asked")
        elif left := task.result():
            logger.warning("%d connections were still open after %g s and are cut", left, limit)
