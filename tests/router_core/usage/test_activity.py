"""What is under way and what went by: bounded, in order, and never in the way."""

import asyncio

import pytest

from router_core.usage import activity
from router_core.usage.activity import Activity, Finished, Started
from tests.router_core.usage.exchanges import exchange


def test_running_and_recent() -> None:
    seen = Activity(clock=lambda: 103.0)
    one, two = exchange(id="one"), exchange(id="two")
    seen.started(one)
    seen.started(two)
    seen.finished(one)
    assert [e.id for e in seen.running()] == ["two"]
    assert [e.id for e in seen.recent()] == ["one"]
    assert seen.elapsed(two) == 3.0


def test_everything_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activity, "MAX_RUNNING", 3)
    seen = Activity()
    for number in range(activity.MAX_RECENT + 5):
        one = exchange(id=f"e{number}")
        seen.started(one)
        if number >= 10:
            seen.finished(one)
    assert [e.id for e in seen.running()] == ["e8", "e9"]
    assert len(seen.recent()) == activity.MAX_RECENT - 5
    subscriptions = [seen.subscribe() for _ in range(activity.MAX_SUBSCRIBERS + 1)]
    assert subscriptions[-1] is None


async def test_subscribers_get_events_in_batches() -> None:
    seen = Activity()
    subscription = seen.subscribe()
    assert subscription
    batches = subscription.batches(interval=0.01, heartbeat=0.02)
    assert await anext(batches) == []
    one = exchange(id="one")
    seen.started(one)
    seen.finished(one)
    started, finished = await asyncio.wait_for(anext(batches), 5)
    assert isinstance(started, Started) and started.exchange is one
    assert isinstance(finished, Finished) and finished.entry.id == "one"
    subscription.close()
    assert [batch async for batch in batches] == []


async def test_a_slow_subscriber_loses_the_oldest() -> None:
    seen = Activity()
    async with seen.subscribe() or pytest.fail() as subscription:
        for number in range(activity.MAX_BEHIND + 10):
            seen.started(exchange(id=f"e{number}"))
        batch = await anext(subscription.batches(interval=0))
    assert len(batch) == activity.MAX_BEHIND
    assert isinstance(batch[0], Started) and batch[0].exchange.id == "e10"


def test_a_watcher_that_fails_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    seen, told = Activity(), []

    def broken(*_: object) -> None:
        raise RuntimeError("boom")

    seen.watchers += [broken, lambda entry, _: told.append(entry.id)]
    seen.finished(exchange(id="one"))
    assert told == ["one"]
    assert "boom" in caplog.text


def test_a_misshapen_exchange_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    seen = Activity()
    broken = exchange(id="broken")
    broken.created = None  # type: ignore[assignment]
    seen.finished(broken)
    assert seen.recent() == []
    assert "cannot be taken into the books" in caplog.text
