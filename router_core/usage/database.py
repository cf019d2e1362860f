"""Opens the ledger's database: SQLite in write-ahead mode, or whatever SQLAlchemy URL is configured.

Sources: sqlite.org/wal.html; SQLAlchemy, "Pysqlite: Serializable isolation / Savepoints"; Alembic's
cookbook, "Programmatic API use".
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError, SQLAlchemyError

from router_core.ownership import pass_on, private_folder
from router_core.usage.address import LedgerError as LedgerError, sqlite_url as sqlite_url
from router_core.usage.tables import metadata

logger = logging.getLogger(__name__)

MIGRATIONS = Path(__file__).with_name("migrations")
CONNECT_TIMEOUT = 5
"""Seconds that a locked SQLite file is waited for."""

_MIGRATION_LOCK = 0x64657475
"""PostgreSQL's advisory lock while a process brings the schema up to date."""

_CORRUPT = ("file is not a database", "malformed", "file is encrypted")


def describe(url: str) -> str:
    """`url` without its password."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return "an address that is not a URL"


def open_ledger(url: str, *, check: bool = False) -> Engine:
    """The engine of a ledger that is there and up to date, made or migrated where it was not.

    A corrupt SQLite file is set aside and a new ledger begun; with `check` all of it is looked at. Raises LedgerError where only the user can
    help, and SQLAlchemyError or OSError where the database does not answer for now.
    """
    engine = connect(url)
    try:
        _migrate(engine)
        if check:
            _check(engine)
    except DatabaseError as error:
        engine.dispose()
        if not is_corrupt(error):
            raise
        set_aside(url)
        engine = connect(url)
        _migrate(engine)
    return engine


def open_for_reading(url: str) -> Engine | None:
    """The engine of a ledger as it is, or None where none has been begun. Raises like `open_ledger`."""
    path = sqlite_path(url)
    if path is not None and not path.exists():
        return None
    engine = connect(url)
    with engine.connect() as connection:
        revision = _revision(connection)
        if revision is None:
            return None
        _known(revision, url)
        _current(revision, url)
    return engine


def connect(url: str) -> Engine:
    """An engine that has not connected yet. Raises LedgerError for a URL that cannot be one."""
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
        if backend == "postgresql" and parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        if backend not in ("sqlite", "postgresql"):
            raise LedgerError(f"usage.ledger: {backend} is not supported; use sqlite or postgresql")
        engine = _sqlite(parsed) if backend == "sqlite" else _postgresql(parsed)
    except ArgumentError:
        raise LedgerError(
            "usage.ledger is not a database URL; write sqlite or postgresql://USER@HOST/NAME"
        ) from None
    except (NoSuchModuleError, ImportError) as error:
        raise LedgerError(
            f"usage.ledger needs a driver: pip install 'detour[postgresql]' ({error})"
        ) from None
    return engine


def _postgresql(url: URL) -> Engine:
    # The driver is an extra of the package.
    from router_core.usage import postgresql

    engine = create_engine(url, **postgresql.options())
    event.listen(engine, "do_connect", postgresql.connect)
    return engine


def _sqlite(url: URL) -> Engine:
    if not url.database:
        raise LedgerError(
            "usage.ledger: a SQLite ledger needs a file, as in sqlite:////var/lib/detour/ledger.db"
        )
    private_folder(Path(url.database).parent)
    engine = create_engine(
        url,
        pool_size=1,
        max_overflow=4,
        connect_args={"timeout": CONNECT_TIMEOUT, "check_same_thread": False},
    )
    event.listen(engine, "connect", _sqlite_pragmas)
    event.listen(engine, "begin", _sqlite_begin)
    return engine


def _sqlite_pragmas(connection, _record) -> None:
    # Python's sqlite3 would open transactions by itself, and leave schema changes out of them.
    connection.isolation_level = None
    cursor = connection.cursor()
    end = time.monotonic() + CONNECT_TIMEOUT
    while True:
        # The switch to write-ahead mode waits for whoever has locked the file, but not for other processes that
        # make the same switch.
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            break
        except sqlite3.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def _sqlite_begin(connection: Connection) -> None:
    # A transaction that reads first and writes later fails at once when another process writes between.
    write = connection.get_execution_options().get("write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _migrate(engine: Engine) -> None:
    """Bring the schema up to date, once, however many processes start together."""
    url = engine.url.render_as_string(hide_password=True)
    path = sqlite_path(url)
    if path is not None and not path.exists():
        # The write-ahead files take their permissions from the database.
        file = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        pass_on(file, path)
        os.close(file)
    with engine.connect().execution_options(write=True) as connection, connection.begin():
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        revision = _revision(connection)
        if revision is None and set(inspect(connection).get_table_names()) & set(metadata.tables):
            raise LedgerError(
                f"{url} holds tables of something else; set usage.ledger to a database of its own"
            )
        if revision is not None:
            _known(revision, url)
        if revision != head():
            _upgrade(connection)


def _check(engine: Engine) -> None:
    """Raises DatabaseError like SQLite itself does where it comes across damage."""
    if engine.dialect.name != "sqlite":
        return
    with engine.connect() as connection:
        found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
    if found != "ok":
        raise DatabaseError("PRAGMA quick_check", None, sqlite3.DatabaseError(f"malformed: {found}"))


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _known(revision: str, url: str) -> None:
    if revision not in revisions():
        raise LedgerError(
            f"the ledger {describe(url)} was written by another version of Detour (schema {revision}, this one"
            f" knows up to {head()}); update Detour, or set usage.ledger to another database"
        )


def _current(revision: str, url: str) -> None:
    if revision != head():
        raise LedgerError(
            f"the ledger {describe(url)} is of an older version (schema {revision}); `detour run` updates it"
        )


def revisions() -> list[str]:
    """The schema versions that this Detour knows, newest first."""
    return [script.revision for script in _scripts().walk_revisions()]


def head() -> str:
    return _scripts().get_current_head() or ""


def _scripts():
    from alembic.script import ScriptDirectory

    return ScriptDirectory(MIGRATIONS, version_locations=[MIGRATIONS / "versions"])


def _upgrade(connection: Connection) -> None:
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext

    scripts = _scripts()
    with EnvironmentContext(
        Config(),
        scripts,
        fn=lambda revision, _context: scripts._upgrade_revs("head", revision),
        destination_rev="head",
    ) as environment:
        environment.configure(connection=connection, target_metadata=metadata, transactional_ddl=True)
        environment.run_migrations()


def sqlite_path(url: str) -> Path | None:
    parsed = make_url(url)
    return Path(parsed.database) if parsed.get_backend_name() == "sqlite" and parsed.database else None


def is_corrupt(error: SQLAlchemyError) -> bool:
    """Whether SQLite says that the file itself is damaged."""
    cause = getattr(error, "orig", None)
    return cause is not None and any(sign in str(cause) for sign in _CORRUPT)


def set_aside(url: str) -> Path:
    """Rename a corrupt SQLite ledger and its write-ahead files. Raises OSError."""
    path = sqlite_path(url)
    assert path is not None
    aside = path.with_name(f"{path.name}.corrupt-{time.strftime('%Y%m%dT%H%M%S')}")
    for suffix in ("-wal", "-shm", ""):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    logger.error("the ledger %s is corrupt; it was set aside as %s and a new one was begun", path, aside.name)
    return aside
