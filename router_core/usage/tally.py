"""How the ledger is doing over all the writers that have served it, and what has been lost with them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, Final

from router_core.usage.status import LedgerStatus

logger = logging.getLogger(__name__)

SAY_INTERVAL: Final = 30.0
"""Seconds between two warnings about dropped entries."""


class Tally:
    """Adds up what one writer after the other says of itself; `clock` in monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.last = LedgerStatus("starting", "", 0, 0, 0, 0)
        """Of the writer that runs."""
        self._written = 0
        """By writers that have died."""
        self._dropped = 0
        """With them."""
        self._held = 0
        """Entries of earlier batches that the writer holds in memory, for want of room on the disk."""
        self._said = 0
        self._said_at = -SAY_INTERVAL

    def hear(self, status: Iterable[Any]) -> None:
        """The writer says how it is doing, with the values of a `LedgerStatus`."""
        self.last = LedgerStatus(*status)

    def settled(self) -> None:
        """The writer has put a batch where it is safe, or holds it."""
        self._held = self.last.queued

    def given_up(self, entries: int) -> None:
        """So many are handed to no writer again."""
        self._dropped += entries

    def died(self) -> None:
        """Nothing more is heard of the writer."""
        last = self.last
        self._written += last.written
        self._dropped += last.dropped + self._held
        self._held = 0
        self.last = LedgerStatus("waiting", "the ledger's writer ended", 0, 0, last.spooled, 0)

    def stopped(self) -> None:
        last = self.last
        self.last = LedgerStatus("stopped", "", 0, last.written, last.spooled, last.dropped)

    def total(self, current: LedgerStatus, waiting: int, sent: int, refused: int) -> LedgerStatus:
        """Everything since the start. `waiting` entries are here and `sent` are the writer's, `refused` found
        no room here."""
        return LedgerStatus(
            current.state,
            current.error,
            # What the writer has in memory is for the most part the batch that it was sent.
            waiting + max(sent, current.queued),
            self._written + current.written,
            current.spooled,
            self._dropped + refused + current.dropped,
        )

    def say(self, dropped: int) -> None:
        """Warns about dropped entries, not more often than it can be read."""
        if dropped > self._said and self._clock() - self._said_at > SAY_INTERVAL:
            logger.warning("the ledger found no room for %d entries", dropped - self._said)
            self._said, self._said_at = dropped, self._clock()
