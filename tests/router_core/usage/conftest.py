"""Databases for the ledger: a SQLite file always, a PostgreSQL of its own where there is a server binary."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from router_core.usage.database import connect, sqlite_url


def _server_binary(name: str) -> str | None:
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(debian[-1]) if debian else None)


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a PostgreSQL server that listens on a Unix socket only and ends with the tests."""
    initdb, server = _server_binary("initdb"), _server_binary("postgres")
    if not initdb or not server:
        pytest.skip("no PostgreSQL server is installed")
    pytest.importorskip("psycopg", reason="psycopg needs libpq", exc_type=ImportError)
    # PostgreSQL refuses to run as root, and a Unix socket's path is short.
    user = "nobody" if os.geteuid() == 0 else None
    folder = Path(subprocess.check_output(["mktemp", "-d", "/tmp/detour-pg.XXXXXX"], text=True).strip())
    process = None
    try:
        if user:
            shutil.chown(folder, user)
        options = ["-D", str(folder / "data"), "-A", "trust", "-U", "detour", "--no-sync", "-E", "UTF8"]
        made = subprocess.run([initdb, *options], user=user, cwd=folder, capture_output=True, text=True)
        if made.returncode:
            pytest.skip(f"initdb failed: {made.stderr[-300:]}")
        settings = ["-c", "listen_addresses=", "-c", "fsync=off", "-k", str(folder)]
        process = subprocess.Popen(
            [server, "-D", str(folder / "data"), *settings],
            user=user,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        url = f"postgresql://detour@/postgres?host={folder}"
        _until_it_answers(url, process)
        yield url
    finally:
        if process:
            process.send_signal(signal.SIGINT)  # "fast shutdown": does not wait for clients
            process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def _until_it_answers(url: str, process: subprocess.Popen) -> None:
    engine = connect(url)
    for _ in range(300):
        if process.poll() is not None:
            pytest.skip(f"postgres ended with {process.returncode}")
        try:
            engine.connect().close()
            break
        except Exception:
            time.sleep(0.05)
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "ledger.db")
    server: str = request.getfixturevalue("postgresql")
    name = f"t{os.urandom(6).hex()}"
    engine = connect(server)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    return server.replace("/postgres?", f"/{name}?")
