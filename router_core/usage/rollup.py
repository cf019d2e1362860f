"""Sums of entries, and how they are added to the roll-up tables."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from operator import attrgetter
from typing import Any, Final

from sqlalchemy import Connection, Table, select
from sqlalchemy.dialects import postgresql, sqlite

from router_core.usage.columns import BUCKETS, DIMENSIONS, FIRST_BYTE_EDGES, MEASURES, TOKENS
from router_core.usage.entry import Entry, day_of
from router_core.usage.tables import attempts, daily, exchanges, hourly, sessions

type Measures = tuple[int, ...]
"""Figures in the order of `SUMMED`."""

type Groups = dict[tuple[Any, ...], list[Measures]]
"""Primary key of a roll-up row to what is to be added to it."""

SUMMED: Final = (*MEASURES, *BUCKETS)
QUARTER: Final = 900_000
"""Milliseconds in which neither the hour nor the local date changes, in any zone of the world."""

_NO_BUCKET: Final = (0,) * len(BUCKETS)
_IN_BUCKET: Final = tuple(tuple(int(i == n) for i in range(len(BUCKETS))) for n in range(len(BUCKETS)))
_TOKENS: Final = attrgetter(*TOKENS)
_DIMENSIONS: Final = attrgetter(*DIMENSIONS)


def measures_of(entry: Entry) -> Measures:
    """One entry as the measures of a roll-up row, first byte buckets included."""
    tokens = _TOKENS(entry)
    cost, notional, first, duration = entry.cost, entry.notional, entry.first_byte_ms, entry.duration_ms
    result = entry.result
    generated = generation = 0
    if first is not None and entry.stream and entry.output and duration is not None:
        generated, generation = entry.output, max(0, duration - first)
    return (
        1,
        result == "error",
        result == "cancelled",
        result == "refused",
        len(entry.failures),
        *[count or 0 for count in tokens],
        sum(entry.server_tools.values()) if entry.server_tools else 0,
        cost or 0,
        notional or 0,
        entry.unpriced,
        duration or 0,
        generated,
        generation,
        *(_NO_BUCKET if first is None else _IN_BUCKET[bisect_left(FIRST_BYTE_EDGES, first)]),
    )


def measures_of_row(row: Mapping[str, Any]) -> dict[str, int]:
    """Like `measures_of`, by name, for a row of ``exchanges``."""
    tools = (part.partition("=") for part in row["server_tools"].split(",") if part)
    entry = Entry(**{**row, "server_tools": {name: int(calls) for name, _, calls in tools}, "notes": ()})
    found = dict(zip(SUMMED, map(int, measures_of(entry)), strict=True))
    found["failed_attempts"] = (
        row["attempts"] - (row["result"] in ("ok", "cancelled")) if row["attempts"] else 0
    )
    return found


def write(connection: Connection, entries: Iterable[Entry]) -> int:
    """Write entries with their failures and sums; those already there change nothing. Returns how many were new.

    Must run inside a transaction, so that rows and sums stay together.
    """
    batch = {entry.id: entry for entry in entries}
    if not batch:
        return 0
    new = _insert_new(connection, batch)
    if failures := [row for entry in new for row in _failures(entry)]:
        connection.exec_driver_sql(_insertion(connection.dialect.name, attempts), failures)
    for table, groups in _groups(new).items():
        _upsert(connection, table, groups)
    return len(new)


def _insert_new(connection: Connection, batch: dict[str, Entry]) -> list[Entry]:
    """Insert the entries that are not there yet, and say which they were: all of them, but after a failure."""
    statement = _insertion(connection.dialect.name, exchanges)
    rows = [_row(entry) for entry in batch.values()]
    with connection.begin_nested() as attempt:
        if connection.exec_driver_sql(statement, rows).rowcount == len(rows):
            return list(batch.values())
        attempt.rollback()
    known = set(connection.execute(select(exchanges.c.id).where(exchanges.c.id.in_(batch))).scalars())
    new = [entry for id, entry in batch.items() if id not in known]
    if new:
        connection.exec_driver_sql(statement, [_row(entry) for entry in new])
    return new


def _groups(entries: Iterable[Entry]) -> dict[Table, Groups]:
    """What `entries` add to each of the roll-up tables."""
    quarters: Groups = defaultdict(list)
    talks: Groups = defaultdict(list)
    for entry in entries:
        measures = measures_of(entry)
        quarter = entry.at // QUARTER
        quarters[quarter, *_DIMENSIONS(entry)].append(measures)
        if entry.session:
            talks[quarter, entry.session, entry.client, entry.tool].append(measures)
    hours: Groups = defaultdict(list)
    days: Groups = defaultdict(list)
    for (quarter, *names), rows in quarters.items():
        sums = _sum(rows)
        hours[quarter // 4 * 3600, *names].append(sums)
        days[day_of(quarter * QUARTER), *names].append(sums)
    daily_talks: Groups = defaultdict(list)
    for (quarter, *names), rows in talks.items():
        daily_talks[day_of(quarter * QUARTER), *names] += rows
    return {hourly: hours, daily: days, sessions: daily_talks}


def _sum(rows: list[Measures]) -> Measures:
    return tuple(map(sum, zip(*rows, strict=True))) if len(rows) > 1 else rows[0]


def _upsert(connection: Connection, table: Table, groups: Groups) -> None:
    if not groups:
        return
    columns = len(table.columns) - len(table.primary_key)
    # One order for everybody, or two processes could each wait for a row that the other holds.
    rows = [(*key, *map(int, _sum(groups[key])[:columns])) for key in sorted(groups)]
    connection.exec_driver_sql(_addition(connection.dialect.name, table), rows)


# SQLAlchemy writes the statements, once, and the drivers get them with rows as plain tuples: what it does for
# each row of a statement that it executes itself takes several times as long as the database. None returns
# rows, so that drivers prepare each for one row and run it for all, where a statement for many rows would be
# parsed anew for each number of them.


@cache
def _insertion(dialect: str, table: Table) -> str:
    insert, positional = _DIALECTS[dialect]
    return str(insert(table).on_conflict_do_nothing().compile(dialect=positional))


@cache
def _addition(dialect: str, table: Table) -> str:
    insert, positional = _DIALECTS[dialect]
    statement = insert(table)
    addition = statement.on_conflict_do_update(
        index_elements=[column.name for column in table.primary_key],
        set_={c.name: c + statement.excluded[c.name] for c in table.columns if not c.primary_key},
    )
    return str(addition.compile(dialect=positional))


_DIALECTS: Final[dict[str, tuple[Any, Any]]] = {
    "sqlite": (sqlite.insert, sqlite.dialect(paramstyle="qmark")),
    "postgresql": (postgresql.insert, postgresql.dialect(paramstyle="format")),
}


_COLUMNS: Final = tuple(column.name for column in exchanges.columns)
_VALUES: Final = attrgetter(*_COLUMNS)
_BEFORE: Final = slice(_COLUMNS.index("server_tools"))
_BEHIND: Final = slice(_COLUMNS.index("notes") + 1, None)


def _row(entry: Entry) -> tuple[Any, ...]:
    row = _VALUES(entry)
    tools = entry.server_tools
    texts = (
        ",".join([f"{name}={tools[name]}" for name in sorted(tools)]) if tools else "",
        "; ".join(entry.notes) if entry.notes else "",
    )
    return row[_BEFORE] + texts + row[_BEHIND]


_FAILURE: Final = attrgetter(
    *[c.name for c in attempts.columns if c.name not in ("exchange", "number", "at")]
)


def _failures(entry: Entry) -> list[tuple[Any, ...]]:
    return [(entry.id, failure.number, entry.at, *_FAILURE(failure)) for failure in entry.failures]
