"""Cooldowns: how long, how they grow, how they end."""

from __future__ import annotations

import re
from typing import Any

import pytest

from router_core.exchange import Attempt, Outcome
from router_core.formats import Operation
from tests.router_core.routing.build import World, answer, attempt, broken, credential, limited, ok, verdict

GONE = Outcome("headers", cancelled=True)


def world(*more: str, **config: Any) -> World:
    """One credential, and no waiting: each request sees the state as it is."""
    config.setdefault("routing", {}).setdefault("max_wait", 0)
    return World(credential("a"), *(credential(m) for m in more), **config)


@pytest.mark.parametrize(
    ("outcome", "seconds", "whole"),
    [
        (answer(401), 1800, True),
        (answer(402), 1800, True),
        (answer(403), 1800, False),
        (answer(404), 1800, False),  # 12 hours, but for the cap of max_cooldown
        (answer(400, {"error": {"message": "model not supported"}}), 1800, False),
        (answer(408), 60, False),
        (answer(500), 60, False),
        (answer(529), 60, False),
        (broken(), 60, False),
        (limited(), 1, False),
        (limited(90), 90, False),
        (limited(86_400), 86_400, False),  # what the provider itself says has no cap
        (answer(403, b"<title>Just a moment"), 10, True),
    ],
)
async def test_durations(outcome: Outcome, seconds: float, whole: bool) -> None:
    w = world()
    await verdict(w, outcome)
    assert w.until("a", None if whole else "claude-a") == seconds
    assert w.state("a") == ("cooling" if whole else "ready")


async def test_without_the_cap_a_missing_model_rests_for_half_a_day() -> None:
    w = world(routing={"max_cooldown": "1d"})
    await verdict(w, answer(404))
    assert w.until("a", "claude-a") == 12 * 3600


async def test_limits_without_a_reset_time_grow_up_to_half_an_hour() -> None:
    w = world()
    seen = []
    for _ in range(14):
        await verdict(w, limited())
        seen.append(w.until("a", "claude-a"))
        w.time.pass_(seen[-1] or 0)
    assert seen == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1800, 1800, 1800]


async def test_failures_inside_an_open_window_do_not_escalate() -> None:
    w = world()
    started = [await w.take() for _ in range(5)]
    for plan, taken in started:
        await plan.report(taken, limited())
    assert w.until("a", "claude-a") == 1
    w.time.pass_(1)
    await verdict(w, limited())
    assert w.until("a", "claude-a") == 2


async def test_a_later_deadline_is_never_shortened() -> None:
    w = world()
    (one, first), (two, second) = await w.take(), await w.take()
    await one.report(first, limited(600))
    await two.report(second, limited(30))
    assert w.until("a", "claude-a") == 600


async def test_a_later_deadline_moves_the_end() -> None:
    w = world()
    (one, first), (two, second) = await w.take(), await w.take()
    await one.report(first, limited(30))
    await two.report(second, limited(600))
    assert w.until("a", "claude-a") == 600


async def test_models_cool_apart_and_accounts_as_a_whole() -> None:
    w = world("b")
    usage_limit = answer(429, {"error": {"type": "usage_limit_reached", "resets_in_seconds": 600}})
    assert await w.ask("claude-a", limited(60)) == ["a", "b"]
    assert await w.ask("claude-b") == ["a"]
    assert await w.ask("claude-b", answer(500), usage_limit) == ["b", "a"]
    assert w.state("a") == "cooling"


async def test_success_clears() -> None:
    w = world()
    await verdict(w, limited())
    w.time.pass_(1)
    await verdict(w, limited())
    w.time.pass_(2)
    assert w.state("a", "claude-a") == "half_open"
    await w.ask()
    assert w.state("a", "claude-a") == "ready"
    await verdict(w, limited())
    assert w.until("a", "claude-a") == 1


async def test_success_of_a_request_from_before_clears_nothing() -> None:
    w = world()
    (long, stream), (plan, taken) = await w.take(), await w.take()
    await plan.report(taken, limited(600))
    w.time.pass_(30)
    await long.report(stream, ok())
    assert w.until("a", "claude-a") == 570


async def test_one_request_tests_a_road_whose_time_is_over() -> None:
    w = world()
    await verdict(w, limited(60))
    w.time.pass_(60)
    first, probe = await w.take()
    assert not isinstance(await w.plan().next(), Attempt)
    first.answered(probe)
    await w.take()
    assert w.state("a", "claude-a") == "ready"


async def test_a_probe_that_fails_opens_a_longer_window() -> None:
    w = world()
    await verdict(w, limited())
    w.time.pass_(1)
    await verdict(w, limited())
    assert w.until("a", "claude-a") == 2
    assert not isinstance(await w.plan().next(), Attempt)


async def test_a_probe_without_a_verdict_lets_the_next_one_test() -> None:
    w = world()
    await verdict(w, limited(60))
    w.time.pass_(60)
    await verdict(w, GONE)
    assert await w.ask() == ["a"]


async def test_a_probe_that_does_not_come_back_is_not_waited_for() -> None:
    w = world()
    await verdict(w, limited(60))
    w.time.pass_(60)
    await w.take()
    assert not isinstance(await w.plan().next(), Attempt)
    w.time.pass_(16)
    assert isinstance(await w.plan().next(), Attempt)


async def test_a_long_window_is_tested_every_few_minutes() -> None:
    w = world()
    await verdict(w, limited(86_400))
    assert not isinstance(await w.plan().next(), Attempt)
    w.time.pass_(299)
    assert not isinstance(await w.plan().next(), Attempt)
    w.time.pass_(1)
    plan, probe = await w.take()
    assert not isinstance(await w.plan().next(), Attempt)
    await plan.report(probe, limited(86_000))
    assert not isinstance(await w.plan().next(), Attempt)
    w.time.pass_(300)
    assert await w.ask() == ["a"]
    assert w.state("a", "claude-a") == "ready"


async def test_a_long_window_is_not_tested_while_another_of_its_tier_is_ready() -> None:
    w = world("b")
    await w.ask("claude-a", limited(86_400))
    w.time.pass_(3600)
    assert await w.asks(4) == ["b"] * 4


async def test_a_higher_tier_is_tested_though_a_lower_one_is_ready() -> None:
    w = World(credential("sub", priority=10), credential("key"), routing={"max_wait": 0})
    await w.ask("claude-a", limited(86_400))
    assert await w.asks(2) == ["key", "key"]
    w.time.pass_(300)
    assert await w.ask("claude-a", limited(86_000)) == ["sub", "key"]
    w.time.pass_(300)
    assert await w.asks(2) == ["sub", "sub"]


async def test_transient_failures_of_the_road_are_tested_with_growing_care() -> None:
    w = world()
    for pause in (1, 2, 4, 8):
        await verdict(w, answer(503))
        w.time.pass_(pause - 0.1)
        assert not isinstance(await w.plan().next(), Attempt)
        w.time.pass_(0.1)


async def test_an_old_failure_does_not_make_a_new_one_worse() -> None:
    w = world()
    for _ in range(5):
        await verdict(w, limited())
        w.time.pass_(w.until("a", "claude-a") or 0)
    w.time.pass_(7200)
    await verdict(w, limited())
    assert w.until("a", "claude-a") == 1


async def test_reset_ends_everything() -> None:
    w = world()
    await verdict(w, answer(401))
    assert w.router.reset("a")
    assert w.state("a") == "ready"
    assert await w.ask() == ["a"]
    assert not w.router.reset("nobody")


async def test_names_that_clients_invent_do_not_pile_up() -> None:
    w = world()
    for i in range(400):
        await verdict(w, answer(404), f"anthropic/invented-{i}")
    assert len(w.router.live.credentials["a"].cooldowns) == 256


async def test_a_wall_clock_that_jumps_back_does_not_close_a_road_for_good() -> None:
    w = world()
    await verdict(w, limited(600))
    w.router.live.credentials["a"].cooldowns["claude-a"].until += 10 * 365 * 86_400
    w.time.pass_(300)
    assert await w.ask() == ["a"]
    assert w.state("a", "claude-a") == "ready"


async def test_jitter_spreads_without_shortening() -> None:
    w = world()
    w.router.live.random = lambda: 1.0
    w.reload()
    await verdict(w, limited(10))
    assert w.until("a", "claude-a") == 10.5
    w.time.pass_(11)
    await verdict(w, limited(600))
    assert w.until("a", "claude-a") == 602


async def test_status_says_what_people_want_to_know() -> None:
    w = World(credential("a"), credential("off", enabled=False), routing={"max_wait": 0})
    await verdict(w, limited(60))
    plan, _ = await w.take("claude-b")
    found, off = w.router.status()
    (model,) = found.models
    assert (model.model, model.state, model.kind, model.stated) == ("claude-a", "cooling", "rate_limit", True)
    assert model.until - model.since == 60
    assert found.last_error == "429 rate_limit_error: slow down"
    assert found.in_flight == 1
    assert (off.state, off.reason) == ("inactive", "it is disabled in the configuration")
    assert "key-of" not in str(found.to_dict()) + repr(found) + repr(off)
    plan.close()


async def test_the_attempt_says_why() -> None:
    w = world()
    await verdict(w, limited(60))
    w.time.pass_(60)
    plan = w.plan()
    assert (await attempt(plan)).reason == "priority 0, round_robin"


async def test_a_straggler_that_fails_during_a_probe_leaves_the_probe_alone() -> None:
    w = world()
    straggler, old = await w.take()
    await verdict(w, answer(503))
    w.time.pass_(61)
    plan, probe = await w.take()
    await straggler.report(old, answer(503))
    w.time.pass_(61)
    assert isinstance(await w.plan().next(), Attempt)
    await plan.report(probe, ok())


async def test_counting_tokens_does_not_put_off_the_test_of_a_long_limit() -> None:
    world = World(credential("a"), routing={"max_wait": 0})
    await world.ask("claude-a", limited(86_400))
    for _ in range(10):
        world.time.pass_(30)
        assert await world.ask("claude-a", operation=Operation.COUNT_TOKENS) == ["a"]
    world.time.pass_(1)
    assert await world.ask("claude-a") == ["a"]
    assert world.state("a", "claude-a") == "ready"


async def test_counting_tokens_is_no_test_of_a_credential_and_ends_none() -> None:
    world = World(credential("a", priority=1), credential("b"), routing={"max_wait": 0})
    await world.ask("claude-a", limited(86_400))
    world.time.pass_(301)
    # The one that is ready counts; the test is left to a request that can tell.
    assert await world.ask("claude-a", operation=Operation.COUNT_TOKENS) == ["b"]
    plan, testing = await world.take("claude-a")
    assert testing.credential_id == "a"
    assert await world.ask("claude-a", answer(500), operation=Operation.COUNT_TOKENS) == ["b", "a"]
    # The test is still under way.
    assert await world.ask("claude-a") == ["b"]
    await plan.report(testing, ok())
    assert world.state("a", "claude-a") == "ready"


async def test_what_becomes_of_a_credential_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    world = World(credential("a", limits=[{"window": "5h", "requests": 3}]), routing={"max_wait": 0})
    with caplog.at_level("INFO", "router_core.routing.status"):
        await world.ask("claude-a", limited(60))
        world.time.pass_(61)
        await world.ask("claude-a")
        await world.ask("claude-a", answer(401))
    lines = [record.getMessage() for record in caplog.records]
    at = r"until 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d"
    assert re.fullmatch(rf"a for claude-a cools {at} \(60 s\): 429 rate_limit_error: slow down", lines[0])
    assert lines[1] == "a for claude-a is ready again"
    assert re.fullmatch(rf"a is exhausted {at} \(4 h 59 min\): 3 of 3 requests per 5h are used", lines[2])
    assert re.fullmatch(rf"a cools {at} \(30 min\): 401", lines[3])
    assert len(lines) == 4


@pytest.mark.parametrize("outcome", [limited(), limited(60), answer(503), answer(401)])
async def test_a_wall_clock_that_is_put_back_makes_no_cooldown_longer(outcome: Outcome) -> None:
    world = World(credential("a"), routing={"max_wait": 0})
    await world.ask("claude-a", outcome)
    world.time.skew = -86_400
    world.time.pass_(302)
    assert await world.ask("claude-a") == ["a"]
    assert world.state("a", "claude-a") == "ready"
    assert world.state("a") == "ready"
