"""Reports, retention and the spool's idempotence, from generated ledgers."""

import time
from dataclasses import replace
from datetime import date, datetime
from typing import Any

import pytest
from sqlalchemy import Engine, func, select

from router_core.config.schema import RetainUsage
from router_core.exchange import Usage
from router_core.formats import Operation
from router_core.usage import report, retention, rollup
from router_core.usage.database import open_ledger
from router_core.usage.entry import entry_of, from_json, to_json
from router_core.usage.monthly import monthly
from router_core.usage.question import Question, QuestionError
from router_core.usage.retention import Retention, prune
from router_core.usage.tables import daily, exchanges, hourly, sessions
from tests.router_core.usage.exchanges import NOON, attempt, exchange

DAY = 86400.0


@pytest.fixture
def ledger(url: str):
    engine = open_ledger(url)
    yield engine
    engine.dispose()


def fill(engine: Engine, *made) -> None:
    entries = []
    for one in made:
        entry = entry_of(one).entry
        entry.cost = 1_000_000_000
        entries.append(entry)
    with engine.connect().execution_options(write=True) as connection, connection.begin():
        rollup.write(connection, entries)


def local(day: int, hour: int = 12, minute: int = 0) -> float:
    return datetime(2026, 9, day, hour, minute).timestamp()


def test_groups(ledger: Engine) -> None:
    fill(
        ledger,
        exchange(created=local(1), session="s1", tool="codex", usage=Usage(input=10, output=5)),
        exchange(attempt(credential="b"), created=local(2), session="s1", usage=Usage(input=20, output=5)),
        exchange(attempt(credential="b"), created=local(2), session="s2", usage=Usage(input=1, output=1)),
    )
    by_day = report.ask(ledger, Question(by=("day",)))
    assert [(r.group["day"], r.requests, r.tokens) for r in by_day] == [
        ("2026-09-01", 1, 15),
        ("2026-09-02", 2, 27),
    ]
    by_credential = report.ask(ledger, Question(by=("credential", "model")))
    assert [r.group["credential"] for r in by_credential] == ["b", "work"]
    by_session = report.ask(ledger, Question(by=("session",)))
    assert [(r.group["session"], r.tokens) for r in by_session] == [("s1", 40), ("s2", 2)]
    (month,) = report.ask(ledger, Question(by=("month",)))
    assert (month.group, month.requests, month.cost) == ({"month": "2026-09"}, 3, 3.0)
    (all_of_it,) = report.ask(ledger, Question())
    assert (all_of_it.group, all_of_it.tokens) == ({}, 42)


def test_the_report_of_a_month(ledger: Engine) -> None:
    failed = attempt(1, credential="a", phase="headers", status=429)
    fill(
        ledger,
        exchange(failed, attempt(2, credential="b"), created=local(1), client="laptop", session="s1"),
        exchange(
            attempt(model="other", credential="b"), created=local(30), tool="codex", usage=Usage(input=1)
        ),
        exchange(created=datetime(2026, 8, 31, 12).timestamp()),
        exchange(created=datetime(2026, 10, 1, 12).timestamp()),
    )
    found = monthly(ledger, date(2026, 9, 1))
    assert (found.last, found.total and found.total.requests, found.previous and found.previous.requests) == (
        date(2026, 9, 30),
        2,
        1,
    )
    assert [(r.group["model"], r.requests) for r in found.models] == [
        ("claude-sonnet-4-5-20250929", 1),
        ("other", 1),
    ]
    assert [r.group for r in found.credentials] == [{"credential": "b"}]
    assert {r.group["client"]: r.requests for r in found.clients} == {"laptop": 1, "": 1}
    assert [r.group["session"] for r in found.sessions] == ["s1"]
    assert [r.group["day"] for r in found.days] == ["2026-09-01", "2026-09-30"]
    told = [(f["credential"], f["status"], f["count"], f["input"], f["output"]) for f in found.failures]
    assert told == [("a", 429, 1, 0, 0)]
    empty = monthly(ledger, date(2025, 1, 1))
    assert (empty.total, empty.models, empty.document()["total"]) == (None, [], None)


def test_one_session_can_be_asked_by_anything(ledger: Engine) -> None:
    failed = attempt(1, phase="headers", status=429)
    fill(
        ledger,
        exchange(
            failed,
            attempt(2, model="m-1"),
            created=local(1),
            session="s1",
            usage=Usage(input=10, server_tools={"x": 2}),
        ),
        exchange(attempt(model="m-2"), created=local(2, 8), session="s1", usage=Usage(input=20)),
        exchange(attempt(model="m-2"), created=local(2, 9), session="s1", usage=Usage(input=20)),
        exchange(attempt(model="m-2"), created=local(2), session="s2", usage=Usage(input=99)),
    )
    found = report.ask(ledger, Question(by=("model",), where={"session": "s1"}))
    assert [(r.group["model"], r.requests, r.input, r.failed_attempts) for r in found] == [
        ("m-2", 2, 40, 0),
        ("m-1", 1, 10, 1),
    ]
    assert found[1].server_tools == 2
    by_hour = report.ask(ledger, Question(by=("hour",), since=date(2026, 9, 2), where={"session": "s1"}))
    assert [r.requests for r in by_hour] == [1, 1]
    (whole,) = report.ask(ledger, Question(where={"session": "s1", "model": "m-2"}))
    assert (whole.tokens, whole.cost) == (40, 2.0)


def test_periods_and_conditions(ledger: Engine) -> None:
    fill(ledger, *(exchange(created=local(day), tool="codex" if day % 2 else "amp") for day in range(1, 11)))
    some = Question(by=("tool",), since=date(2026, 9, 3), until=date(2026, 9, 5))
    assert [(r.group["tool"], r.requests) for r in report.ask(ledger, some)] == [("codex", 2), ("amp", 1)]
    (one,) = report.ask(ledger, Question(where={"tool": "amp"}))
    assert one.requests == 5
    assert report.ask(ledger, Question(where={"tool": "nobody"})) == []


def test_hours_have_percentiles_and_speed(ledger: Engine) -> None:
    slow = exchange(created=local(1, 10, 30))
    slow.first_byte, slow.ended = 104.9, 105.9
    fill(ledger, *(exchange(created=local(1, 10)) for _ in range(9)), slow)
    (row,) = report.ask(ledger, Question(by=("hour",)))
    assert row.first_byte_ms == {"p50": 400, "p90": 400, "p99": 5000}
    # 200 tokens in 2 s nine times and in 1 s once.
    assert row.tokens_per_second == pytest.approx(2000 / 19, abs=0.1)
    assert datetime.fromisoformat(row.group["hour"]).timestamp() == local(1, 10)


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"by": ("colour",)}, "cannot be grouped by 'colour'"),
        ({"by": ("day", "hour")}, "one of day, hour and month"),
        ({"where": {"id": "x"}}, "cannot be selected by 'id'"),
        ({"where": {"model": "m\0"}}, "NUL"),
        ({"since": date(2026, 3, 2), "until": date(2026, 3, 1)}, "is after the last"),
        ({"by": ("hour", "session")}, "name one session to see it by hour"),
        ({"by": ("session",), "where": {"model": "m"}}, "name one session to see it by model"),
    ],
)
def test_questions_that_make_no_sense(question: dict, message: str) -> None:
    with pytest.raises(QuestionError, match=message):
        Question(**question)


def test_recent_exchanges_page_backwards(ledger: Engine) -> None:
    fill(ledger, *(exchange(id=f"e{i}", created=NOON + i) for i in range(5)))
    newest = report.recent(ledger, 2)
    assert [r["id"] for r in newest] == ["e4", "e3"]
    assert [r["id"] for r in report.recent(ledger, 2, before=newest[-1]["at"])] == ["e2", "e1"]
    assert report.exchange(ledger, "e2") and report.exchange(ledger, "e\0") is None


def test_retention_keeps_sums_longer_than_rows(ledger: Engine) -> None:
    fill(ledger, *(exchange(created=NOON - age * DAY, session="s") for age in (0, 50, 100, 500)))
    retain = RetainUsage.model_validate({"exchanges": "90d", "hourly": "400d", "daily": 0})
    assert prune(ledger, retain, NOON) == 2 + 1 + 1
    with ledger.connect() as connection:
        kept = [
            connection.execute(select(func.count()).select_from(t)).scalar()
            for t in (exchanges, hourly, daily, sessions)
        ]
    assert kept == [2, 3, 4, 3]


def test_retention_works_in_small_steps(ledger: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "CHUNK", 3)
    fill(ledger, *(exchange(created=NOON - 100 * DAY) for _ in range(10)))
    assert prune(ledger, RetainUsage(hourly=0), NOON) == 10


def test_a_clock_that_jumps_removes_nothing(ledger: Engine) -> None:
    fill(ledger, exchange(created=NOON))
    wall, clock = NOON, 0.0
    keeper = Retention(RetainUsage(), lambda: wall, lambda: clock)
    clock += 120
    wall += 120 + 1000 * DAY
    assert keeper.run(ledger) == 0
    wall -= 1000 * DAY
    clock += 3600
    wall += 3600
    assert keeper.run(ledger) == 0
    with ledger.connect() as connection:
        assert connection.execute(select(func.count()).select_from(exchanges)).scalar() == 1


def test_a_machine_that_sleeps_is_no_clock_that_jumps(
    ledger: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fill(ledger, exchange(created=NOON - 100 * DAY))
    clocks = {retention._CLOCK: 50.0}
    monkeypatch.setattr(time, "clock_gettime", clocks.__getitem__)
    keeper = Retention(RetainUsage(), lambda: NOON + clocks[retention._CLOCK], retention.since_boot)
    clocks[retention._CLOCK] += 8 * 3600  # of which time.monotonic() knows nothing
    assert keeper.run(ledger) > 0
    assert not caplog.records


def test_entries_survive_the_spool() -> None:
    broken = attempt(1, phase="headers", status=500)
    entry = entry_of(
        exchange(broken, attempt(2), usage=Usage(input=1, server_tools={"x": 1}, notes=("a: b",)))
    ).entry
    assert from_json(to_json(entry)) == entry
    wrong: object
    for wrong in ([], {}, {**to_json(entry), "failures": [{}]}, {**to_json(entry), "result": "fine"}):
        with pytest.raises(ValueError, match="not a ledger entry"):
            from_json(wrong)


def test_an_unknown_cost_is_not_reported_as_zero(ledger: Engine) -> None:
    entry = entry_of(exchange()).entry
    with ledger.connect().execution_options(write=True) as connection, connection.begin():
        rollup.write(connection, [entry])
    (row,) = report.ask(ledger, Question())
    assert (row.cost, row.unpriced) == (None, 1)


def test_results() -> None:
    def result(*attempts, **values) -> str:
        return entry_of(exchange(*attempts, **values)).entry.result

    assert result() == "ok"
    assert result(status=429) == "error"
    assert result(attempt(phase="body", cancelled=True)) == "cancelled"
    refused = exchange(status=429, error="all_cooling")
    refused.attempts = []
    assert entry_of(refused).entry.result == "refused"


@pytest.mark.parametrize(
    ("known", "operation", "cost"),
    [
        ({}, Operation.GENERATE, None),  # served, and nobody says what was used
        ({"usage": Usage(input=0, output=0)}, Operation.GENERATE, 0),
        ({"status": 529}, Operation.GENERATE, 0),
        ({}, Operation.COUNT_TOKENS, 0),
    ],
)
def test_no_count_is_no_cost_of_zero(
    ledger: Engine, known: dict[str, Any], operation: Operation, cost: float | None
) -> None:
    found = exchange(**{"usage": Usage()} | known)
    found.surface = replace(found.surface, operation=operation)
    with ledger.connect().execution_options(write=True) as connection, connection.begin():
        rollup.write(connection, [entry_of(found).entry])
    (row,) = report.ask(ledger, Question())
    assert (row.cost, row.unpriced) == (cost, cost is None)
