"""The ledger's writer as a process: it is fed, it dies, it is told of other prices, and there is none."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from router_core.config.schema import Config
from router_core.usage import intake, pump
from router_core.usage.address import sqlite_url
from router_core.usage.budgets import PassOver
from router_core.usage.database import connect
from router_core.usage.pump import LedgerPump
from router_core.usage.tables import exchanges
from tests.router_core.usage.exchanges import attempt, exchange

LONG = 30.0
ROOT = Path(__file__).parents[3]

type Make = Callable[..., LedgerPump]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[LedgerPump] = []

    def start(config: Config | None = None, **options) -> LedgerPump:
        url = sqlite_url(tmp_path / "ledger.db")
        found = LedgerPump(url, tmp_path / "spool", config or Config(version=1), **options)
        found.start()
        made.append(found)
        return found

    yield start
    for found in made:
        found.close(LONG)


def config(**usage) -> Config:
    return Config.model_validate({"version": 1, "usage": usage})


def written(tmp_path: Path) -> dict[str, int | None]:
    """Ids of the exchanges in the database, with what they cost."""
    engine = connect(sqlite_url(tmp_path / "ledger.db"))
    with engine.connect() as connection:
        found = {row.id: row.cost for row in connection.execute(select(exchanges))}
    engine.dispose()
    return found


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_entries_are_priced_and_written_by_another_process(make: Make, tmp_path: Path) -> None:
    ledger = make()
    for number in range(1200):
        ledger.record(exchange(id=f"x{number}"))
    assert ledger.flush(LONG)
    assert ledger.pid not in (None, os.getpid())
    assert written(tmp_path) == {f"x{number}": 6_000_000 for number in range(1200)}
    status = ledger.status()
    assert (status.state, status.queued, status.written, status.dropped) == ("ok", 0, 1200, 0)


def test_close_writes_what_is_waiting_and_ends_the_process(make: Make, tmp_path: Path) -> None:
    ledger = make()
    until(lambda: ledger.status().state == "ok")
    pid = ledger.pid
    assert pid
    for number in range(20):
        ledger.record(exchange(id=f"x{number}"))
    ledger.close(LONG)
    assert len(written(tmp_path)) == 20
    assert ledger.status().state == "stopped"
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_writer_that_has_not_begun_is_not_waited_for(
    make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    never = [sys.executable, "-c", "import time; time.sleep(600)"]
    ledger = make(command=lambda: never)
    until(lambda: ledger.pid)
    pid = ledger.pid
    assert pid
    ledger.close(LONG)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert "is not done yet" not in caplog.text
    assert not (tmp_path / "ledger.db").exists()


def test_but_for_what_was_recorded_before_it_has_begun(make: Make, tmp_path: Path) -> None:
    ledger = make()
    ledger.record(exchange(id="first"))
    ledger.close(LONG)
    assert list(written(tmp_path)) == ["first"]


def test_an_entry_gets_its_cost_back(make: Make) -> None:
    ledger = make(config(prices=[{"model": "mine", "input": 1000, "output": 0}]))
    from router_core.usage.entry import entry_of

    priced, unknown = (
        entry_of(exchange(attempt(model="mine"))),
        entry_of(exchange(attempt(model="unheard-of"))),
    )
    ledger.take(priced)
    ledger.take(unknown)
    assert ledger.flush(LONG)
    assert (priced.entry.cost, priced.entry.cost_source) == (1_000_000_000, "configured")
    assert unknown.entry.cost is None
    ledger.apply(config(prices=[{"model": "mine", "input": 2000, "output": 0}]))
    later = entry_of(exchange(attempt(model="mine")))
    ledger.take(later)
    assert ledger.flush(LONG)
    assert later.entry.cost == 2_000_000_000


def test_budgets_are_charged(make: Make) -> None:
    limit = {"credential": "work", "per": "day", "tokens": 1200, "action": "pass_over"}
    ledger = make(config(budgets=[limit]))
    until(lambda: ledger.status().state == "ok")
    assert not isinstance(ledger.budgets.check(None, "work", "m"), PassOver)
    ledger.record(exchange(created=time.time()))
    assert ledger.flush(LONG)
    assert isinstance(ledger.budgets.check(None, "work", "m"), PassOver)
    # Other budgets begin with what the ledger holds.
    ledger.apply(config(budgets=[limit | {"tokens": 5000}]))
    until(lambda: ledger.budgets.states()[0].used == 1200)
    assert not isinstance(ledger.budgets.check(None, "work", "m"), PassOver)


def test_a_writer_that_dies_takes_nothing_with_it(make: Make, tmp_path: Path) -> None:
    ledger = make(config(budgets=[{"per": "day", "tokens": 10**9, "action": "warn"}]))
    until(lambda: ledger.status().state == "ok")
    first = ledger.pid
    assert first
    now = time.time()
    for number in range(300):
        ledger.record(exchange(id=f"before{number}", created=now))
    assert ledger.flush(LONG)
    # It has taken a batch and does not get to writing it.
    os.kill(first, signal.SIGSTOP)
    for number in range(300):
        ledger.record(exchange(id=f"after{number}", created=now))
    threading.Timer(0.6, os.kill, (first, signal.SIGKILL)).start()
    assert ledger.flush(LONG)
    assert ledger.pid != first
    assert len(written(tmp_path)) == 600
    assert (ledger.status().written, ledger.status().dropped) == (600, 0)
    assert ledger.budgets.states()[0].used == 600 * 1200


def test_a_batch_that_kills_every_writer_is_dropped_and_counted(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pump, "RESTART", 0.0)
    program = (
        f"import os, sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from router_core.usage import writer\n"
        "writer.Writer.take = lambda *_: os._exit(3)\n"
        "writer.serve(0, 1)"
    )
    ledger = make(command=lambda: [sys.executable, "-c", program])
    for _ in range(7):
        ledger.record(exchange())
    assert ledger.flush(LONG)
    assert ledger.status().dropped == 7
    assert "the ledger's writer ended with 3" in caplog.text
    until(lambda: "the ledger found no room for 7 entries" in caplog.text)


def test_what_finds_no_room_is_dropped_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "QUEUE", 5)
    ledger = LedgerPump(sqlite_url(tmp_path / "ledger.db"), tmp_path / "spool", Config(version=1))
    for _ in range(8):
        ledger.record(exchange())
    assert (ledger.status().queued, ledger.status().dropped) == (5, 3)


@pytest.mark.parametrize("command", [["/nowhere/python"], [sys.executable, "-c", "raise SystemExit(1)"]])
def test_without_a_writer_the_proxy_writes(
    command: list[str],
    make: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(pump, "RESTART", 0.0)
    budget = {"per": "day", "tokens": 1, "action": "refuse"}
    ledger = make(config(budgets=[budget]), command=lambda: command)
    for number in range(30):
        ledger.record(exchange(id=f"x{number}", created=time.time()))
    assert ledger.flush(LONG)
    assert "the ledger is written by the proxy itself" in caplog.text
    assert len(written(tmp_path)) == 30
    assert ledger.budgets.states()[0].used == 30 * 1200
    assert (ledger.status().state, ledger.status().written) == ("ok", 30)


def test_what_a_killed_proxy_has_handed_over_is_written(tmp_path: Path) -> None:
    program = (
        "import sys, time, pathlib\n"
        "from router_core.config.schema import Config\n"
        "from router_core.usage.pump import LedgerPump\n"
        "from tests.router_core.usage.exchanges import exchange\n"
        "url, folder = sys.argv[1:]\n"
        "ledger = LedgerPump(url, pathlib.Path(folder), Config(version=1))\n"
        "ledger.start()\n"
        "for number in range(50): ledger.record(exchange(id=f'x{number}'))\n"
        "while not ledger._sent: time.sleep(0.001)\n"
        "time.sleep(0.1)\n"
        "heavy = {'sqlalchemy', 'alembic', 'genai_prices'} & set(sys.modules)\n"
        "print(ledger.pid, *heavy, flush=True)\n"
        "time.sleep(60)\n"
    )
    url = sqlite_url(tmp_path / "ledger.db")
    command = [sys.executable, "-c", program, url, str(tmp_path / "spool")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as proxy:
        assert proxy.stdout
        said = proxy.stdout.readline().split()
        proxy.kill()
    assert len(said) == 1, "the proxy itself loads nothing of the writer's"
    until(lambda: not Path(f"/proc/{said[0]}").exists())
    assert len(written(tmp_path)) == 50


def test_a_serving_process_stays_light() -> None:
    program = (
        "import sys, detour.launcher, detour.admin.server, detour.admin.app\n"
        "print(*{'sqlalchemy', 'alembic', 'genai_prices'} & set(sys.modules))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == []
