"""Budgets: what is covered, when it is used up, when it begins again."""

from datetime import datetime
from pathlib import Path

import pytest

from router_core.config.schema import Budget
from router_core.exchange import Usage
from router_core.usage import rollup
from router_core.usage.budgets import Allowed, Budgets, PassOver, Refuse, next_period, period_of
from router_core.usage.cost import Pricing
from router_core.usage.database import open_ledger, sqlite_url
from router_core.usage.entry import Entry, entry_of
from router_core.usage.ledger import Ledger
from tests.router_core.usage.exchanges import NOON, attempt, exchange

DAY = 86400.0


def used(tokens: int = 0, dollars: float = 0, *, credential: str = "work", **values) -> Entry:
    usage = Usage(input=tokens, output=0)
    entry = entry_of(exchange(attempt(credential=credential), usage=usage, **values)).entry
    entry.cost = int(dollars * 1e9)
    return entry


def at(now: float, *budgets: Budget) -> Budgets:
    return Budgets(budgets, wall=lambda: now)


def test_without_budgets_everything_is_allowed() -> None:
    assert at(NOON).check("laptop", "work", "m") == Allowed()


@pytest.mark.parametrize("action", ["pass_over", "refuse"])
def test_a_budget_holds_when_it_is_used_up(action: str) -> None:
    budgets = at(NOON, Budget(credential="work", per="day", tokens=100, action=action))
    budgets.charge(used(99))
    assert budgets.check(None, "work", "m") == Allowed()
    budgets.charge(used(1))
    decision = budgets.check(None, "work", "m")
    assert isinstance(decision, PassOver if action == "pass_over" else Refuse)
    assert decision.reason == "the budget for credential work is used up: 100 tokens a day (usage.budgets)"
    assert decision.until == next_period("day", NOON)
    assert budgets.check(None, "private", "m") == Allowed()


def test_cached_tokens_count_and_notional_money_does_not() -> None:
    budgets = at(
        NOON, Budget(per="day", tokens=100, action="refuse"), Budget(per="day", cost=1, action="refuse")
    )
    entry = entry_of(exchange(usage=Usage(input=1, output=2, cache_read=3, cache_write=4))).entry
    entry.notional = 10**12
    budgets.charge(entry)
    tokens, money = budgets.states()
    assert (tokens.used, money.used) == (10, 0)


def test_a_clock_that_is_put_back_is_followed_at_once(tmp_path: Path) -> None:
    url, now = sqlite_url(tmp_path / "ledger.db"), NOON
    budgets = Budgets([Budget(per="day", tokens=100, action="refuse")], wall=lambda: now)
    writer = Ledger(url, tmp_path, budgets=budgets, pricing=Pricing(), wall=lambda: now, clock=lambda: 0.0)
    writer.start()
    for now in (NOON, NOON + 40 * DAY, NOON):
        writer.record(exchange(created=now, usage=Usage(input=60, output=0)))
        assert writer.flush(30)
    writer.close()
    assert [state.used for state in budgets.states()] == [120]
    assert isinstance(budgets.check(None, "work", "m"), Refuse)


def test_another_configuration_keeps_what_was_counted() -> None:
    stays, goes = Budget(per="day", tokens=100, action="refuse"), Budget(per="day", tokens=5)
    earlier = at(NOON, goes, stays)
    earlier.charge(used(100))
    later = at(NOON, stays, Budget(per="month", tokens=100, action="refuse"))
    assert later.bind and not later.known
    later.inherit(earlier)
    assert [state.used for state in later.states()] == [100, 0]
    assert isinstance(later.check(None, "work", "m"), Refuse)


def test_a_warning_is_said_once_a_period() -> None:
    budgets = at(NOON, Budget(name="team", per="month", cost=5))
    budgets.charge(used(dollars=5))
    assert budgets.check("a", "b", "c") == Allowed(
        ("the budget for team is used up: $5 a month (usage.budgets)",)
    )
    assert budgets.check("a", "b", "c") == Allowed()


def test_the_strictest_wins_and_models_are_globs() -> None:
    budgets = at(
        NOON,
        Budget(per="day", tokens=1, action="warn"),
        Budget(model="claude-opus-*", per="day", tokens=1, action="pass_over"),
        Budget(client="laptop", per="day", tokens=1, action="refuse"),
    )
    for client in (None, "laptop"):
        budgets.charge(used(5, client=client))
        entry = used(5)
        entry.model = "claude-opus-4-5"
        budgets.charge(entry)
    assert isinstance(budgets.check("laptop", "x", "claude-opus-4-5"), Refuse)
    assert isinstance(budgets.check("desk", "x", "claude-opus-4-5"), PassOver)
    assert budgets.check("desk", "x", "claude-haiku-4-5") == Allowed(
        ("the budget for everything is used up: 1 tokens a day (usage.budgets)",)
    )


def test_a_new_day_begins_with_nothing_used() -> None:
    now = NOON
    budgets = Budgets([Budget(per="day", tokens=1, action="refuse")], wall=lambda: now)
    budgets.charge(used(5))
    assert isinstance(budgets.check(None, None, None), Refuse)
    now += DAY
    assert budgets.check(None, None, None) == Allowed()
    # A late entry of yesterday changes nothing today.
    budgets.charge(used(1, created=now))
    budgets.charge(used(5, created=NOON))
    assert budgets.states()[0].used == 1


def test_periods_are_local_calendar_days_and_months(monkeypatch: pytest.MonkeyPatch) -> None:
    new_years_eve = datetime(2026, 12, 31, 23, 30).timestamp()
    assert (period_of("day", new_years_eve), period_of("month", new_years_eve)) == ("2026-12-31", "2026-12")
    assert next_period("day", new_years_eve) == next_period("month", new_years_eve) == new_years_eve + 1800


def test_what_was_used_before_the_start_comes_from_the_ledger(tmp_path: Path) -> None:
    engine = open_ledger(sqlite_url(tmp_path / "ledger.db"))
    month_ago = NOON - 40 * DAY
    entries = [
        used(70, client="laptop"),
        used(50, client="desk"),
        used(9, client="laptop", created=month_ago),
    ]
    with engine.connect().execution_options(write=True) as connection, connection.begin():
        rollup.write(connection, entries)
    budgets = at(
        NOON,
        Budget(client="laptop", per="month", tokens=1000),
        Budget(model="claude-*", per="day", tokens=1000),
        Budget(model="gpt-*", per="day", tokens=1000),
    )
    budgets.refresh(engine, NOON)
    engine.dispose()
    assert [state.used for state in budgets.states()] == [70, 120, 0]
