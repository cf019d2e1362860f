"""What one request is sent with, attempt by attempt, and what each outcome does."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from router_core.errors import Code, Refusal
from router_core.exchange import Attempt, Outcome
from router_core.formats import Format, Operation
from router_core.verdict import FailureKind
from tests.router_core.routing.build import (
    ANTHROPIC,
    CODEX,
    World,
    answer,
    attempt,
    broken,
    credential,
    limited,
    ok,
    verdict,
)


async def test_an_attempt_carries_everything_that_belongs_to_its_credential() -> None:
    world = World(
        credential("a", headers={"x-team": "blue"}, proxy="http://proxy:3128", base_url="https://other.test")
    )
    _, taken = await world.take("claude-a(high)")
    assert taken.auth == [("x-api-key", "key-of-a")]
    assert taken.headers == {"x-team": "blue"}
    assert taken.proxy == "http://proxy:3128"
    assert taken.endpoint.base_url == "https://other.test"
    assert (taken.model, taken.effort, taken.number, taken.credential_id) == ("claude-a", "high", 1, "a")
    assert "key-of-a" not in repr(taken)


@pytest.mark.parametrize(
    ("own", "used"), [(None, "http://all:1"), ("direct", None), ("socks5://me:2", "socks5://me:2")]
)
async def test_the_proxy_of_the_credential_comes_before_that_of_all(
    own: str | None, used: str | None
) -> None:
    world = World(credential("a", proxy=own), upstream={"proxy": "http://all:1"})
    _, taken = await world.take()
    assert taken.proxy == used


async def test_a_token_of_oauth_goes_into_the_oauth_headers() -> None:
    world = World(credential("a", api_key="sk-ant-oat01-secret"))
    _, taken = await world.take()
    assert taken.auth == [("authorization", "Bearer sk-ant-oat01-secret")]


async def test_each_credential_has_one_turn_and_then_nothing_is_left() -> None:
    world = World(credential("a"), credential("b"), credential("c"))
    dead = answer(500)
    assert await world.ask("claude-a", dead, dead, dead, dead) == ["a", "b", "c"]


async def test_attempts_end_at_max_attempts() -> None:
    world = World(*(credential(f"c{i}") for i in range(9)), routing={"max_attempts": 4})
    plan = world.plan()
    for _ in range(4):
        last = await plan.report(await attempt(plan), answer(503))
    assert not last.retry
    assert await plan.next() is None


@pytest.mark.parametrize("status", [401, 402, 403, 404, 408, 409, 429, 498, 500, 502, 503, 504, 529])
async def test_these_are_retried_with_another_credential(status: int) -> None:
    world = World(credential("a"), credential("b"))
    body = {"error": {"message": "overloaded"}}
    assert await world.ask("claude-a", answer(status, body)) == (["a", "b"] if status != 498 else ["a"])


@pytest.mark.parametrize("status", [400, 405, 409, 413, 415, 422])
async def test_what_the_request_did_wrong_is_not_tried_again(status: int) -> None:
    world = World(credential("a"), credential("b"))
    assert await world.ask("claude-a", answer(status, {"error": {"message": "no"}})) == ["a"]
    assert world.state("a", "claude-a") == "ready"


async def test_an_answer_that_began_is_never_repeated() -> None:
    world = World(credential("a"), credential("b"))
    error = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
    plan, taken = await world.take()
    after = await plan.report(taken, Outcome("body", 200, [], error))
    assert (after.kind, after.retry) == (FailureKind.CAPACITY, False)
    plan, taken = await world.take()
    before = await plan.report(taken, Outcome("opening", 200, [], error))
    assert (before.kind, before.retry) == (FailureKind.CAPACITY, True)


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome("headers", cancelled=True),
        Outcome("body", 200, error="client disconnected", cancelled=True),
        Outcome("body", 200, error="connection reset"),
    ],
)
async def test_these_say_nothing_about_the_credential(outcome: Outcome) -> None:
    world = World(credential("a"))
    found = await verdict(world, outcome)
    assert not found.retry
    assert found.until is None
    assert world.state("a", "claude-a") == "ready"
    assert world.router.live.credentials["a"].in_flight == 0


async def test_a_plan_waits_for_the_shortest_cooldown_and_goes_on() -> None:
    world = World(credential("a"), credential("b"))
    assert await world.ask("claude-a", limited(20), limited(8)) == ["a", "b", "b"]
    assert world.paused == [pytest.approx(8)]


async def test_a_plan_that_would_wait_too_long_says_how_long() -> None:
    world = World(credential("a"), credential("b"))
    await world.ask("claude-a", limited(300), limited(40))
    refused = await world.plan().next()
    assert isinstance(refused, Refusal)
    assert (refused.code, refused.status, refused.retry_after) == (Code.ALL_COOLING, 429, 40)
    assert "claude-a" in refused.message
    assert world.paused == []


async def test_max_wait_is_for_the_whole_request() -> None:
    world = World(credential("a"), routing={"max_wait": "10s", "max_attempts": 20})
    # 1, 2 and 4 seconds fit; the 8 that follow do not.
    assert await world.ask("claude-a", *[limited()] * 9) == ["a"] * 4
    assert sum(world.paused) < 10


async def test_waiting_ends_when_a_credential_recovers_early() -> None:
    world = World(credential("a"))
    await world.ask("claude-a", limited(25), Outcome("headers", cancelled=True))
    live = world.router.live
    del live.pause  # the real one, which listens
    world.time.pass_(1)
    await world.ask("claude-a", answer(400))
    plan = world.plan()
    plan2, probe = await world.take()
    waiting = asyncio.create_task(plan.next())
    await asyncio.sleep(0.01)
    assert not waiting.done()
    plan2.answered(probe)
    taken = await asyncio.wait_for(waiting, 5)
    assert isinstance(taken, Attempt)


async def test_a_cancelled_wait_leaves_nothing_behind() -> None:
    world = World(credential("a", concurrency=1))
    del world.router.live.pause
    plan, taken = await world.take()
    waiting = asyncio.create_task(world.plan().next())
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await plan.report(taken, ok())
    assert world.router.live.credentials["a"].in_flight == 0
    assert not world.router.live._pausing


async def test_the_most_useful_answer_is_the_one_that_tells_the_client_most() -> None:
    world = World(*(credential(c) for c in "abcde"), routing={"max_wait": 0})
    plan = world.plan()
    outcomes = [answer(500), answer(401), limited(500), limited(50), broken()]
    attempts = []
    for outcome in outcomes:
        taken = await attempt(plan)
        attempts.append(taken)
        await plan.report(taken, outcome)
    assert plan.best_answer() is attempts[3]
    assert plan.best_answer(attempts[:2]) is attempts[1]
    assert plan.best_answer([attempts[4]]) is None


async def test_a_report_counts_once() -> None:
    world = World(credential("a"), credential("b"))
    plan, taken = await world.take()
    first = await plan.report(taken, limited(60))
    assert await plan.report(taken, ok()) == first
    assert world.state("a", "claude-a") == "cooling"


async def test_a_target_that_cannot_express_the_request_is_left_out() -> None:
    world = World(
        credential("a"),
        credential("r", "openrouter"),
        models={"v": {"targets": ["anthropic/claude-a", "openrouter/x"]}},
    )
    plan, taken = await world.take("v")
    plan.exchange.attempts.pop()
    plan.pass_over(taken, Refusal(Code.UNSUPPORTED, "it has no such tool"))
    second = await attempt(plan)
    assert (second.credential_id, second.number) == ("r", 1)
    assert [(s.name, s.reason) for s in plan.skipped] == [("anthropic/claude-a", "it has no such tool")]
    assert world.router.live.credentials["a"].in_flight == 0


async def test_a_request_that_no_target_can_express_is_unsupported() -> None:
    world = World(credential("a"), credential("b"))
    plan, taken = await world.take()
    plan.pass_over(taken, Refusal(Code.UNSUPPORTED, "it has no such tool."))
    refused = await plan.next()
    assert isinstance(refused, Refusal)
    assert (refused.code, refused.status, refused.message) == (Code.UNSUPPORTED, 400, "it has no such tool.")


async def test_closing_gives_back_what_attempts_hold() -> None:
    world = World(credential("a", concurrency=1))
    plan, _ = await world.take()
    assert world.state("a") == "busy"
    plan.close()
    assert world.state("a") == "ready"


async def test_counting_tokens_goes_on_while_generation_is_limited() -> None:
    world = World(credential("a"))
    await world.ask("claude-a", limited(3600), Outcome("headers", cancelled=True))
    assert world.state("a", "claude-a") == "cooling"
    assert await world.ask("claude-a", operation=Operation.COUNT_TOKENS) == ["a"]
    assert world.state("a", "claude-a") == "cooling"


@pytest.mark.parametrize("outcome", [limited(60), answer(500), answer(404)])
async def test_counting_tokens_cools_nothing(outcome: Outcome) -> None:
    world = World(credential("a"))
    await world.ask("claude-a", outcome, operation=Operation.COUNT_TOKENS)
    assert world.state("a", "claude-a") == "ready"


async def test_listing_models_prefers_what_is_ready() -> None:
    world = World(credential("a", priority=1), credential("b"))
    await world.ask("claude-a", answer(401))
    assert await world.ask(None, surface=ANTHROPIC, operation=Operation.LIST_MODELS) == ["b"]


async def test_a_model_that_nobody_has_is_asked_for_again() -> None:
    world = World(credential("a"))
    missing = answer(404, {"error": {"type": "not_found_error", "message": "model: claude-x"}})
    assert await world.ask("claude-x", missing, surface=ANTHROPIC) == ["a"]
    assert world.until("a", "claude-x") == 1800
    # Whoever asks for it gets the provider's own answer, not a limit.
    assert await world.ask("claude-x", missing, surface=ANTHROPIC) == ["a"]


async def test_a_server_that_failed_may_be_tested_early_when_nothing_else_is_left() -> None:
    world = World(credential("a"))
    assert await world.ask("claude-a", answer(500)) == ["a"]
    refused = await world.plan().next()
    assert isinstance(refused, Refusal)
    assert refused.retry_after == 1
    world.time.pass_(1)
    assert await world.ask("claude-a") == ["a"]
    assert world.state("a", "claude-a") == "ready"


async def test_one_request_tests_and_the_others_wait_for_it() -> None:
    world = World(credential("a"))
    await world.ask("claude-a", limited(5), Outcome("headers", cancelled=True))
    world.time.pass_(6)
    del world.router.live.pause
    plan, probe = await world.take()
    other = world.plan()
    waiting = asyncio.create_task(other.next())
    await asyncio.sleep(0)
    assert not waiting.done()
    plan.answered(probe)
    taken = await waiting
    assert isinstance(taken, Attempt)


async def test_websockets_go_to_those_that_take_them() -> None:
    world = World(
        credential("plain", "codex", priority=9, websocket=False),
        credential("ws", "codex"),
        providers=(CODEX,),
    )
    more = {"surface": CODEX, "format": Format.OPENAI_RESPONSES, "websocket": True}
    assert await world.ask("gpt-codex", **more) == ["ws"]
    assert await world.ask("gpt-codex", surface=CODEX, format=Format.OPENAI_RESPONSES) == ["plain"]
    plan, taken = await world.take("gpt-codex", **more)
    await plan.report(taken, limited(900))
    # The next best is HTTP, which Codex falls back to when it is told so.
    refused = await world.plan("gpt-codex", **more).next()
    assert isinstance(refused, Refusal)
    assert (refused.code, refused.status) == (Code.UNSUPPORTED, 426)


async def test_an_upstream_without_websockets_answers_426_and_cools_nothing() -> None:
    world = World(credential("a", "codex"))
    more = {"surface": CODEX, "format": Format.OPENAI_RESPONSES, "websocket": True}
    plan, taken = await world.take(None, **more)
    found = await plan.report(taken, answer(404))
    assert found.retry
    refused = await plan.next()
    assert isinstance(refused, Refusal)
    assert refused.status == 426
    assert plan.best_answer() is None
    assert world.state("a") == "ready"


async def test_a_target_without_websockets_is_426_at_once() -> None:
    world = World(credential("a"))
    refused = world.refusal("claude-a", websocket=True)
    assert (refused.code, refused.status) == (Code.UNSUPPORTED, 426)


@pytest.mark.parametrize(
    ("outcome", "repeated"),
    [
        (broken(), True),
        (answer(429), True),
        (answer(401), True),
        (answer(503), False),
        (Outcome("headers", error="first byte timeout", timeout=True), False),
        (Outcome("headers", error="connection reset"), False),
    ],
)
async def test_what_is_not_interpreted_is_not_done_twice(outcome: Outcome, repeated: bool) -> None:
    """A file that is uploaded, a batch that is begun: who can tell whether it has happened."""
    w = World(credential("a"), credential("b"), routing={"max_wait": 0})
    asked = await w.ask(None, outcome, surface=ANTHROPIC, operation=Operation.PASSTHROUGH)
    assert asked == (["a", "b"] if repeated else ["a"])


async def test_reading_may_be_repeated() -> None:
    w = World(credential("a"), credential("b"), routing={"max_wait": 0})
    plan = w.plan(None, surface=ANTHROPIC, operation=Operation.PASSTHROUGH)
    plan.exchange.request = replace(plan.exchange.request, method="GET")
    first = await attempt(plan)
    assert (await plan.report(first, answer(503))).retry
