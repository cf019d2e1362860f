"""The ledger's tables. `router_core.usage.migrations` brings a database to this shape, step by step.

``exchanges`` holds a row for each exchange and ``attempts`` one for each attempt that failed. The roll-ups
hold sums: ``hourly`` (UTC) for charts, ``daily`` (local days) for reports, and ``sessions`` (daily too) for
conversations, which are so many that they have few dimensions of their own. Reports read roll-ups, so they
do not slow down as ``exchanges`` grows; only those of a single session read its exchanges.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, MetaData, Table, Text

from router_core.usage.columns import BUCKETS, DIMENSIONS, MEASURES, SESSION_DIMENSIONS, TOKENS

metadata = MetaData()


def _text(name: str, primary_key: bool = False) -> Column:
    return Column(name, Text, nullable=False, primary_key=primary_key)


def _figure(name: str) -> Column:
    return Column(name, BigInteger)


exchanges = Table(
    "exchanges",
    metadata,
    _text("id", primary_key=True),
    Column("at", BigInteger, nullable=False),
    *(_text(name) for name in DIMENSIONS),
    _text("asked"),
    _text("session"),
    _text("format"),
    _text("operation"),
    Column("stream", Boolean, nullable=False),
    Column("websocket", Boolean, nullable=False),
    _text("result"),
    Column("status", Integer),
    _text("error"),
    Column("attempts", Integer, nullable=False),
    _figure("first_byte_ms"),
    _figure("duration_ms"),
    *(_figure(name) for name in TOKENS),
    _text("server_tools"),
    _text("notes"),
    Column("subscription", Boolean, nullable=False),
    _figure("cost"),
    _figure("notional"),
    _text("cost_source"),
    Index("exchanges_at", "at"),
    Index("exchanges_session", "session", "at"),
)

attempts = Table(
    "attempts",
    metadata,
    _text("exchange", primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("at", BigInteger, nullable=False),
    _text("provider"),
    _text("credential"),
    _text("model"),
    _text("phase"),
    Column("status", Integer),
    Column("timeout", Boolean, nullable=False),
    _figure("duration_ms"),
    _figure("input"),
    _figure("output"),
    Index("attempts_at", "at"),
)


def _rollup(
    name: str, *keys: Column, dimensions: tuple[str, ...] = DIMENSIONS, measures: tuple[str, ...] = MEASURES
) -> Table:
    return Table(
        name,
        metadata,
        *keys,
        *(_text(dimension, primary_key=True) for dimension in dimensions),
        *(Column(measure, BigInteger, nullable=False) for measure in measures),
        # SQLite then keeps the rows themselves in the order of the key, so that a month is read in one go.
        sqlite_with_rowid=False,
    )


hourly = _rollup(
    "hourly",
    Column("hour", BigInteger, primary_key=True, autoincrement=False),
    measures=(*MEASURES, *BUCKETS),
)
"""``hour`` is the first second of the hour since the epoch."""

daily = _rollup("daily", _text("day", primary_key=True))
"""``day`` is the local date, ``YYYY-MM-DD``."""

sessions = _rollup(
    "sessions",
    _text("day", primary_key=True),
    _text("session", primary_key=True),
    dimensions=SESSION_DIMENSIONS,
)
