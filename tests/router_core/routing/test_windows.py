"""Quota windows: what headers reveal, what people set, and what becomes of a credential at its limit."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, strategies as st

from router_core.config.schema import QuotaLimit
from router_core.errors import Code, Refusal
from router_core.exchange import Usage
from router_core.formats import Operation
from router_core.routing.windows import bounds, parse_time_of_day, read_windows
from tests.router_core.routing.build import EPOCH, World, answer, attempt, credential, ok, verdict

NOW = int(EPOCH)
U = "anthropic-ratelimit-unified-"


def unified(window: str, used: float, *, status: str = "allowed", reset: int = 3600) -> list[tuple[str, str]]:
    return [
        (f"{U}{window}-utilization", str(used)),
        (f"{U}{window}-status", status),
        (f"{U}{window}-reset", str(NOW + reset)),
    ]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (unified("5h", 0.42), [("5h", 0.42, 3600, True)]),
        (unified("7d", 1.02, status="rejected"), [("7d", 1.02, 3600, True)]),
        (unified("7d_oi", 0.9), [("7d_oi", 0.9, 3600, False)]),
        (
            [("X-Codex-Primary-Used-Percent", "37.5"), ("X-Codex-Primary-Reset-After-Seconds", "120")],
            [("primary", 0.375, 120, True)],
        ),
        (
            [("x-codex-secondary-used-percent", "100"), ("x-codex-secondary-reset-at", str(NOW + 60))],
            [("secondary", 1.0, 60, True)],
        ),
        (
            [("x-ratelimit-limit-requests", "100"), ("x-ratelimit-remaining-requests", "25"), ("x-ratelimit-reset-requests", "1m")],
            [("requests", 0.75, 60, False)],
        ),
        (
            [("anthropic-ratelimit-input-tokens-limit", "1000"), ("anthropic-ratelimit-input-tokens-remaining", "0"),
             ("anthropic-ratelimit-input-tokens-reset", "2027-01-15T08:00:30Z")],
            [("input-tokens", 1.0, 30, False)],
        ),
        (
            [("x-codex-primary-used-percent", "100"), ("x-codex-primary-reset-at", "0"), ("x-codex-primary-reset-after-seconds", "70")],
            [("primary", 1.0, 70, True)],
        ),
        ([("x-ratelimit-remaining-requests", "25")], []),
        ([("x-codex-primary-used-percent", "much")], []),
        ([("content-type", "text/plain")], []),
    ],
)  # fmt: skip
def test_what_headers_reveal(headers: list[tuple[str, str]], expected: list[Any]) -> None:
    found = read_windows(headers, EPOCH)
    assert [(w.name, w.used, w.reset and w.reset - EPOCH, w.shared) for w in found] == expected


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [
                    f"{U}5h-utilization",
                    f"{U}5h-reset",
                    "x-codex-primary-used-percent",
                    "x-ratelimit-remaining-x",
                    "x-ratelimit-limit-x",
                ]
            ),
            st.text(),
        )
    )
)
def test_any_headers_can_be_read(headers: list[tuple[str, str]]) -> None:
    assert all(w.used >= 0 for w in read_windows(headers, EPOCH))


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if not hasattr(time, "tzset"):
        pytest.skip("this system cannot change its time zone")
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(
    ("window", "reset_at", "now", "start", "end"),
    [
        ("day", None, "2027-01-15T08:30", "2027-01-15T00:00", "2027-01-16T00:00"),
        ("day", "09:00", "2027-01-15T08:30", "2027-01-14T09:00", "2027-01-15T09:00"),
        ("day", "08:30", "2027-01-15T08:30", "2027-01-15T08:30", "2027-01-16T08:30"),
        ("week", None, "2027-01-15T08:30", "2027-01-11T00:00", "2027-01-18T00:00"),
        ("month", None, "2027-01-31T08:30", "2027-01-01T00:00", "2027-02-01T00:00"),
        ("month", "12:00", "2027-02-01T08:30", "2027-01-01T12:00", "2027-02-01T12:00"),
        ("5h", None, "2027-01-15T08:30", "2027-01-15T08:30", "2027-01-15T13:30"),
        # The day on which clocks go forward has 23 hours.
        ("day", None, "2027-03-28T12:00", "2027-03-28T00:00", "2027-03-29T00:00"),
    ],
)
def test_windows_on_the_calendar(window: Any, reset_at: str | None, now: str, start: str, end: str) -> None:
    def at(text: str) -> float:
        return datetime.fromisoformat(text).timestamp()

    limit = QuotaLimit(window=window, reset_at=reset_at, requests=1)
    assert bounds(limit, at(now)) == (at(start), at(end))


@pytest.mark.parametrize("text", ["9:00", "25:00", "noon", ""])
def test_times_of_day_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="HH:MM"):
        parse_time_of_day(text)


async def test_a_credential_at_its_providers_limit_is_passed_over_before_it_fails() -> None:
    w = World(credential("a", priority=1), credential("b"))
    plan, taken = await w.take()
    await plan.report(taken, ok(unified("5h", 1.0, status="rejected")))
    assert w.state("a") == "exhausted"
    assert await w.asks(2) == ["b", "b"]
    w.time.pass_(3600)
    assert await w.asks(1) == ["a"]


async def test_what_the_provider_allows_beyond_the_window_is_used() -> None:
    w = World(credential("a", priority=1), credential("b"))
    plan, taken = await w.take()
    await plan.report(taken, ok(unified("5h", 1.0, status="allowed_warning")))
    assert await w.asks(1) == ["a"]


async def test_a_reserve_is_kept_back() -> None:
    w = World(credential("a", priority=1), credential("b"), routing={"reserve": 0.2})
    plan, taken = await w.take()
    await plan.report(taken, ok(unified("7d", 0.79)))
    assert w.state("a") == "ready"
    plan, taken = await w.take()
    await plan.report(taken, ok(unified("7d", 0.8)))
    assert w.state("a") == "exhausted"
    plan, taken = await w.take()
    assert taken.credential_id == "b"
    # The next answer says that the window began anew.
    w.router.live.allowances.observe(
        w.router.live.credentials["a"], unified("7d", 0.01), "claude-a", free=False
    )
    assert w.state("a") == "ready"


async def test_windows_of_models_are_shown_and_close_no_credential() -> None:
    w = World(credential("a"), routing={"reserve": 0.5})
    plan, taken = await w.take()
    await plan.report(taken, ok([*unified("7d_oi", 1.0), *unified("5h", 0.1)]))
    assert w.state("a") == "ready"
    (status,) = w.router.status()
    assert [(x.name, x.used) for x in status.windows] == [("7d_oi of claude-a", 1.0), ("5h", 0.1)]


async def test_an_exhausted_quota_is_never_tested() -> None:
    w = World(credential("a", limits=[{"window": "day", "requests": 1}]), routing={"max_wait": 0})
    assert await w.ask() == ["a"]
    w.time.pass_(7200)
    refused = await w.plan().next()
    assert isinstance(refused, Refusal)
    assert (refused.code, refused.status) == (Code.ALL_COOLING, 429)
    assert "1 of 1 requests per day are used" in refused.message


def spending(tokens: int) -> Usage:
    return Usage(input=tokens // 2, cache_read=tokens // 4, output=tokens // 4)


async def spend(w: World, tokens: int, **more: Any) -> str:
    plan, taken = await w.take(**more)
    plan.exchange.usage = spending(tokens)
    await plan.report(taken, ok())
    return taken.credential_id or ""


async def test_limits_in_tokens() -> None:
    w = World(credential("a", priority=1, limits=[{"window": "5h", "tokens": 1000}]), credential("b"))
    assert [await spend(w, 400) for _ in range(4)] == ["a", "a", "a", "b"]
    (window, *_) = next(s for s in w.router.status() if s.id == "a").windows
    assert (window.name, window.used, window.reset) == ("5h tokens", 1.2, EPOCH + 5 * 3600)
    w.time.pass_(5 * 3600)
    assert await spend(w, 400) == "a"


async def test_failed_attempts_count_as_requests_and_with_the_tokens_they_reported() -> None:
    w = World(
        credential(
            "a", priority=1, limits=[{"window": "day", "requests": 2}, {"window": "5h", "tokens": 100}]
        ),
        credential("b"),
    )
    plan, taken = await w.take()
    taken.usage = spending(40)
    await plan.report(taken, answer(500))
    counted = {c.name: c.used for c in w.router.live.allowances.quotas.windows("credential:a")}
    assert counted == {"day requests": 0.5, "5h tokens": 0.4}
    second = await attempt(plan)
    plan.exchange.usage = spending(80)
    await plan.report(second, ok())
    counted = {c.name: c.used for c in w.router.live.allowances.quotas.windows("credential:a")}
    assert counted["5h tokens"] == 0.4


async def test_limits_of_a_client_key() -> None:
    keys = [{"name": "laptop", "key": "k", "limits": [{"window": "day", "requests": 2}]}]
    w = World(credential("a"), access={"keys": keys})
    assert await w.asks(2, client="laptop") == ["a", "a"]
    refused = w.refusal(client="laptop")
    assert (refused.code, refused.status) == (Code.ALL_COOLING, 429)
    assert "laptop" in refused.message
    assert refused.retry_after
    assert await w.asks(1, client="desktop") == ["a"]


async def test_raising_a_limit_keeps_what_was_counted() -> None:
    w = World(credential("a", limits=[{"window": "day", "requests": 1}]))
    await w.ask()
    assert w.state("a") == "exhausted"
    w.reload(credential("a", limits=[{"window": "day", "requests": 3}]))
    assert w.state("a") == "ready"
    await w.ask()
    assert w.router.live.allowances.quotas.windows("credential:a")[0].used == pytest.approx(2 / 3)


async def test_limits_of_failed_answers_are_read_too() -> None:
    w = World(credential("a"), routing={"max_wait": 0})
    await verdict(w, answer(429, {}, dict(unified("5h", 1.0, status="rejected", reset=900))))
    assert w.state("a") in ("cooling", "exhausted")
    assert w.until("a") == 900


def test_a_window_begins_anew_by_the_servers_clock() -> None:
    headers = [*unified("5h", 0.5, reset=7200 + 60), ("Date", "Fri, 15 Jan 2027 10:00:00 GMT")]
    (window,) = read_windows(headers, EPOCH)
    assert window.reset == EPOCH + 60


# -- limits of single models


def left(remaining: int, reset: str = "60s", unit: str = "requests") -> list[tuple[str, str]]:
    return [
        (f"x-ratelimit-limit-{unit}", "100"),
        (f"x-ratelimit-remaining-{unit}", str(remaining)),
        (f"x-ratelimit-reset-{unit}", reset),
    ]


async def test_a_model_without_requests_left_is_passed_over_before_it_fails() -> None:
    w = World(credential("a"), credential("b"))
    assert await w.ask("claude-a", ok(left(0))) == ["a"]
    assert await w.asks(3, "claude-a") == ["b", "b", "b"]
    # Another model has a limit of its own.
    assert set(await w.asks(4, "claude-b")) == {"a", "b"}
    (row,) = next(s for s in w.router.status() if s.id == "a").models
    assert (row.model, row.state, row.kind, row.until) == ("claude-a", "exhausted", "quota", NOW + 60)
    assert row.reason == "100% of the requests of claude-a window are used"
    w.time.pass_(61)
    assert set(await w.asks(4, "claude-a")) == {"a", "b"}
    assert w.state("a", "claude-a") == "ready"


async def test_a_lower_tier_goes_before_a_model_without_requests_left() -> None:
    w = World(credential("a", priority=9), credential("b"))
    await w.ask("claude-a", ok(left(0)))
    assert await w.asks(2, "claude-a") == ["b", "b"]


async def test_where_nobody_else_is_ready_the_limit_is_put_to_the_test() -> None:
    # Such limits fill up all the time: what says 0 now may serve in a second.
    w = World(credential("a"), credential("b"), routing={"max_wait": 0})
    await w.ask("claude-a", ok(left(0, "6m0s", "tokens")))
    await w.ask("claude-a", answer(503))
    assert await w.ask("claude-a", ok(left(3, "6m0s", "tokens"))) == ["a"]
    assert w.state("a", "claude-a") == "ready"
    # It loses to what is ready, and wins over what cools.
    await w.ask("claude-a", ok(left(0, "6m0s", "tokens")))
    w.time.pass_(61)
    assert await w.asks(2, "claude-a") == ["b", "b"]


async def test_a_reserve_of_a_models_limit_is_kept_back() -> None:
    w = World(credential("a"), credential("b"), routing={"reserve": 0.2})
    await w.ask("claude-a", ok(left(21)))
    assert set(await w.asks(2, "claude-a")) == {"a", "b"}
    (first,) = await w.ask("claude-a", ok(left(20)))
    assert first not in await w.asks(3, "claude-a")


async def test_what_is_left_of_counting_tokens_says_nothing_of_answers() -> None:
    w = World(credential("a"), credential("b"))
    await w.ask("claude-a", ok(left(0)), operation=Operation.COUNT_TOKENS)
    assert set(await w.asks(2, "claude-a")) == {"a", "b"}


async def test_a_group_of_models_used_up_closes_the_model_that_met_it() -> None:
    w = World(credential("a"), credential("b"))
    await w.ask("claude-a", ok(unified("7d_opus", 1.0, status="rejected")))
    assert await w.asks(2, "claude-a") == ["b", "b"]
    assert set(await w.asks(2, "claude-b")) == {"a", "b"}


async def test_paid_use_beyond_the_plan_closes_nothing() -> None:
    w = World(credential("a", priority=1), credential("b"), routing={"reserve": 0.1})
    await w.ask("claude-a", ok([*unified("5h", 0.2), *unified("overage", 1.0, status="rejected")]))
    assert await w.asks(2, "claude-a") == ["a", "a"]
    assert [x.name for x in w.router.live.allowances.windows("a")] == ["5h", "overage"]


async def test_a_plan_that_is_used_up_goes_on_where_more_is_paid_for() -> None:
    used_up = [*unified("5h", 1.0, status="rejected"), (f"{U}status", "allowed")]
    w = World(credential("a", priority=1), credential("b"))
    await w.ask("claude-a", ok([*used_up, *unified("overage", 0.1)]))
    assert await w.asks(2, "claude-a") == ["a", "a"]
    await w.ask("claude-a", ok([*used_up, *unified("overage", 1.0, status="rejected")]))
    assert await w.asks(2, "claude-a") == ["b", "b"]


async def test_limits_of_models_survive_a_reload_and_end_with_a_reset() -> None:
    w = World(credential("a"), credential("b"))
    await w.ask("claude-a", ok(left(0)))
    w.reload()
    assert await w.asks(2, "claude-a") == ["b", "b"]
    assert w.router.reset("a")
    assert set(await w.asks(2, "claude-a")) == {"a", "b"}


async def test_windows_of_many_models_are_not_kept_without_end() -> None:
    w = World(credential("a"))
    for i in range(300):
        await w.ask(f"anthropic/claude-{i}", ok(left(5, f"{100 + i}s")))
    assert len(w.router.live.allowances.windows("a")) == 64
