"""Whose turn it is: tiers, strategies, limits, and virtual models over several providers."""

from __future__ import annotations

import sys
from collections import Counter
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from router_core.routing.failures import classify
from router_core.routing.scheduler import Turns, bits
from tests.router_core.routing.build import World, answer, attempt, credential, limited, ok


def world(strategy: str, *credentials: dict[str, Any], **routing: Any) -> World:
    return World(*credentials, routing={"strategy": strategy, "max_wait": 0, **routing})


async def test_round_robin() -> None:
    w = world("round_robin", *(credential(c) for c in "abc"))
    assert await w.asks(7) == list("abcabca")


async def test_round_robin_goes_on_behind_one_that_rests() -> None:
    w = world("round_robin", *(credential(c) for c in "abc"))
    assert await w.ask("claude-a", limited(60)) == ["a", "b"]
    assert await w.asks(4) == list("cbcb")
    w.time.pass_(61)
    assert await w.asks(3) == list("cab")


async def test_models_have_turns_of_their_own() -> None:
    w = world("round_robin", credential("a"), credential("b"))
    assert await w.asks(2) + await w.asks(2, "claude-b") == ["a", "b", "a", "b"]


async def test_fill_first_uses_one_until_it_cools() -> None:
    w = world("fill_first", *(credential(c) for c in "abc"))
    assert await w.asks(3) == list("aaa")
    assert await w.ask("claude-a", limited(60)) == ["a", "b"]
    assert await w.asks(2) == list("bb")
    w.time.pass_(61)
    assert await w.asks(2) == list("aa")


async def test_weighted_is_smooth() -> None:
    w = world("weighted", credential("a", weight=4), credential("b", weight=2), credential("c"))
    order = "".join(await w.asks(14))
    assert Counter(order) == {"a": 8, "b": 4, "c": 2}
    assert "aaa" not in order


async def test_weight_0_is_never_picked() -> None:
    for strategy in ("weighted", "round_robin", "fill_first", "least_busy"):
        w = world(strategy, credential("a", weight=0), credential("b"))
        assert await w.asks(3) == ["b"] * 3


def test_weight_0_is_told_from_a_model_that_is_left_out() -> None:
    w = World(credential("a", weight=0), credential("b", models={"exclude": ["claude-a"]}))
    assert "its credentials have weight 0" in w.refusal("claude-a").message
    w.reload(credential("a", weight=0, models={"exclude": ["claude-a"]}), credential("b", weight=0))
    assert "its credentials have weight 0" in w.refusal("claude-a").message
    w.reload(credential("a", weight=0, models={"exclude": ["claude-a"]}))
    assert "none of its credentials serves the model" in w.refusal("claude-a").message


async def test_what_rested_does_not_get_its_turns_back_in_a_burst() -> None:
    w = world("weighted", credential("a"), credential("b"))
    await w.ask("claude-a", limited(60))
    await w.asks(50)
    w.time.pass_(61)
    assert set(Counter(await w.asks(10)).values()) <= {4, 5, 6}


async def test_least_busy_takes_the_one_with_the_fewest_under_way() -> None:
    w = world("least_busy", *(credential(c) for c in "abc"))
    running = {}
    for expected in "abc":
        plan, taken = await w.take()
        assert taken.credential_id == expected
        running[expected] = (plan, taken)
    plan, taken = running["b"]
    await plan.report(taken, ok())
    assert await w.asks(3) == list("bbb")


async def test_the_highest_priority_with_a_ready_credential_serves() -> None:
    w = world("round_robin", credential("low"), credential("high", priority=5), credential("mid", priority=2))
    assert await w.asks(2) == ["high", "high"]
    assert await w.ask("claude-a", limited(60), limited(90)) == ["high", "mid", "low"]
    w.time.pass_(61)
    assert await w.asks(2) == ["high", "high"]


async def test_concurrency_is_limited() -> None:
    w = world("fill_first", credential("a", concurrency=2), credential("b"))
    plans = [await w.take() for _ in range(3)]
    assert [t.credential_id for _, t in plans] == ["a", "a", "b"]
    plan, taken = plans[0]
    await plan.report(taken, ok())
    assert (await w.take())[1].credential_id == "a"


async def test_include_and_exclude() -> None:
    w = world(
        "round_robin",
        credential("sonnets", models={"include": ["claude-s*"]}),
        credential("no-haiku", models={"exclude": ["*-haiku-*"]}),
    )
    anthropic = "anthropic/"
    assert await w.asks(2, f"{anthropic}claude-sonnet") == ["sonnets", "no-haiku"]
    assert await w.asks(2, f"{anthropic}claude-opus") == ["no-haiku", "no-haiku"]


# -- virtual models


def virtual(strategy: str, *targets: Any) -> dict[str, Any]:
    return {"v": {"strategy": strategy, "targets": list(targets)}}


TWO_GEMINI_ONE_CLAUDE = (
    credential("gemini-a", "gemini"),
    credential("gemini-b", "gemini"),
    credential("claude-a"),
)
ANY: dict[str, Any] = {"translatable": lambda *formats: True}


async def test_targets_have_as_many_turns_as_ready_credentials() -> None:
    w = World(
        *TWO_GEMINI_ONE_CLAUDE, models=virtual("round_robin", "gemini/gemini-a", "anthropic/claude-a"), **ANY
    )
    assert await w.asks(7, "v") == ["gemini-a", "gemini-b", "claude-a"] * 2 + ["gemini-a"]


async def test_a_target_with_a_resting_credential_has_fewer_turns() -> None:
    w = World(
        *TWO_GEMINI_ONE_CLAUDE,
        models=virtual("round_robin", "gemini/gemini-a", "anthropic/claude-a"),
        routing={"max_wait": 0},
        **ANY,
    )
    assert (await w.ask("v", limited(600)))[0] == "gemini-a"
    assert Counter(await w.asks(8, "v")) == {"gemini-b": 4, "claude-a": 4}


async def test_rotation_stays_in_the_highest_priority_that_is_ready() -> None:
    w = World(
        credential("g1", "gemini", priority=9),
        credential("g2", "gemini"),
        credential("c1", priority=9),
        models=virtual("round_robin", "gemini/gemini-a", "anthropic/claude-a"),
        routing={"max_wait": 0},
        **ANY,
    )
    assert await w.asks(4, "v") == ["g1", "c1", "g1", "c1"]
    await w.ask("v", limited(600), limited(600))
    assert await w.asks(2, "v") == ["g2", "g2"]


async def test_weighted_targets() -> None:
    w = World(
        *TWO_GEMINI_ONE_CLAUDE,
        models=virtual(
            "weighted",
            {"target": "gemini/gemini-a", "weight": 1},
            {"target": "anthropic/claude-a", "weight": 3},
        ),
        **ANY,
    )
    found = [c[0] for c in await w.asks(8, "v")]
    assert found == ["c", "g", "c", "c"] * 2


async def test_fallback_goes_down_the_list_and_back() -> None:
    w = World(
        *TWO_GEMINI_ONE_CLAUDE,
        models=virtual("fallback", "anthropic/claude-a", "gemini/gemini-a"),
        routing={"max_wait": 0},
        **ANY,
    )
    assert await w.asks(2, "v") == ["claude-a", "claude-a"]
    assert await w.ask("v", limited(60)) == ["claude-a", "gemini-a"]
    assert await w.asks(2, "v") == ["gemini-b", "gemini-a"]
    w.time.pass_(61)
    assert await w.asks(2, "v") == ["claude-a", "claude-a"]


async def test_tiers_come_before_the_strategy() -> None:
    w = World(
        *TWO_GEMINI_ONE_CLAUDE,
        credential("router", "openrouter"),
        models=virtual(
            "round_robin",
            {"target": "openrouter/x", "tier": 2},
            {"target": "gemini/gemini-a", "tier": 1},
            {"target": "anthropic/claude-a", "tier": 1},
        ),
        routing={"max_wait": 0, "max_attempts": 9},
        **ANY,
    )
    assert await w.asks(3, "v") == ["gemini-a", "gemini-b", "claude-a"]
    used = await w.ask("v", *[limited(900)] * 3)
    assert (set(used[:3]), used[3]) == ({"gemini-a", "gemini-b", "claude-a"}, "router")


async def test_virtual_models_nest() -> None:
    w = World(
        *TWO_GEMINI_ONE_CLAUDE,
        credential("router", "openrouter"),
        models={
            "inner": {"strategy": "round_robin", "targets": ["gemini/gemini-a", "anthropic/claude-a"]},
            "v": {"targets": ["inner", "openrouter/x"]},
        },
        routing={"max_wait": 0, "max_attempts": 9},
        **ANY,
    )
    assert await w.asks(4, "v") == ["gemini-a", "gemini-b", "claude-a", "gemini-a"]
    used = await w.ask("v", *[limited(900)] * 3)
    assert (set(used[:3]), used[3]) == ({"gemini-a", "gemini-b", "claude-a"}, "router")
    assert await w.asks(2, "v") == ["router", "router"]


async def test_subscription_first_then_back() -> None:
    """The recipe of docs/routing.md."""
    w = World(
        credential("claude-max", api_key="sk-ant-oat01-x", priority=10),
        credential("paid", "openrouter"),
        models={"claude-*": {"targets": ["anthropic/claude-*", "openrouter/anthropic/claude-*"]}},
        routing={"max_wait": 0},
    )
    assert await w.asks(2, "claude-opus") == ["claude-max"] * 2
    unnamed = answer(429, {"type": "error", "error": {"type": "rate_limit_error", "message": "limit"}})
    plan, taken = await w.take("claude-opus")
    await plan.report(taken, unnamed)
    assert w.until("claude-max", "claude-opus") == 300
    second = await attempt(plan)
    assert (second.credential_id, second.model) == ("paid", "anthropic/claude-opus")
    await plan.report(second, ok())
    w.time.pass_(299)
    assert await w.asks(1, "claude-opus") == ["paid"]
    w.time.pass_(1)
    assert await w.asks(2, "claude-opus") == ["claude-max"] * 2


# -- invariants


@settings(max_examples=60)
@given(
    weights=st.lists(st.integers(1, 20), min_size=1, max_size=8),
    rounds=st.integers(1, 4),
)
def test_weighted_turns_are_exact_over_each_round(weights: list[int], rounds: int) -> None:
    turns = Turns(dict(enumerate(weights)))
    everyone = (1 << len(weights)) - 1
    picked = Counter(turns.pick(everyone) for _ in range(sum(weights) * rounds))
    assert picked == {i: w * rounds for i, w in enumerate(weights)}


@settings(max_examples=60)
@given(
    weights=st.lists(st.integers(1, 5), min_size=2, max_size=6),
    eligible=st.lists(st.integers(1, 63), min_size=1, max_size=60),
)
def test_weighted_turns_only_go_to_the_eligible(weights: list[int], eligible: list[int]) -> None:
    turns = Turns(dict(enumerate(weights)))
    for mask in eligible:
        mask &= (1 << len(weights)) - 1
        picked = turns.pick(mask)
        assert (picked is None) == (mask == 0)
        assert picked is None or mask >> picked & 1


def test_bits() -> None:
    assert list(bits(0b1011)) == [0, 1, 3]
    assert list(bits(0)) == []


# -- cost


class Calls:
    """How many Python functions run meanwhile: what a pick costs on any machine."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> Calls:
        sys.setprofile(self._count)
        return self

    def __exit__(self, *exception: object) -> None:
        sys.setprofile(None)

    def _count(self, frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            self.count += 1


@pytest.mark.parametrize("strategy", ["round_robin", "weighted", "fill_first", "least_busy"])
async def test_a_pick_among_ten_thousand_costs_as_much_as_among_ten(strategy: str) -> None:
    async def cost(size: int) -> int:
        w = world(strategy, *(credential(f"c{i}", weight=1 + i % 3) for i in range(size)))
        states = list(w.router.live.credentials.values())
        for each in states[: size // 2]:
            await _cool(w, each.credential.id)
        await w.asks(20)
        scheduler = w.router.live.schedulers["anthropic"]
        with Calls() as calls:
            for _ in range(200):
                state = scheduler.pick("claude-a", scheduler.ready("claude-a", scheduler.members("claude-a")))
                assert state is not None
                scheduler.acquire(state)
                scheduler.release(state)
        return calls.count

    few, many = await cost(10), await cost(10_000)
    assert many < 2 * few + 100


async def _cool(w: World, credential_id: str) -> None:
    live = w.router.live
    state = live.credentials[credential_id]
    failure = classify(limited(600), provider="anthropic", now=live.wall())
    state.scheduler.health.fail(state, "claude-a", failure, live.clock())


async def test_ten_thousand_that_cool_are_refused_cheaply() -> None:
    w = world("round_robin", *(credential(f"c{i}") for i in range(10_000)))
    for credential_id in w.router.live.credentials:
        await _cool(w, credential_id)
    await w.plan().next()
    with Calls() as calls:
        for _ in range(10):
            await w.plan().next()
    # A walk over all of them would be 10,000 calls each.
    assert calls.count < 10 * 500
