"""Questions to the ledger, answered from the roll-ups."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, Engine, Integer, Label, Select, Table, func, select, tuple_

from router_core.usage.columns import BUCKETS, FIRST_BYTE_EDGES, MEASURES
from router_core.usage.entry import day_of
from router_core.usage.question import MAX_ROWS, Question, Row
from router_core.usage.rollup import measures_of_row
from router_core.usage.tables import attempts, daily, exchanges, hourly, sessions

NANO: Final = 1_000_000_000
MAX_EXCHANGES: Final = 100_000
"""Of one session that a report reads."""


def ask(engine: Engine, question: Question) -> list[Row]:
    """Rows in order of time, else of tokens, the largest first. Raises SQLAlchemyError."""
    if question.session is not None:
        return _ask_about_session(engine, question)
    groups, query = _query(question)
    if groups:
        order = _order(_table(question), groups)
        if "session" in groups:
            # There may be hundreds of thousands: first which they are, then all the sums of these few.
            few = query.with_only_columns(*groups.values()).order_by(*order).limit(question.limit)
            query = query.where(tuple_(*(group.element for group in groups.values())).in_(few))
        query = query.order_by(*order).limit(question.limit)
    with engine.connect() as connection:
        records = [dict(record) for record in connection.execute(query).mappings()]
    return [_row(question.by, record) for record in records if record["requests"]]


def ask_each(engine: Engine, question: Question, *groupings: tuple[str, ...]) -> list[list[Row]]:
    """`question` by each of `groupings`, of dimensions only, with a single look at the ledger."""
    every = tuple(dict.fromkeys(name for by in groupings for name in by))
    _, query = _query(Question(every, question.since, question.until, question.where))
    with engine.connect() as connection:
        records = [tuple(record) for record in connection.execute(query) if record.requests]
    return [_grouped(records, every, by)[: question.limit] for by in groupings]


def _grouped(records: list[tuple[Any, ...]], every: tuple[str, ...], by: tuple[str, ...]) -> list[Row]:
    """`records` of the names in `every`, then the measures, summed up by some of these names."""
    places = [every.index(name) for name in by]
    groups: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
    for record in records:
        groups.setdefault(tuple([record[place] for place in places]), []).append(record[len(every) :])
    rows = []
    for key, found in groups.items():
        values = dict(zip(MEASURES, map(sum, zip(*found, strict=True)), strict=True))
        rows.append(_row(by, {f"group_{n}": v for n, v in zip(by, key, strict=True)} | values))
    return _largest(rows)


def _query(question: Question) -> tuple[dict[str, Label[Any]], Select[*tuple[Any, ...]]]:
    """The groups and the sums of a question, in no order."""
    table = _table(question)
    groups = {name: _group(table, name).label(f"group_{name}") for name in question.by}
    measures = list(MEASURES) + (list(BUCKETS) if table is hourly else [])
    sums = [func.sum(table.c[name]).label(name) for name in measures]
    query = select(*groups.values(), *sums).where(*_period(table, question))
    for name, value in (question.where or {}).items():
        query = query.where(table.c[name] == value)
    return groups, query.group_by(*groups.values())


def _add(
    sums: dict[tuple[Any, ...], dict[str, Any]],
    by: tuple[str, ...],
    key: tuple[Any, ...],
    more: Mapping[str, Any],
) -> None:
    row = sums.get(key)
    if row is None:
        row = sums[key] = {f"group_{name}": value for name, value in zip(by, key, strict=True)}
    for measure, value in more.items():
        row[measure] = row.get(measure, 0) + (value or 0)


def _largest(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (-row.tokens, -row.requests, list(row.group.values())))


def _ask_about_session(engine: Engine, question: Question) -> list[Row]:
    """One session by whatever is asked, from its exchanges, which are kept for a shorter time than sums are."""
    query = select(exchanges).order_by(exchanges.c.at).limit(MAX_EXCHANGES)
    for name, value in (question.where or {}).items():
        query = query.where(exchanges.c[name] == value)
    if question.since:
        query = query.where(exchanges.c.at >= _midnight(question.since) * 1000)
    if question.until:
        query = query.where(exchanges.c.at < _midnight(question.until + timedelta(days=1)) * 1000)
    sums: dict[tuple[Any, ...], dict[str, Any]] = {}
    with engine.connect() as connection:
        for record in map(dict, connection.execute(query).mappings()):
            key = tuple(_group_of(record, name) for name in question.by)
            _add(sums, question.by, key, measures_of_row(record))
    rows = [_row(question.by, found) for found in sums.values()]
    unit = next((name for name in ("hour", "day", "month") if name in question.by), None)
    rows.sort(key=lambda row: (row.group[unit] if unit else "", -row.tokens))
    return rows[: question.limit]


def _group_of(record: Mapping[str, Any], name: str) -> Any:
    match name:
        case "hour":
            return record["at"] // 3_600_000 * 3600
        case "day":
            return day_of(record["at"])
        case "month":
            return day_of(record["at"])[:7]
        case _:
            return record[name]


def recent(engine: Engine, limit: int = 100, before: int | None = None) -> list[dict[str, Any]]:
    """The latest exchanges, newest first; `before` (milliseconds since the epoch) pages on."""
    query = (
        select(exchanges).order_by(exchanges.c.at.desc(), exchanges.c.id.desc()).limit(min(limit, MAX_ROWS))
    )
    if before is not None:
        query = query.where(exchanges.c.at < before)
    with engine.connect() as connection:
        return [_exchange(dict(record)) for record in connection.execute(query).mappings()]


def exchange(engine: Engine, id: str) -> dict[str, Any] | None:
    """One exchange with the attempts that failed; None where it is not in the ledger."""
    if "\0" in id:
        return None  # PostgreSQL cannot even be asked for it
    with engine.connect() as connection:
        record = connection.execute(select(exchanges).where(exchanges.c.id == id)).mappings().first()
        if record is None:
            return None
        tried = select(attempts).where(attempts.c.exchange == id).order_by(attempts.c.number)
        failed = [dict(attempt) for attempt in connection.execute(tried).mappings()]
    return _exchange(dict(record)) | {"failures": failed}


def failures(engine: Engine, since: date, until: date) -> list[dict[str, Any]]:
    """Failed attempts by provider, credential and status, the most first, with what they used all the same."""
    start, end = _midnight(since) * 1000, _midnight(until + timedelta(days=1)) * 1000
    keys = (attempts.c.provider, attempts.c.credential, attempts.c.status, attempts.c.phase)
    query = select(
        *keys,
        func.count().label("count"),
        func.sum(attempts.c.timeout.cast(Integer)).label("timeouts"),
        *(
            func.coalesce(func.sum(attempts.c[name]), 0).cast(BigInteger).label(name)
            for name in ("input", "output")
        ),
    )
    query = query.where(attempts.c.at >= start, attempts.c.at < end).group_by(*keys)
    with engine.connect() as connection:
        found = [dict(record) for record in connection.execute(query.limit(MAX_ROWS)).mappings()]
    return sorted(found, key=lambda record: -record["count"])


def _table(question: Question) -> Table:
    if "session" in question.by:
        return sessions
    return hourly if "hour" in question.by else daily


def _group(table: Table, name: str) -> ColumnElement[Any]:
    if name == "month":
        return func.substr(table.c.day, 1, 7)
    return table.c[name]


def _period(table: Table, question: Question) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if table is hourly:
        if question.since:
            conditions.append(table.c.hour >= _midnight(question.since))
        if question.until:
            conditions.append(table.c.hour < _midnight(question.until + timedelta(days=1)))
    else:
        if question.since:
            conditions.append(table.c.day >= question.since.isoformat())
        if question.until:
            conditions.append(table.c.day <= question.until.isoformat())
    return conditions


def _midnight(day: date) -> int:
    return int(datetime(day.year, day.month, day.day).timestamp())


_ADDED: Final = (
    "requests",
    "errors",
    "cancelled",
    "refused",
    "failed_attempts",
    "input",
    "output",
    "reasoning",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "server_tools",
    "cost",
    "notional",
    "unpriced",
    "duration_ms",
)


def _row(by: tuple[str, ...], record: Mapping[str, Any]) -> Row:
    values: dict[str, Any] = {name: int(record[name]) for name in _ADDED}
    known = values["cost"] or not values["unpriced"]
    values["cost"], values["notional"] = values["cost"] / NANO if known else None, values["notional"] / NANO
    spent = int(record["generation_ms"])
    return Row(
        group={name: _label(name, record[f"group_{name}"]) for name in by},
        **values,
        tokens_per_second=round(int(record["generated"]) * 1000 / spent, 1) if spent else None,
        first_byte_ms=_percentiles([int(record[name]) for name in BUCKETS]) if "hour" in by else None,
    )


def _label(name: str, value: Any) -> str:
    return datetime.fromtimestamp(int(value)).astimezone().isoformat() if name == "hour" else str(value)


def _percentiles(counts: list[int]) -> dict[str, int] | None:
    number = sum(counts)
    if not number:
        return None
    edges = (*FIRST_BYTE_EDGES, FIRST_BYTE_EDGES[-1])
    found = {}
    for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
        seen = 0
        for edge, count in zip(edges, counts, strict=True):
            seen += count
            if seen >= share * number:
                found[name] = edge
                break
    return found


def _order(table: Table, groups: Mapping[str, ColumnElement[Any]]) -> list[ColumnElement[Any]]:
    c = table.c
    tokens = func.sum(c.input + c.cache_read + c.cache_write + c.output).desc()
    unit = next((groups[name] for name in ("hour", "day", "month") if name in groups), None)
    if unit is not None:
        return [unit, tokens]
    return [tokens, func.sum(c.requests).desc(), *groups.values()]


def _exchange(record: dict[str, Any]) -> dict[str, Any]:
    for name in ("cost", "notional"):
        if record[name] is not None:
            record[name] = record[name] / NANO
    return record


def today(now: float) -> date:
    """The local date of seconds since the epoch."""
    return date.fromisoformat(day_of(int(now * 1000)))
