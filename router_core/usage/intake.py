"""Where finished exchanges come in: a bounded queue, and a thread that empties it.

What the thread does with them is the business of `router_core.usage.ledger`, which writes them, and of
`router_core.usage.pump`, which brings them to a process that does.
"""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Collection
from typing import Final

from router_core.exchange import Exchange
from router_core.usage.entry import Unpriced, entry_of

logger = logging.getLogger(__name__)

QUEUE: Final = 20_000
"""Entries that wait in memory."""


class Intake(ABC):
    """Call `start` once; `record` and `take` are for any thread."""

    def __init__(self, subscriptions: Collection[str]) -> None:
        self.subscriptions = subscriptions
        """Ids of credentials that owe no money."""
        self._queue: deque[Unpriced] = deque()
        self._dropped = 0
        self._wake = threading.Event()
        self._idle = threading.Condition()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()

    def record(self, exchange: Exchange) -> None:
        """Take down a finished exchange. Costs microseconds, never waits and never raises."""
        try:
            self.take(entry_of(exchange, self.subscriptions))
        except Exception:
            logger.exception("the ledger cannot take down exchange %s", exchange.id)

    def take(self, unpriced: Unpriced) -> None:
        """Like `record`, for a snapshot that was already made. Its entry gets its cost in a moment."""
        if len(self._queue) >= QUEUE:
            self._dropped += 1
        else:
            self._queue.append(unpriced)

    def _take_batch(self, most: int) -> list[Unpriced]:
        """Up to `most` of what waits, oldest first. Only for the thread."""
        return [self._queue.popleft() for _ in range(min(most, len(self._queue)))]

    @abstractmethod
    def _run(self) -> None:
        """The thread."""
