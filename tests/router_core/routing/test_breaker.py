"""The circuit breaker, by itself and in plans."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from router_core.config.schema import Breaker
from router_core.errors import Code, Refusal
from router_core.exchange import Outcome
from router_core.formats import Format
from router_core.routing.breaker import Breakers, Opening
from router_core.routing.cooldown import Over
from tests.router_core.routing.build import ANTHROPIC, Time, World, answer, broken, credential, limited

HERE = ("https://x.test", "model")


def breakers(time: Time) -> Breakers:
    return Breakers(Breaker(failures=3, open="30s", half_open=2), time.clock)


def test_failures_in_a_row_open_it_and_a_success_in_between_does_not() -> None:
    time = Time()
    b = breakers(time)
    for _ in range(2):
        b.failure(HERE, time.now)
    b.success(HERE, time.now)
    for _ in range(2):
        b.failure(HERE, time.now)
    assert (b.state(HERE), b.wait(HERE)) == ("closed", 0)
    b.failure(HERE, time.now)
    assert (b.state(HERE), b.wait(HERE)) == ("open", 30)
    assert b.wait(("https://x.test", "another")) == 0


def test_half_open_a_few_requests_test_it() -> None:
    time = Time()
    b = breakers(time)
    for _ in range(3):
        b.failure(HERE, time.now)
    time.pass_(30)
    assert b.state(HERE) == "half_open"
    b.begin(HERE)
    assert b.wait(HERE) == 0
    b.begin(HERE)
    assert b.wait(HERE) == math.inf
    b.release(HERE, time.now)
    assert b.wait(HERE) == 0
    b.failure(HERE, time.now)
    assert (b.state(HERE), b.wait(HERE)) == ("open", 30)
    time.pass_(30)
    b.begin(HERE)
    b.success(HERE, time.now)
    assert b.state(HERE) == "closed"


def test_what_began_before_it_opened_says_nothing() -> None:
    time = Time()
    b = breakers(time)
    before = time.now
    time.pass_(1)
    for _ in range(3):
        b.failure(HERE, time.now)
    b.success(HERE, before)
    b.failure(HERE, before)
    assert (b.state(HERE), b.wait(HERE)) == ("open", 30)


def test_what_another_process_found_is_left_alone_too() -> None:
    time, news = Time(), []
    one = Breakers(Breaker(failures=1), time.clock, wall=time.wall, changed=lambda *n: news.append(n))
    two = breakers(time)
    two._wall = time.wall
    one.failure(HERE, time.now)
    ((circuit, opening),) = news
    assert isinstance(opening, Opening)
    two.adopt(circuit, opening)
    assert (two.state(HERE), two.wait(HERE)) == ("open", 30)
    assert two.known() == one.known() == [(HERE, opening)]
    time.pass_(30)
    assert two.begin(HERE) == 2
    one.success(HERE, time.now)
    _, over = news[-1]
    assert isinstance(over, Over)
    two.adopt_end(circuit, over)
    assert two.state(HERE) == one.state(HERE) == "closed"
    two.adopt(circuit, replace(opening, until=time.wall() + 30))
    assert two.state(HERE) == "closed"
    # It fails again, after that.
    time.pass_(1)
    one.failure(HERE, time.now)
    two.adopt(*news[-1])
    two.adopt_end(circuit, over)
    assert two.state(HERE) == "open"
    assert len(news) == 3


def test_another_process_cannot_close_a_road_for_longer_than_our_own_settings() -> None:
    time = Time()
    b = breakers(time)
    b._wall = time.wall
    for until in (math.inf, time.wall() + 1e9):
        b.adopt(HERE, Opening(time.wall(), until))
        assert b.wait(HERE) == 30
    for until in (math.nan, -math.inf, time.wall()):
        b.adopt(("https://x.test", None), Opening(time.wall(), until))
        assert b.wait(("https://x.test", None)) == 0


async def test_a_dead_endpoint_is_passed_over() -> None:
    world = World(
        *(credential(f"c{i}") for i in range(5)),
        credential("r", "openrouter"),
        models={"v": {"targets": ["anthropic/claude-a", "openrouter/x"]}},
    )
    assert await world.ask("v", *[broken()] * 5) == ["c0", "c1", "c2", "c3", "c4", "r"]
    for i in range(5):
        world.router.live.schedulers["anthropic"].health.reset(world.router.live.credentials[f"c{i}"])
    assert await world.ask("v") == ["r"]
    assert world.router.breakers() == {("https://anthropic.test", "claude-a"): ("open", 30.0)}
    # Another model of the same host is another road.
    assert await world.ask("claude-b") == ["c0"]
    world.time.pass_(30)
    assert await world.ask("v") == ["c0"]
    assert world.router.breakers() == {}


async def test_when_only_the_dead_endpoint_is_left_the_plan_says_how_long() -> None:
    world = World(credential("a"), routing={"max_wait": 0, "breaker": {"failures": 1, "open": "50s"}})
    await world.ask("claude-a", answer(503))
    world.router.live.schedulers["anthropic"].health.reset(world.router.live.credentials["a"])
    refused = await world.plan().next()
    assert isinstance(refused, Refusal)
    assert (refused.code, refused.retry_after) == (Code.ALL_COOLING, 50)


@pytest.mark.parametrize(
    "outcome", [limited(1), answer(401), answer(400), Outcome("headers", cancelled=True), answer(404)]
)
async def test_what_is_not_the_endpoints_fault_does_not_open_it(outcome: Outcome) -> None:
    world = World(credential("a"), credential("b"), routing={"max_wait": 0, "breaker": {"failures": 1}})
    await world.ask("claude-a", outcome)
    assert world.router.breakers() == {}


async def test_a_credentials_own_proxy_that_is_down_is_not_the_endpoints_fault() -> None:
    world = World(credential("a", proxy="http://p:1"), credential("b"), routing={"breaker": {"failures": 1}})
    assert await world.ask("claude-a", broken()) == ["a", "b"]
    assert world.router.breakers() == {}


async def test_a_base_url_of_its_own_is_a_circuit_of_its_own() -> None:
    world = World(
        credential("a", base_url="https://mine.test"), credential("b"), routing={"breaker": {"failures": 1}}
    )
    assert await world.ask("claude-a", broken()) == ["a", "b"]
    assert list(world.router.breakers()) == [("https://mine.test", "claude-a")]
    world.router.live.schedulers["anthropic"].health.reset(world.router.live.credentials["a"])
    assert await world.asks(3) == ["b"] * 3


async def test_a_provider_may_have_a_breaker_of_its_own() -> None:
    own = replace(ANTHROPIC, breaker=Breaker.model_validate({"failures": 1, "open": "5s", "half_open": 1}))
    w = World(
        credential("a"),
        credential("o", "openai"),
        providers=(own,),
        routing={"max_wait": 0, "breaker": {"failures": 3}},
    )
    await w.ask("anthropic/claude-a", broken())
    await w.ask("openai/gpt-a", broken(), format=Format.OPENAI_CHAT)
    assert [url for url, _ in w.router.breakers()] == ["https://anthropic.test"]
    w.reload()
    assert [url for url, _ in w.router.breakers()] == ["https://anthropic.test"]
    ((_, seconds),) = w.router.breakers().values()
    assert seconds == 5
