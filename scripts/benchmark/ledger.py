"""How fast reports are over a large ledger: ``python -m scripts.benchmark.ledger [EXCHANGES] [FOLDER]``.

Writes that many exchanges of the last 90 days into a new SQLite ledger (10,000,000 without an argument:
a few minutes and 4 GB) with the sums that the writer would have made, and times the month's report.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine

from router_core.usage import tables
from router_core.usage.database import open_ledger, sqlite_url
from router_core.usage.monthly import monthly
from router_core.usage.question import Question
from router_core.usage.report import ask, recent

DAYS: Final = 90
CREDENTIALS: Final = 20
CLIENTS: Final = 10
TOOLS: Final = 5
MODELS: Final = 3
"""Of each provider, of which every fourth credential has another one."""
PER_SESSION: Final = 40

# A multiplicative hash spreads the numbers over the dimensions without a random number for each. A session is
# one client's with one tool, and on one credential but for every eighth exchange.
_FILL: Final = """
INSERT INTO exchanges
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :count),
h(i, r, s) AS (SELECT i, (i * 2654435761) & 4294967295, (i / :per_session * 2654435761) & 4294967295 FROM n)
SELECT printf('x%012d', i), :start + (:span * i) / :count,
  'provider-' || (c % 4), 'credential-' || c, 'model-' || (c % 4) || '-' || ((r >> 8) % :models),
  'client-' || ((s >> 12) % :clients), 'tool-' || ((s >> 16) % :tools),
  'asked', 'session-' || (i / :per_session), 'anthropic', 'generate', 1, 0, CASE WHEN r % 50 THEN 'ok' ELSE 'error' END, 200, '', 1,
  100 + r % 3000, 2000 + r % 30000, r % 5000, r % 900, 0, r % 60000, r % 2000, 0, NULL, NULL, NULL, NULL, '', '', 0, r * 10, NULL, 'catalog'
FROM (SELECT *, (s + (r % 8 = 0)) % :credentials AS c FROM h)
"""


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    with _folder() as folder:
        engine = open_ledger(sqlite_url(folder / "ledger.db"))
        with _timed(f"write {count:,} exchanges"):
            _fill(engine, count)
        with _timed("sum them up"):
            _sum_up(engine)
        print(f"{sum(f.stat().st_size for f in folder.iterdir()) / 1e9:.1f} GB")
        for name, report in reports(engine).items():
            with _timed(name):
                report()
        engine.dispose()


def reports(engine: Engine) -> dict[str, Callable[[], object]]:
    today = date.today()
    first, last = today - timedelta(days=30), today
    return {
        "report of the month": lambda: monthly(
            engine, (today.replace(day=1) - timedelta(days=1)).replace(day=1)
        ),
        "30 days by day": lambda: ask(engine, Question(("day",), first, last)),
        "30 days by provider and model": lambda: ask(engine, Question(("provider", "model"), first, last)),
        "30 days by session": lambda: ask(engine, Question(("session",), first, last)),
        "7 days by hour": lambda: ask(engine, Question(("hour",), today - timedelta(days=6), last)),
        "the latest 100 exchanges": lambda: recent(engine, 100),
    }


def _fill(engine: Engine, count: int) -> None:
    start = int((time.time() - DAYS * 86400) * 1000)
    values = {
        "count": count,
        "start": start,
        "span": DAYS * 86_400_000,
        "credentials": CREDENTIALS,
        "clients": CLIENTS,
        "tools": TOOLS,
        "models": MODELS,
        "per_session": PER_SESSION,
    }
    with engine.connect().execution_options(write=True) as connection, connection.begin():
        connection.exec_driver_sql(_FILL, values)


def _sum_up(engine: Engine) -> None:
    sums = {
        "requests": "count(*)",
        "errors": "sum(result = 'error')",
        "unpriced": "0",
        "generated": "sum(output)",
        "generation_ms": "sum(duration_ms - first_byte_ms)",
        "fb3": "count(*)",
    }
    known = {column.name for column in tables.exchanges.columns}

    def measure(name: str) -> str:
        return sums.get(name) or (
            f"coalesce(sum({name}), 0)" if name in known and name != "server_tools" else "0"
        )

    keys = {
        "hourly": ["at / 3600000 * 3600"],
        "daily": ["date(at / 1000, 'unixepoch', 'localtime')"],
        "sessions": ["date(at / 1000, 'unixepoch', 'localtime')", "session"],
    }
    with engine.connect().execution_options(write=True) as connection, connection.begin():
        for table, key in keys.items():
            _insert_sums(connection, table, key, measure)


def _insert_sums(connection: Connection, table: str, key: list[str], measure: Callable[[str], str]) -> None:
    target = tables.metadata.tables[table]
    columns = [c.name for c in target.columns]
    groups = [*key, *(c.name for c in list(target.primary_key)[len(key) :])]
    measures = [measure(name) for name in columns[len(groups) :]]
    connection.exec_driver_sql(
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join([*groups, *measures])}"
        f" FROM exchanges GROUP BY {', '.join(str(i + 1) for i in range(len(groups)))}"
    )


@contextmanager
def _folder() -> Iterator[Path]:
    if len(sys.argv) > 2:
        Path(sys.argv[2]).mkdir(parents=True, exist_ok=True)
        yield Path(sys.argv[2])
        return
    with tempfile.TemporaryDirectory(prefix="detour-ledger-") as name:
        yield Path(name)


@contextmanager
def _timed(what: str) -> Iterator[None]:
    begin, worked = time.perf_counter(), time.process_time()
    yield
    elapsed, worked = time.perf_counter() - begin, time.process_time() - worked
    print(f"{what:<32}{elapsed:8.3f} s {worked:8.3f} s of CPU", flush=True)


if __name__ == "__main__":
    main()
