"""The ledger's writer: takes entries from the request path and brings them to the database in batches.

`Ledger.record` only appends to a bounded queue. A thread prices the entries and writes them; what the
database does not take goes to a bounded spool on disk and is written when it answers again. What finds no
room even there is dropped and counted.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from router_core.config.schema import Config, RetainUsage, UsageConfig
from router_core.usage import retention, rollup, spool
from router_core.usage.budgets import Budgets
from router_core.usage.cost import Pricing
from router_core.usage.database import LedgerError, is_corrupt, open_ledger, sqlite_path
from router_core.usage.entry import Entry, Unpriced, subscriptions
from router_core.usage.intake import QUEUE, Intake
from router_core.usage.spool import Spool
from router_core.usage.status import LedgerStatus, State

logger = logging.getLogger(__name__)

BATCH: Final = 1000
INTERVAL: Final = 0.25
"""Seconds between batches."""
BACKOFF: Final = (1.0, 30.0)
"""Seconds until a database that failed is tried again: the first time, and at most."""
REFRESH: Final = 30.0
"""Seconds between two looks at what other processes have used, for budgets."""


class Ledger(Intake):
    """One writer for each process. Call `start` once, and `close` in the end; `record` is for any thread."""

    def __init__(
        self,
        url: str,
        spool_folder: Path,
        *,
        spool_limit: int = 64 << 20,
        retain: RetainUsage | None = None,
        pricing: Pricing | None = None,
        budgets: Budgets | None = None,
        subscriptions: Collection[str] = frozenset(),
        priced: Callable[[list[Entry]], None] = lambda _: None,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = retention.since_boot,
    ) -> None:
        """`priced` is called in the thread, with entries that have got their costs and are not written yet."""
        super().__init__(subscriptions)
        self.url = url
        self.pricing = pricing or Pricing()
        self.budgets = budgets
        self._priced = priced
        self._spool = Spool(spool_folder, spool_limit)
        self._retention = retention.Retention(retain or RetainUsage(), wall, clock)
        self._wall = wall
        self._clock = clock
        self._held: list[Entry] = []
        self._busy = False
        self._stopping = False
        self._engine: Engine | None = None
        self._state: State = "starting"
        self._error = ""
        self._spool_error = ""
        self._suspect = False
        self._written = 0
        self._delay = 0.0
        self._next_try = 0.0
        self._next_refresh = 0.0

    @classmethod
    def configured(cls, url: str, spool_folder: Path, usage: UsageConfig, **more: Any) -> Ledger:
        """As `usage` asks for; `more` as for a `Ledger`."""
        pricing = Pricing(usage.prices)
        return cls(url, spool_folder, spool_limit=usage.spool, retain=usage.retain, pricing=pricing, **more)

    def apply(self, config: Config) -> None:
        """Take over prices, budgets and subscriptions of another configuration.

        The database, and how long it keeps what, stay as they were at the start.
        """
        self.pricing = Pricing(config.usage.prices)
        self.subscriptions = subscriptions(config)
        # What was used so far is read from the ledger in a moment.
        self.budgets, self._next_refresh = Budgets(config.usage.budgets), 0.0

    def status(self) -> LedgerStatus:
        try:
            spooled = self._spool.size()
        except OSError:
            spooled = 0
        queued = len(self._queue) + len(self._held)
        return LedgerStatus(self._state, self._error, queued, self._written, spooled, self._dropped)

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until everything recorded until now is in the database or in the spool."""
        with self._idle:
            self._wake.set()
            return self._idle.wait_for(lambda: not self._queue and not self._busy, timeout)

    def close(self, timeout: float = 10.0) -> None:
        """Write what is waiting and end the thread; what the database does not take stays in the spool."""
        self._stopping = True
        self._wake.set()
        if self._thread:
            self._thread.join(timeout)
        self._state = "stopped"

    # -- the thread -----------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            last = self._stopping
            if last and self._state == "starting" and not self._queue and not self._held:
                break  # there is nothing that the database would be opened for
            try:
                self._turn()
            except Exception:
                logger.exception("the ledger's writer failed")
            if last and not self._queue:
                break
            if not self._queue:
                self._wake.wait(INTERVAL)
                self._wake.clear()
        if self._engine is not None:
            self._engine.dispose()
        self._spool.close()
        if self._held:
            logger.error("the ledger found no room for %d entries, which are lost", len(self._held))
            self._dropped += len(self._held)
            self._held = []

    def _turn(self) -> None:
        with self._idle:
            self._busy = True
            batch = self._take_batch(BATCH)
        try:
            entries = [self._price(unpriced) for unpriced in batch]
            if entries:
                self._priced(entries)
            self._held += entries
            ready = self._ready()
            if self._held and not (ready and self._write(self._held)):
                self._put_by(self._held)
            elif ready:
                self._held = []
                self._is_well()
                self._catch_up()
        except Exception:
            # Whatever it was, it would be the same again.
            self._dropped += len(self._held)
            self._held = []
            raise
        finally:
            with self._idle:
                self._busy = False
                self._idle.notify_all()

    def _price(self, unpriced: Unpriced) -> Entry:
        entry = unpriced.entry
        try:
            cost = self.pricing.cost(
                unpriced.usage,
                entry.provider,
                entry.model or None,
                at=entry.at / 1000,
                base_url=unpriced.base_url,
                subscription=entry.subscription,
            )
        except Exception:
            logger.exception("no price for %s of %s", entry.model, entry.provider)
            cost = None
        if cost is not None:
            entry.cost_source = cost.source
            if cost.notional:
                entry.notional = cost.nano
            else:
                entry.cost = cost.nano
        if self.budgets is not None:
            self.budgets.charge(entry)
        return entry

    def _ready(self) -> bool:
        """Whether the database is open; tries to open it when its time has come."""
        if self._engine is not None:
            path = sqlite_path(self.url)
            if path is None or path.exists():
                return True
            logger.warning("the ledger %s was removed; a new one is begun", path)
            self._engine.dispose()
            self._engine = None
        if self._clock() < self._next_try:
            return False
        try:
            self._engine = open_ledger(self.url, check=self._suspect)
            self._suspect = False
        except LedgerError as error:
            self._fail("refused", str(error))
        except (SQLAlchemyError, OSError) as error:
            self._fail("waiting", _reason(error))
        return self._engine is not None

    def _is_well(self) -> None:
        """The database has taken what there was. That it opens says less: its disk may be full."""
        if self._state == "ok":
            return
        if self._state != "starting":
            logger.warning("the ledger's database answers again")
        self._state, self._error, self._delay, self._spool_error = "ok", "", 0.0, ""

    def _write(self, entries: Sequence[Entry]) -> bool:
        assert self._engine is not None
        try:
            with self._engine.connect().execution_options(write=True) as connection, connection.begin():
                written = rollup.write(connection, entries)
        except (SQLAlchemyError, OSError) as error:
            self._engine.dispose()
            self._engine = None
            self._fail("waiting", _reason(error))
            if isinstance(error, SQLAlchemyError) and is_corrupt(error):
                # Opening it again decides whether to set the file aside: another process may have done so.
                self._suspect, self._next_try = True, 0.0
            return False
        self._written += written
        return True

    def _fail(self, state: Literal["waiting", "refused"], error: str) -> None:
        if (state, error) != (self._state, self._error):
            logger.error("the ledger cannot be written, entries wait in %s: %s", self._spool.folder, error)
        self._state, self._error = state, error
        self._delay = min(max(self._delay * 2, BACKOFF[0]), BACKOFF[1])
        self._next_try = self._clock() + self._delay

    def _put_by(self, entries: list[Entry]) -> None:
        try:
            rest = entries[self._spool.append(entries) :]
            self._held = []
        except OSError as error:
            # A full disk: memory is the last place.
            if str(error) != self._spool_error:
                self._spool_error = str(error)
                logger.error("the ledger's spool cannot be written, entries wait in memory: %s", error)
            self._held = entries[:QUEUE]
            rest = entries[QUEUE:]
        self._dropped += len(rest)

    def _catch_up(self) -> None:
        """What waits for a quiet moment: the spool, other processes' use, old rows."""
        engine = self._engine
        assert engine is not None
        try:
            for path in self._spool.waiting():
                for entries in spool.read(path, BATCH):
                    if not self._write(entries):
                        return
                path.unlink(missing_ok=True)
            if self.budgets is not None:
                now = self._wall()
                if self._clock() >= self._next_refresh or self.budgets.ahead(now):
                    self._next_refresh = self._clock() + REFRESH
                    self.budgets.refresh(engine, now)
            if not self._stopping:
                self._retention.run(engine)
        except (SQLAlchemyError, OSError) as error:
            engine.dispose()
            self._engine = None
            self._fail("waiting", _reason(error))


def _reason(error: Exception) -> str:
    """The database's own words, without the statement and its values."""
    cause = getattr(error, "orig", None) or error
    return " ".join(str(cause).split())[:300] or type(error).__name__
