"""The ledger's writer on SQLite and PostgreSQL: rows, sums, dead databases, corrupt files."""

import logging
import os
import sqlite3
import time
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from router_core.exchange import Usage
from router_core.usage import database, ledger as ledger_module, report, rollup
from router_core.usage.database import (
    LedgerError,
    connect,
    head,
    open_for_reading,
    open_ledger,
    sqlite_path,
    sqlite_url,
)
from router_core.usage.intake import QUEUE
from router_core.usage.ledger import Ledger
from router_core.usage.question import Question
from router_core.usage.tables import attempts, daily, exchanges, metadata
from tests.router_core.usage.exchanges import NOON, attempt, exchange


def ledger(url: str, tmp_path: Path, **options) -> Ledger:
    made = Ledger(url, tmp_path / "spool", wall=lambda: NOON, **options)
    made.start()
    return made


def rows(url: str, table=exchanges) -> list[dict]:
    engine = connect(url)
    with engine.connect() as connection:
        found = [dict(r) for r in connection.execute(select(table)).mappings()]
    engine.dispose()
    return found


def test_an_exchange_becomes_a_row_and_sums(url: str, tmp_path: Path) -> None:
    writer = ledger(url, tmp_path)
    usage = Usage(
        input=3, output=40, reasoning=15, cache_read=1111, cache_write=418, server_tools={"web_search": 2}
    )
    writer.record(exchange(usage=usage, id="x1", client="laptop", tool="claude-code", session="s1"))
    writer.close()
    (row,) = rows(url)
    assert (row["id"], row["provider"], row["credential"], row["client"]) == (
        "x1",
        "anthropic",
        "work",
        "laptop",
    )
    assert (row["input"], row["output"], row["cache_read"], row["cache_write_1h"]) == (3, 40, 1111, None)
    assert (row["first_byte_ms"], row["duration_ms"], row["server_tools"]) == (250, 2250, "web_search=2")
    # 3 at $3, 1111 at $0.30, 418 at $3.75, 40 at $15 a million, and two searches at $10 a thousand.
    assert (row["cost"], row["cost_source"]) == (22_509_800, "catalog")
    (sums,) = rows(url, daily)
    assert (sums["day"], sums["requests"], sums["cache_read"], sums["cost"]) == (
        "2026-09-21",
        1,
        1111,
        row["cost"],
    )


def test_a_row_is_written_once_whatever_happens(url: str, tmp_path: Path) -> None:
    for _ in range(3):
        writer = ledger(url, tmp_path)
        writer.record(exchange(id="same"))
        writer.record(exchange(id="same"))
        writer.close()
    assert len(rows(url)) == 1
    assert [r["requests"] for r in rows(url, daily)] == [1]


def test_failed_attempts_are_counted_apart(url: str, tmp_path: Path) -> None:
    limited = attempt(1, credential="first", phase="headers", status=429)
    limited.usage = Usage(input=5, output=0)
    slow = attempt(2, credential="second", phase="connect", error="connect timeout", timeout=True)
    writer = ledger(url, tmp_path)
    writer.record(exchange(limited, slow, attempt(3, credential="third"), usage=Usage(input=7, output=9)))
    writer.close()
    (row,) = rows(url)
    assert (row["credential"], row["attempts"], row["input"], row["result"]) == ("third", 3, 7, "ok")
    failed = sorted(rows(url, attempts), key=lambda r: r["number"])
    assert [(r["credential"], r["status"], r["timeout"], r["input"]) for r in failed] == [
        ("first", 429, False, 5),
        ("second", None, True, None),
    ]
    engine = open_for_reading(url)
    assert engine
    (asked,) = report.ask(engine, Question(by=("credential",)))
    assert (asked.group, asked.failed_attempts) == ({"credential": "third"}, 2)
    assert report.failures(engine, date(2026, 9, 20), date(2026, 9, 22))[0]["count"] == 1
    engine.dispose()


def test_unknown_cost_is_not_zero(url: str, tmp_path: Path) -> None:
    writer = ledger(url, tmp_path)
    writer.record(exchange(attempt(name="local", model="my-own")))
    writer.close()
    assert rows(url)[0]["cost"] is None
    assert rows(url, daily)[0]["unpriced"] == 1


def test_subscriptions_owe_no_money(url: str, tmp_path: Path) -> None:
    writer = ledger(url, tmp_path, subscriptions={"max"})
    writer.record(exchange(attempt(credential="max"), id="routed"))
    own = [("Authorization", "Bearer sk-ant-oat01-x")]
    writer.record(exchange(attempt(credential=None), id="own", headers=own))
    writer.record(exchange(attempt(credential=None), id="key", headers=[("x-api-key", "sk-ant-api03-x")]))
    writer.close()
    found = {r["id"]: (r["cost"], r["notional"]) for r in rows(url)}
    assert found == {"routed": (None, 6_000_000), "own": (None, 6_000_000), "key": (6_000_000, None)}


def test_names_of_clients_cannot_break_the_database(url: str, tmp_path: Path) -> None:
    writer = ledger(url, tmp_path)
    writer.record(exchange(client="nul\0", session="\ud800half", model="m" * 100_000))
    writer.close()
    (row,) = rows(url)
    assert (row["client"], row["session"], len(row["asked"])) == ("nul", "?half", 200)


def test_two_writers_share_a_ledger(url: str, tmp_path: Path) -> None:
    writers = [ledger(url, tmp_path / str(i)) for i in range(2)]
    for number in range(300):
        writers[number % 2].record(exchange(id=f"e{number}"))
    for writer in writers:
        writer.close()
        assert writer.status().dropped == 0
    assert len(rows(url)) == 300
    assert sum(r["requests"] for r in rows(url, daily)) == 300


def test_a_dead_database_loses_nothing(tmp_path: Path) -> None:
    dead = "postgresql://detour:secret@127.0.0.1:9/ledger"
    writer = ledger(dead, tmp_path)
    for number in range(50):
        writer.record(exchange(id=f"e{number}"))
    assert writer.flush()
    status = writer.status()
    writer.close()
    assert (status.state, status.queued, status.dropped) == ("waiting", 0, 0)
    assert status.spooled > 0
    assert "secret" not in status.error
    # The next start finds a database that answers.
    living = sqlite_url(tmp_path / "ledger.db")
    second = ledger(living, tmp_path)
    second.record(exchange(id="later"))
    second.flush()
    second.close()
    third = ledger(living, tmp_path)
    third.flush()
    third.close()
    assert len(rows(living)) == 51
    assert third.status().spooled == 0


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_postgresql_that_hangs_delays_nothing_and_loses_nothing(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from router_core.usage import postgresql  # which needs the driver

    monkeypatch.setattr(postgresql, "STATEMENT_TIMEOUT", 1)
    writer = ledger(url, tmp_path)
    writer.record(exchange(id="before"))
    assert writer.flush(30)
    engine = connect(url)
    with engine.connect() as other, other.begin():
        # Somebody else holds the tables, such as a backup or a migration by hand.
        other.execute(text("LOCK TABLE exchanges IN ACCESS EXCLUSIVE MODE"))
        for number in range(20):
            writer.record(exchange(id=f"meanwhile-{number}"))
        assert writer.flush(30)
        status = writer.status()
        assert (status.state, status.queued, status.dropped) == ("waiting", 0, 0)
        assert status.spooled > 0 and status.error
    engine.dispose()
    writer.close()
    after = ledger(url, tmp_path)
    after.flush(30)
    after.close()
    assert len(rows(url)) == 21
    assert after.status().spooled == 0


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_server_that_is_silent_is_given_up(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from router_core.usage import postgresql

    engine = connect(url)
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_sleep(0.3)"))
        monkeypatch.setattr(postgresql, "SILENCE", 0.2)
        # As long as it does not answer, what it is asked makes no difference.
        with pytest.raises(OperationalError, match="the server does not answer"):
            connection.execute(text("SELECT pg_sleep(10)"))
    monkeypatch.undo()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1
    engine.dispose()


def test_the_spool_is_bounded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    writer = ledger("postgresql://detour@127.0.0.1:9/ledger", tmp_path, spool_limit=4096)
    with caplog.at_level(logging.ERROR):
        for number in range(100):
            writer.record(exchange(id=f"e{number}"))
        assert writer.flush()
    status = writer.status()
    writer.close()
    assert status.spooled <= 4096
    assert 0 < status.dropped < 100
    assert sum("cannot be written" in message for message in caplog.messages) == 1


def test_a_full_disk_leaves_entries_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_args: object) -> int:
        raise OSError(28, "No space left on device")

    writer = Ledger("postgresql://detour@127.0.0.1:9/ledger", tmp_path / "spool", wall=lambda: NOON)
    monkeypatch.setattr(writer._spool, "append", full)
    writer.start()
    with caplog.at_level(logging.ERROR):
        for count in (1, 2, 3):
            writer.record(exchange())
            assert writer.flush()
            assert (writer.status().queued, writer.status().dropped) == (count, 0)
        writer.close()
    assert (writer.status().queued, writer.status().dropped) == (0, 3)
    assert sum("spool cannot be written" in message for message in caplog.messages) == 1
    assert "found no room for 3 entries, which are lost" in caplog.text


def test_a_database_whose_disk_is_full_is_not_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It opens, and takes nothing."""
    full = True
    write = rollup.write

    def writing(connection, entries):
        written = write(connection, entries)
        if full:
            raise OperationalError("COMMIT", None, sqlite3.OperationalError("database or disk is full"))
        return written

    monkeypatch.setattr(rollup, "write", writing)
    monkeypatch.setattr(ledger_module, "BACKOFF", (0.01, 0.02))
    url = sqlite_url(tmp_path / "ledger.db")
    with caplog.at_level(logging.WARNING):
        writer = ledger(url, tmp_path)
        for number in range(4):
            writer.record(exchange(id=f"e{number}"))
            assert writer.flush()
            assert (writer.status().state, writer.status().written) == ("waiting", 0)
        assert writer.status().spooled > 0 and "answers again" not in caplog.text
        full = False
        writer.record(exchange(id="after"))
        end = time.monotonic() + 30
        while writer.status().written < 5 and time.monotonic() < end:
            time.sleep(0.01)
        writer.close()
    assert len(rows(url)) == 5 and writer.status().dropped == 0
    assert [m for m in caplog.messages if "answers again" in m] == ["the ledger's database answers again"]
    assert sum("disk is full" in message for message in caplog.messages) == 1


def test_a_batch_that_cannot_be_written_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> int:
        raise OverflowError("Python int too large to convert to SQLite INTEGER")

    writer = ledger(sqlite_url(tmp_path / "ledger.db"), tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(rollup, "write", broken)
        writer.record(exchange(id="broken"))
        assert writer.flush()
    assert (writer.status().queued, writer.status().dropped) == (0, 1)
    writer.record(exchange(id="next"))
    writer.close()
    assert [row["id"] for row in rows(writer.url)] == ["next"]


def test_the_queue_is_bounded(tmp_path: Path) -> None:
    writer = Ledger(sqlite_url(tmp_path / "ledger.db"), tmp_path / "spool")  # never started
    one = exchange()
    for _ in range(QUEUE + 5):
        writer.record(one)
    assert (writer.status().queued, writer.status().dropped) == (QUEUE, 5)


def test_a_misshapen_exchange_raises_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    writer = Ledger(sqlite_url(tmp_path / "ledger.db"), tmp_path / "spool")
    broken = exchange()
    broken.created = "yesterday"  # type: ignore[assignment]
    writer.record(broken)
    assert writer.status().queued == 0
    assert "cannot take down" in caplog.text


def test_a_corrupt_file_is_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(b"not a database, whatever its name says" * 100)
    writer = ledger(sqlite_url(path), tmp_path)
    writer.record(exchange())
    writer.close()
    assert len(rows(sqlite_url(path))) == 1
    (aside,) = tmp_path.glob("ledger.db.corrupt-*")
    assert aside.read_bytes().startswith(b"not a database")
    assert "set aside" in caplog.text


def test_a_file_that_is_locked_is_not_waited_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, now = sqlite_url(tmp_path / "ledger.db"), 0.0
    monkeypatch.setattr(database, "CONNECT_TIMEOUT", 0.1)
    open_ledger(url).dispose()
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    other.execute("PRAGMA journal_mode=DELETE")
    other.execute("BEGIN EXCLUSIVE")

    def wait(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(time, "sleep", wait)
    for opening in (open_ledger, open_for_reading):
        with pytest.raises(OperationalError, match="locked"):
            opening(url)
    assert now < 1
    other.close()


def test_a_file_that_is_removed_while_running_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    writer = ledger(sqlite_url(path), tmp_path)
    writer.record(exchange(id="before"))
    assert writer.flush()
    for part in tmp_path.glob("ledger.db*"):
        part.unlink()
    writer.record(exchange(id="after"))
    writer.close()
    assert [r["id"] for r in rows(sqlite_url(path))] == ["after"]


def test_a_file_that_is_damaged_while_running_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    url = sqlite_url(path)
    first = ledger(url, tmp_path)
    for number in range(400):
        first.record(exchange(id=f"e{number}"))
    first.close()
    with path.open("r+b") as file:
        file.seek(4096 * 3)
        file.write(os.urandom(path.stat().st_size - 4096 * 3))
    second = ledger(url, tmp_path)
    second.record(exchange(id="after", client="other"))
    second.flush()
    second.close()
    third = ledger(url, tmp_path)
    third.flush()
    third.close()
    assert list(tmp_path.glob("ledger.db.corrupt-*"))
    assert [r["id"] for r in rows(url)] == ["after"]


def test_a_ledger_of_another_version_is_refused(url: str, tmp_path: Path) -> None:
    engine = open_ledger(url)
    with engine.connect().execution_options(write=True) as connection, connection.begin():
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(LedgerError, match=r"another version of Detour \(schema 9999.*update Detour"):
        open_ledger(url)
    writer = ledger(url, tmp_path)
    writer.record(exchange())
    writer.flush()
    assert writer.status().state == "refused"
    assert writer.status().spooled > 0
    writer.close()


def test_somebody_elses_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE exchanges (id)")
    with pytest.raises(LedgerError, match="tables of something else"):
        open_ledger(sqlite_url(path))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://root@localhost/x", "mysql is not supported"),
        ("no url at all", "not a database URL"),
        ("sqlite://", "needs a file"),
    ],
)
def test_an_address_that_cannot_be_a_ledger(url: str, message: str) -> None:
    with pytest.raises(LedgerError, match=message):
        open_ledger(url)


def test_migrations_lead_to_the_tables(url: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    engine = open_ledger(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, metadata) == []
        assert context.get_current_revision() == head()
        assert connection.execute(select(func.count()).select_from(exchanges)).scalar() == 0
    engine.dispose()


def test_the_file_is_private(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "ledger.db")
    open_ledger(url).dispose()
    path = sqlite_path(url)
    assert path and path.stat().st_mode & 0o777 == 0o600


def test_reading_where_there_is_no_ledger(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "ledger.db")
    assert open_for_reading(url) is None
    assert not (tmp_path / "ledger.db").exists()
    with pytest.raises(SQLAlchemyError):
        open_for_reading("postgresql://detour@127.0.0.1:9/ledger")
