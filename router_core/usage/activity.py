"""What goes through the proxy now and went through it a moment ago, for the admin API and `detour top`.

Lives in the event loop. Everything is bounded: running exchanges by `MAX_RUNNING`, finished ones by
`MAX_RECENT`, and what a slow subscriber has not taken yet by `MAX_BEHIND`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from router_core.exchange import Exchange
from router_core.usage.entry import Entry, entry_of

if TYPE_CHECKING:
    from router_core.usage.pump import LedgerPump

logger = logging.getLogger(__name__)

MAX_RUNNING: Final = 10_000
MAX_RECENT: Final = 10_000
MAX_BEHIND: Final = 1_000
"""Events that wait for one subscriber; then its oldest are dropped."""
MAX_SUBSCRIBERS: Final = 32
ATTENTION: Final = 15.0
"""Seconds for which somebody who asked for the running exchanges is taken to go on looking."""


@dataclass(frozen=True, slots=True)
class Started:
    exchange: Exchange


@dataclass(frozen=True, slots=True)
class Finished:
    entry: Entry


@dataclass(frozen=True, slots=True)
class Told:
    """An exchange that another process has begun."""

    document: dict[str, Any]


type Event = Started | Told | Finished


class Activity:
    """Told of each exchange when it starts and when it is over; passes the finished ones to the ledger."""

    def __init__(self, ledger: LedgerPump | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.ledger = ledger
        self.started_total = 0
        self.finished_total = 0
        self.watchers: list[Callable[[Entry, Exchange], None]] = []
        """Called with each finished exchange, e.g. to count it for Prometheus. Must be quick."""
        self.counters: list[Callable[[Entry], None]] = []
        """The same, for whoever needs no more than the entry."""
        self._clock = clock
        self._running: dict[str, Exchange] = {}
        self._recent: deque[Entry] = deque(maxlen=MAX_RECENT)
        self._subscribers: list[Subscription] = []
        self._looked = -ATTENTION

    @property
    def watched(self) -> bool:
        """Whether somebody looks at running exchanges, so that their pace is worth knowing."""
        return bool(self._subscribers) or self._clock() - self._looked < ATTENTION

    def started(self, exchange: Exchange) -> None:
        """Costs a dictionary entry."""
        self.started_total += 1
        if len(self._running) >= MAX_RUNNING:
            del self._running[next(iter(self._running))]
        self._running[exchange.id] = exchange
        for subscriber in self._subscribers:
            subscriber.put(Started(exchange))

    def finished(self, exchange: Exchange) -> None:
        """Takes the exchange into the books. Costs microseconds and never raises."""
        self.finished_total += 1
        self._running.pop(exchange.id, None)
        try:
            found = entry_of(exchange, self.ledger.subscriptions if self.ledger else frozenset())
        except Exception:
            logger.exception("exchange %s cannot be taken into the books", exchange.id)
            return
        if self.ledger:
            self.ledger.take(found)
        for watcher in self.watchers:
            self._tell(watcher, found.entry, exchange)
        self._count(found.entry)

    def told(self, event: Told | Finished) -> None:
        """What another process has begun, or is over there and in the ledger already."""
        if isinstance(event, Finished):
            self.finished_total += 1
            self._count(event.entry)
        else:
            for subscriber in self._subscribers:
                subscriber.put(event)

    def _count(self, entry: Entry) -> None:
        self._recent.append(entry)
        for subscriber in self._subscribers:
            subscriber.put(Finished(entry))
        for counter in self.counters:
            self._tell(counter, entry)

    def _tell(self, watcher: Callable[..., None], entry: Entry, *more: Exchange) -> None:
        try:
            watcher(entry, *more)
        except Exception:
            logger.exception("%r failed on exchange %s", watcher, entry.id)

    def running(self) -> list[Exchange]:
        """The exchanges under way, oldest first."""
        self._looked = self._clock()
        return list(self._running.values())

    def recent(self, limit: int = MAX_RECENT) -> list[Entry]:
        """The finished exchanges, newest first."""
        entries = list(self._recent)
        entries.reverse()
        return entries[:limit]

    def subscribe(self) -> Subscription | None:
        """A stream of events from now on; None when too many listen already. Close it."""
        if len(self._subscribers) >= MAX_SUBSCRIBERS:
            return None
        subscriber = Subscription(self)
        self._subscribers.append(subscriber)
        return subscriber

    def tokens_per_second(self, exchange: Exchange) -> float | None:
        """How fast a running answer comes, estimated; None where that is not known (yet)."""
        return exchange.pace.tokens_per_second(self._clock()) if exchange.pace else None

    def elapsed(self, exchange: Exchange) -> float:
        """Seconds since a running exchange began."""
        return max(0.0, self._clock() - exchange.started)


class Subscription:
    """Events for one listener: ``async for batch in subscription`` gives whatever has come since the last."""

    def __init__(self, activity: Activity) -> None:
        self._activity = activity
        self._events: deque[Event] = deque(maxlen=MAX_BEHIND)
        self._ready = asyncio.Event()
        self._closed = False

    def put(self, event: Event) -> None:
        self._events.append(event)
        self._ready.set()

    async def batches(self, interval: float = 0.25, heartbeat: float = 15.0) -> AsyncIterator[list[Event]]:
        """Lists of events at most every `interval` seconds; an empty one after `heartbeat` quiet seconds."""
        while not self._closed:
            try:
                await asyncio.wait_for(self._ready.wait(), heartbeat)
            except TimeoutError:
                yield []
                continue
            # A burst becomes one batch.
            await asyncio.sleep(interval)
            self._ready.clear()
            events = list(self._events)
            self._events.clear()
            if events:
                yield events

    def close(self) -> None:
        self._closed = True
        self._ready.set()
        if self in self._activity._subscribers:
            self._activity._subscribers.remove(self)

    async def __aenter__(self) -> Subscription:
        return self

    async def __aexit__(self, *_exc: Any) -> None:
        self.close()
