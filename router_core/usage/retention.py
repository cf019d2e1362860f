"""Removes what the ledger need not keep any longer, a little at a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Column, Engine, Table, delete, select

from router_core.config.schema import RetainUsage
from router_core.usage.entry import day_of
from router_core.usage.tables import attempts, daily, exchanges, hourly, sessions

logger = logging.getLogger(__name__)

EVERY: Final = 3600.0
"""Seconds between two rounds."""
CHUNK: Final = 5000
"""Rows that one transaction removes, so that no writer waits for long."""
JUMP: Final = 300.0
"""Seconds by which the wall clock may depart from the monotonic one before it counts as wrong."""


def since_boot() -> float:
    """Seconds that go on while the machine sleeps, where the system counts them; else as `time.monotonic`."""
    return time.clock_gettime(_CLOCK)


_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Retention:
    """Call `run` as often as you like; it works when its time has come.

    A wall clock that jumps ahead would make everything look old. While it differs from what it should be by
    `clock`, which must not stand still while the machine sleeps, nothing is removed.
    """

    def __init__(self, retain: RetainUsage, wall: Callable[[], float], clock: Callable[[], float]) -> None:
        self._retain = retain
        self._wall = wall
        self._clock = clock
        self._offset = wall() - clock()
        self._next = clock() + 60.0

    def run(self, engine: Engine) -> int:
        """Remove what is too old. Returns the number of rows; raises SQLAlchemyError."""
        if self._clock() < self._next:
            return 0
        self._next = self._clock() + EVERY
        drift = self._wall() - self._clock() - self._offset
        if abs(drift) > JUMP:
            logger.warning(
                "the clock jumped by %.0f s; the ledger keeps old rows until the next start", drift
            )
            return 0
        return prune(engine, self._retain, self._wall())


def prune(engine: Engine, retain: RetainUsage, now: float) -> int:
    """Remove the rows that are older at `now`, in seconds since the epoch, than they need to be kept."""
    limits: list[tuple[Table, Column[Any], float, Callable[[float], Any]]] = [
        (exchanges, exchanges.c.at, retain.exchanges, _milliseconds),
        (attempts, attempts.c.at, retain.exchanges, _milliseconds),
        (hourly, hourly.c.hour, retain.hourly, int),
        (daily, daily.c.day, retain.daily, _day),
        (sessions, sessions.c.day, retain.hourly, _day),
    ]
    removed = 0
    for table, column, keep, unit in limits:
        while keep:
            count = _remove_some(engine, table, column, unit(now - keep))
            removed += count
            if count < CHUNK:
                break
            time.sleep(0.01)
    return removed


def _remove_some(engine: Engine, table: Table, column: Column[Any], before: Any) -> int:
    keys = list(table.primary_key)
    old = select(*keys).where(column < before).limit(CHUNK)
    with engine.connect().execution_options(write=True) as connection, connection.begin():
        rows = connection.execute(old).all()
        if rows:
            statement = delete(table).where(*(key == _parameter(key) for key in keys))
            connection.execute(
                statement, [{f"b_{k.name}": v for k, v in zip(keys, row, strict=True)} for row in rows]
            )
        return len(rows)


def _parameter(key: Column[Any]) -> Any:
    from sqlalchemy import bindparam

    return bindparam(f"b_{key.name}", type_=key.type)


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)


def _day(seconds: float) -> str:
    return day_of(_milliseconds(seconds))
