"""Sums of entries, and how they are added to the roll-up tables."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from functools import cache
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, Table, select
from sqlalchemy.dialects import postgresql, sqlite

from router_core.usage.columns import BUCKETS, DIMENSIONS, FIRST_BYTE_EDGES, MEASURES, TOKENS
from router_core.usage.entry import Entry, day_of
from router_core.usage.tables import attempts, daily, exchanges, hourly, sessions

type Sums = dict[tuple[Any, ...], dict[str, int]]
"""Primary key of a roll-up row to its measures."""


_COLUMNS = tuple(column.name for column in exchanges.columns)
_VALUES = attrgetter(*_COLUMNS)


def measures_of(entry: Entry) -> dict[str, int]:
    """One entry as the measures of a roll-up row, first byte buckets included."""
    found = dict.fromkeys((*MEASURES, *BUCKETS), 0)
    found["requests"] = 1
    found["errors"] = int(entry.result == "error")
    found["cancelled"] = int(entry.result == "cancelled")
    found["refused"] = int(entry.result == "refused")
    found["failed_attempts"] = len(entry.failures)
    for name in TOKENS:
        found[name] = getattr(entry, name) or 0
    found["server_tools"] = sum(entry.server_tools.values())
    found["cost"] = entry.cost or 0
    found["notional"] = entry.notional or 0
    found["unpriced"] = int(entry.tokens > 0 and entry.cost is None and entry.notional is None)
    found["duration_ms"] = entry.duration_ms or 0
    if entry.first_byte_ms is not None:
        found[BUCKETS[bisect_left(FIRST_BYTE_EDGES, entry.first_byte_ms)]] = 1
        if entry.stream and entry.output and entry.duration_ms is not None:
            found["generated"] = entry.output
            found["generation_ms"] = max(0, entry.duration_ms - entry.first_byte_ms)
    return found


def measures_of_row(row: Mapping[str, Any]) -> dict[str, int]:
    """Like `measures_of`, for a row of ``exchanges``."""
    tools = (part.partition("=") for part in row["server_tools"].split(",") if part)
    found = measures_of(
        Entry(**{**row, "server_tools": {name: int(calls) for name, _, calls in tools}, "notes": ()})
    )
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
        connection.execute(_insertion(connection.dialect.name, attempts), failures)
    hours: Sums = {}
    days: Sums = {}
    talks: Sums = {}
    for entry in new:
        sums = measures_of(entry)
        names = tuple(getattr(entry, dimension) for dimension in DIMENSIONS)
        day = day_of(entry.at)
        _add(hours, (entry.at // 3_600_000 * 3600, *names), sums)
        _add(days, (day, *names), sums)
        if entry.session:
            _add(talks, (day, entry.session, entry.client, entry.tool), sums)
    for table, rows in ((hourly, hours), (daily, days), (sessions, talks)):
        _upsert(connection, table, rows)
    return len(new)


def _insert_new(connection: Connection, batch: dict[str, Entry]) -> list[Entry]:
    """Insert the entries that are not there yet, and say which they were: all of them, but after a failure."""
    statement = _insertion(connection.dialect.name, exchanges)
    rows = [_row(entry) for entry in batch.values()]
    with connection.begin_nested() as attempt:
        if connection.execute(statement, rows).rowcount == len(rows):
            return list(batch.values())
        attempt.rollback()
    known = set(connection.execute(select(exchanges.c.id).where(exchanges.c.id.in_(batch))).scalars())
    new = [entry for id, entry in batch.items() if id not in known]
    if new:
        connection.execute(statement, [_row(entry) for entry in new])
    return new


def _add(sums: Sums, key: tuple[Any, ...], more: dict[str, int]) -> None:
    row = sums.get(key)
    if row is None:
        sums[key] = dict(more)
    else:
        for name, value in more.items():
            row[name] += value


def _upsert(connection: Connection, table: Table, sums: Sums) -> None:
    if not sums:
        return
    keys = [column.name for column in table.primary_key]
    values = [column.name for column in table.columns if not column.primary_key]
    # One order for everybody, or two processes could each wait for a row that the other holds.
    rows = [dict(zip(keys, key, strict=True)) | {n: sums[key][n] for n in values} for key in sorted(sums)]
    connection.execute(_addition(connection.dialect.name, table), rows)


# Statements are made once: SQLAlchemy finds what it has compiled by walking through them, which costs less
# the second time it meets the same object. None returns rows, so that drivers prepare each for one row and
# run it for all, where a statement for many rows would be parsed anew for each number of them.


@cache
def _insertion(dialect: str, table: Table) -> Any:
    return _INSERT[dialect](table).on_conflict_do_nothing()


@cache
def _addition(dialect: str, table: Table) -> Any:
    statement = _INSERT[dialect](table)
    return statement.on_conflict_do_update(
        index_elements=[column.name for column in table.primary_key],
        set_={c.name: c + statement.excluded[c.name] for c in table.columns if not c.primary_key},
    )


_INSERT: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def _row(entry: Entry) -> dict[str, Any]:
    row = dict(zip(_COLUMNS, _VALUES(entry), strict=True))
    tools = entry.server_tools
    row["server_tools"] = ",".join(f"{name}={tools[name]}" for name in sorted(tools)) if tools else ""
    row["notes"] = "; ".join(entry.notes)
    return row


def _failures(entry: Entry) -> list[dict[str, Any]]:
    own = ("exchange", "at")
    return [
        {"exchange": entry.id, "at": entry.at}
        | {
            column.name: getattr(failure, column.name)
            for column in attempts.columns
            if column.name not in own
        }
        for failure in entry.failures
    ]
