"""Two routers on a real Redis, which is killed and frozen under them."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from router_core.errors import Code, Refusal
from router_core.exchange import Attempt, Outcome
from router_core.routing import health
from router_core.routing.affinity import Binding, session_names
from router_core.routing.plan import Plan
from router_core.state import places, redis as store_module
from router_core.state.redis import RedisStore
from tests.router_core.routing.build import World, answer, attempt, broken, credential, limited, ok

SERVER = shutil.which("redis-server") or shutil.which("valkey-server")
pytestmark = [
    pytest.mark.redis,
    pytest.mark.skipif(SERVER is None, reason="no redis-server is installed"),
    pytest.mark.skipif(os.name != "posix", reason="needs Unix sockets and signals"),
]


class Server:
    def __init__(self, folder: Path):
        self.folder = folder
        self.socket = folder / "redis.sock"
        self.url = f"unix://{self.socket}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert SERVER is not None
        options = [
            "--port",
            "0",
            "--unixsocket",
            str(self.socket),
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
            str(self.folder),
        ]
        self.process = subprocess.Popen(
            [SERVER, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        client = redis.Redis.from_url(self.url)
        for _ in range(500):
            try:
                client.ping()
                return
            except redis.exceptions.RedisError:
                time.sleep(0.01)
        raise RuntimeError("redis-server did not start")

    def signal(self, number: int) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    def stop(self) -> None:
        if self.process is not None:
            self.signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    # Socket paths have to be short.
    server = Server(tmp_path_factory.mktemp("r"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    if running.process is None or running.process.poll() is not None:
        running.start()
    redis.Redis.from_url(running.url).flushall()
    yield running
    running.signal(signal.SIGCONT)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "PULL_INTERVAL", 0.05)
    monkeypatch.setattr(store_module, "RETRY_INTERVAL", 0.1)
    monkeypatch.setattr(store_module, "CALL_TIMEOUT", 0.2)
    monkeypatch.setattr(places, "CALL_TIMEOUT", 0.2)


type Join = Callable[..., Awaitable[World]]


@pytest.fixture
async def join(server: Server) -> AsyncIterator[Join]:
    worlds: list[World] = []

    async def joined(*credentials: dict[str, Any], **config: Any) -> World:
        config.setdefault("routing", {}).setdefault("max_wait", 0)
        known = credentials or (credential("a"), credential("b"))
        world = World(*known, **config)
        # Real time: what is shared has to mean the same everywhere.
        world.router.live.wall = time.time
        world.router.live.store = store = RedisStore(server.url)
        world.reload()
        worlds.append(world)
        await store.start(world.router)
        return world

    yield joined
    for world in worlds:
        await world.router.live.store.close()


async def eventually(condition: Callable[[], Any], within: float = 5.0) -> None:
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def link(world: World) -> Any:
    store = world.router.live.store
    assert isinstance(store, RedisStore)
    return store.link


async def test_a_cooldown_is_known_everywhere_within_a_second(join: Join) -> None:
    one, two = await join(), await join()
    await one.ask("claude-a", limited(600))
    await eventually(lambda: two.state("a", "claude-a") == "cooling", within=1)
    assert await two.asks(2) == ["b", "b"]
    third = await join()
    assert third.state("a", "claude-a") == "cooling"


async def test_a_success_ends_it_everywhere(join: Join) -> None:
    one, two = await join(), await join()
    plan, taken = await one.take()
    await plan.report(taken, limited(0.2))
    await eventually(lambda: two.state("a", "claude-a") != "ready")
    await asyncio.sleep(0.25)
    one.time.pass_(1)
    used = await one.asks(2)
    assert "a" in used
    await eventually(lambda: two.state("a", "claude-a") == "ready")


async def test_a_later_deadline_is_never_shortened(join: Join, server: Server) -> None:
    one, two = await join(credential("a")), await join(credential("a"))
    (first, x), (second, y) = await one.take(), await two.take()
    await asyncio.gather(first.report(x, limited(900)), second.report(y, limited(60)))
    await eventually(lambda: (two.router.status()[0].models or [None])[0] is not None)
    await asyncio.sleep(0.2)
    for world in (one, two):
        (model,) = world.router.status()[0].models
        assert model.until - time.time() > 800


async def test_turns_conversations_and_windows_are_shared(join: Join) -> None:
    known = [credential(c) for c in "abc"]
    one, two = await join(*known), await join(*known)
    assert await one.asks(1, headers=[("x-session-id", "s")]) == ["a"]
    await eventually(lambda: len(two.router.live.affinity) == 1)
    assert await two.asks(2, headers=[("x-session-id", "s")]) == ["a", "a"]
    # The turn that the other had is not given again.
    assert await two.asks(1) == ["b"]
    headers = [("x-codex-primary-used-percent", "40"), ("x-codex-primary-reset-after-seconds", "600")]
    plan, taken = await one.take()
    await plan.report(taken, ok(headers))
    await eventually(lambda: two.router.live.allowances.windows(str(taken.credential_id)))


async def test_a_conversation_that_began_in_two_places_goes_on_in_one(join: Join) -> None:
    known = [credential(c) for c in "abcd"]
    one, two = await join(*known), await join(*known)
    names = session_names([("x-session-id", "s")], {})
    for world, chosen, mark in ((one, "a", "c"), (two, "b", "d")):
        world.router.live.affinity.bind(names, "claude-a", Binding(chosen, "anthropic", "claude-a"))
        # Goes the same way behind it.
        world.router.switch(mark, True)

    def states(world: World) -> set[str]:
        return {str(c.id) for c in world.router.status() if c.state == "disabled"}

    await eventually(lambda: states(one) == states(two) == {"c", "d"})
    bound = [w.router.live.affinity.find(names, "claude-a", first_turn=False) for w in (one, two)]
    assert bound[0] is not None and bound[0] == bound[1]


async def test_what_was_taken_out_of_use_is_out_everywhere_and_later(join: Join) -> None:
    one, two = await join(), await join()
    one.router.switch("a", True)
    await eventually(lambda: two.router.status()[0].state == "disabled")
    late = await join()
    await eventually(lambda: late.router.status()[0].state == "disabled")
    two.router.live.wall = lambda: time.time() + 1
    two.router.switch("a", False)
    await eventually(lambda: one.router.status()[0].state == late.router.status()[0].state == "ready")


async def test_limits_are_counted_together(join: Join) -> None:
    limited_one = credential("a", limits=[{"window": "day", "requests": 20, "reset_at": "04:00"}], priority=1)
    worlds = [await join(limited_one, credential("b")) for _ in range(3)]
    await asyncio.gather(*(w.asks(6) for w in worlds))
    await eventually(
        lambda: all(round(w.router.live.allowances.windows("a")[0].used * 20) == 18 for w in worlds)
    )
    await worlds[0].asks(2)
    await eventually(lambda: all(w.state("a") == "exhausted" for w in worlds))
    late = await join(limited_one, credential("b"))
    assert late.state("a") == "exhausted"


async def test_concurrency_is_limited_together(join: Join) -> None:
    known = credential("a", concurrency=2, priority=1), credential("b")
    one, two = await join(*known), await join(*known)
    held = [await one.take(), await two.take()]
    assert [t.credential_id for _, t in held] == ["a", "a"]
    _, third = await one.take()
    assert third.credential_id == "b"
    await held[1][0].report(held[1][1], ok())

    async def free() -> bool:
        plan, taken = await one.take()
        await plan.report(taken, ok())
        return taken.credential_id == "a"

    async with asyncio.timeout(5):
        while not await free():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_a_half_open_credential_is_tested_by_one_of_all(join: Join) -> None:
    one, two = await join(credential("a")), await join(credential("a"))
    await one.ask("claude-a", limited(0.5))
    await eventually(lambda: two.state("a", "claude-a") == "cooling")
    await eventually(lambda: one.state("a", "claude-a") == two.state("a", "claude-a") == "half_open")
    plans = [world.plan("claude-a") for world in (one, two)]
    taken = await asyncio.gather(*(plan.next() for plan in plans))
    (number,) = (i for i, each in enumerate(taken) if isinstance(each, Attempt))
    refusal = taken[1 - number]
    assert isinstance(refusal, Refusal) and refusal.code is Code.ALL_COOLING
    testing, other = (one, two) if number == 0 else (two, one)
    # A test that tells nothing is soon another's to make.
    await plans[number].report(taken[number], Outcome("headers", cancelled=True))
    other.time.pass_(1)
    testing.time.pass_(1)

    async def tests() -> tuple[Plan, Attempt] | None:
        plan = other.plan("claude-a")
        found = await plan.next()
        other.time.pass_(1)
        return (plan, found) if isinstance(found, Attempt) else None

    async with asyncio.timeout(5):
        while (found := await tests()) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await found[0].report(found[1], ok())
    await eventually(lambda: testing.state("a", "claude-a") == "ready")


async def test_an_upstream_that_is_down_is_left_alone_everywhere(join: Join) -> None:
    breaker = {"max_wait": 0, "breaker": {"failures": 1, "open": "1s", "half_open": 1}}
    one, two = await join(routing=breaker), await join(routing=breaker)
    here = ("https://anthropic.test", "claude-a")
    await one.ask("claude-a", broken())
    await eventually(lambda: two.router.breakers() == {here: ("open", pytest.approx(1, abs=1))}, within=1)
    refusal = await two.plan("claude-a").next()
    assert isinstance(refusal, Refusal) and refusal.code is Code.ALL_COOLING
    late = await join(routing=breaker)
    assert late.router.breakers()[here][0] == "open"
    # When its time is over one request of all tests it.
    for world in (one, two):
        world.time.pass_(61)
        world.router.live.schedulers["anthropic"].health.reset(world.router.live.credentials["a"])
    testing, taken = await two.take("claude-a")
    assert isinstance(await one.plan("claude-a").next(), Refusal)
    await testing.report(taken, ok())
    await eventually(lambda: one.router.breakers() == {})
    assert await one.ask("claude-a")


async def test_a_long_limit_is_tested_by_one_of_all_in_an_interval(join: Join) -> None:
    one, two = await join(credential("a")), await join(credential("a"))
    await one.ask("claude-a", limited(86_400))
    await eventually(lambda: two.state("a", "claude-a") == "cooling")
    for world in (one, two):
        world.time.pass_(700)
    assert await one.ask("claude-a", limited(86_400)) == ["a"]
    assert await two.ask("claude-a") == []
    # Nobody has tested for an interval of Redis's time, which is the same for all.
    store = one.router.live.store
    assert isinstance(store, RedisStore)
    (key,) = [k async for k in store._redis.scan_iter("*early:a*")]
    assert 290_000 < await store._redis.pttl(key) <= 300_000
    await store._redis.delete(key)
    two.time.pass_(40)
    assert await two.ask("claude-a") == ["a"]
    await eventually(lambda: one.state("a", "claude-a") == "ready")


async def test_the_place_of_a_process_that_died_runs_out(
    join: Join, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "LEASE_LIFE", 0.3)
    one, two = await join(credential("a", concurrency=1)), await join(credential("a", concurrency=1))
    await one.take()
    store = one.router.live.store
    assert isinstance(store, RedisStore)
    for task in store._tasks:
        task.cancel()
    del two.router.live.pause
    two.reload(routing={"max_wait": "5s"})
    assert (await attempt(two.plan())).credential_id == "a"


async def test_a_lock_is_held_by_one(join: Join) -> None:
    one, two = (w.router.live.store for w in (await join(), await join()))
    async with one.lock("refresh:a", 5) as mine:
        assert mine
        async with two.lock("refresh:a", 5) as theirs:
            assert not theirs
        async with two.lock("refresh:b", 5) as other:
            assert other
    async with two.lock("refresh:a", 5) as theirs:
        assert theirs


async def test_what_left_is_not_inherited(join: Join) -> None:
    one = await join()
    await one.ask("claude-a", limited(600))
    await asyncio.sleep(0.1)
    one.reload(credential("b"))
    await asyncio.sleep(0.1)
    two = await join()
    assert two.state("a", "claude-a") == "ready"
    one.reload(credential("a"), credential("b"))
    assert one.state("a", "claude-a") == "ready"


async def test_everything_in_redis_ends_by_itself_and_holds_no_secret(join: Join, server: Server) -> None:
    one = await join(credential("a", limits=[{"window": "day", "requests": 9}], concurrency=3))
    await one.ask("claude-b", limited(600))
    await one.ask(headers=[("x-session-id", "conversation-id")])
    plan, taken = await one.take()
    await plan.report(
        taken, ok([("x-codex-primary-used-percent", "4"), ("x-codex-primary-reset-after-seconds", "60")])
    )
    held = await one.take()
    await asyncio.sleep(0.1)
    client = redis.Redis.from_url(server.url)
    keys: Any = client.keys()
    kinds = {key.decode().split(":")[1] for key in keys}
    assert kinds == {"cooldown", "binding", "count", "windows", "changes", "lease"}
    for key in keys:
        assert client.ttl(key) > 0
        assert key.startswith(b"{detour}:")
        dumped = client.dump(key) or b""
        assert b"key-of" not in dumped
        assert b"conversation-id" not in dumped + key
    held[0].close()


# -- outages


async def route(world: World, seconds: float) -> int:
    """How many requests succeed meanwhile."""
    served = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert await world.ask()
        served += 1
        await asyncio.sleep(0.001)
    return served


@pytest.mark.parametrize("outage", ["killed", "frozen"])
async def test_routing_goes_on_without_it_and_is_shared_again_after(
    join: Join, server: Server, outage: str
) -> None:
    known = credential("a"), credential("b"), credential("c", concurrency=1)
    one, two = await join(*known), await join(*known)
    if outage == "killed":
        server.stop()
    else:
        server.signal(signal.SIGSTOP)
    both = asyncio.gather(route(one, 1.5), route(two, 1.5))
    await eventually(lambda: not link(one).up and not link(two).up)
    # With Redis away nobody waits for it.
    began = time.monotonic()
    await one.asks(30)
    assert (time.monotonic() - began) / 30 < places.LEASE_PATIENCE / 2
    assert min(await both) > 50
    await one.ask("claude-b", limited(900))
    assert two.state("a", "claude-b") == "ready"
    if outage == "killed":
        server.start()
    else:
        server.signal(signal.SIGCONT)
    await eventually(lambda: link(one).up and link(two).up)
    cooled = next(s.id for s in one.router.status() if any(m.model == "claude-b" for m in s.models))
    await eventually(lambda: two.state(cooled, "claude-b") == "cooling")


@pytest.mark.parametrize("data", ["kept", "lost"])
async def test_what_ended_during_an_outage_does_not_come_back(join: Join, server: Server, data: str) -> None:
    known = credential("a"), credential("b"), credential("c")
    one, two = await join(*known), await join(*known)
    for id in "abc":
        plan, taken = await one.take("claude-a")
        assert taken.credential_id == id
        quota = [("x-codex-primary-used-percent", "100"), ("x-codex-primary-reset-after-seconds", "900")]
        await plan.report(taken, ok(quota) if id == "c" else limited(600))
    await eventually(lambda: all(two.state(id, "claude-a") != "ready" for id in "abc"))
    if data == "lost":
        server.stop()
    else:
        server.signal(signal.SIGSTOP)
    await eventually(lambda: not link(one).up and not link(two).up)
    # A person, and a test that succeeded.
    assert one.router.reset("a") and one.router.reset("c")
    one.time.pass_(700)
    health = one.router.live.schedulers["anthropic"].health
    health.succeed(one.router.live.credentials["b"], "claude-a", one.time.now)
    if data == "lost":
        server.start()
    else:
        server.signal(signal.SIGCONT)
    await eventually(lambda: link(one).up and link(two).up)
    await eventually(lambda: all(two.state(id, "claude-a") == "ready" for id in "abc"))
    late = await join(*known)
    await asyncio.sleep(0.3)
    for world in (one, two, late):
        assert [world.state(id, "claude-a") for id in "abc"] == ["ready"] * 3
    # It is the end of that cooldown, not of all that come.
    await two.ask("claude-a", limited(600))
    cooled = next(s.id for s in two.router.status() if s.models)
    for world in (one, late):
        await eventually(lambda world=world: world.state(cooled, "claude-a") == "cooling")


async def test_a_success_ends_a_cooldown_of_which_only_the_outage_kept_the_news(
    join: Join, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "NEWS_TRAVELS", 0.01)
    known = credential("a", priority=1), credential("b")
    one, two = await join(*known), await join(*known)
    server.signal(signal.SIGSTOP)
    await eventually(lambda: not link(one).up and not link(two).up)
    await one.ask("claude-a", limited(600))
    await asyncio.sleep(0.05)
    assert await two.ask("claude-a") == ["a"]
    server.signal(signal.SIGCONT)
    await eventually(lambda: link(one).up and link(two).up)
    await eventually(lambda: one.state("a", "claude-a") == "ready")
    assert two.state("a", "claude-a") == "ready"
    late = await join(*known)
    assert late.state("a", "claude-a") == "ready"


async def test_without_it_from_the_start(tmp_path: Path, server: Server) -> None:
    world = World(credential("a"), credential("b"), routing={"max_wait": 0})
    world.router.live.wall = time.time
    late = Server(tmp_path)
    if len(str(late.socket)) > 100:
        pytest.skip("the temporary folder's path is too long for a socket")
    store = world.router.live.store = RedisStore(late.url)
    world.reload()
    await store.start(world.router)
    try:
        assert await world.ask("claude-a", limited(600)) == ["a", "b"]
        late.start()
        await eventually(lambda: store.link.up)
        await eventually(lambda: redis.Redis.from_url(late.url).exists("{detour}:cooldown:a"))
    finally:
        await store.close()
        late.stop()


async def test_a_script_that_fails_stops_nothing(join: Join, server: Server) -> None:
    one, two = await join(), await join()
    redis.Redis.from_url(server.url).set("{detour}:cooldown:a", "not a hash")
    await one.ask("claude-a", limited(600))
    await one.ask("claude-b", answer(500), limited(600))
    await eventually(
        lambda: two.state("a", "claude-b") == "cooling" or two.state("b", "claude-b") == "cooling"
    )
    assert link(one).up


async def test_what_others_write_there_does_no_harm(join: Join, server: Server) -> None:
    one = await join()
    client = redis.Redis.from_url(server.url)
    for message in (
        b"{",
        b"[]",
        b"null",
        b'{"kind":"cooldown","name":"a","value":{"over":"x"}}',
        b'{"kind":"turn","name":"anthropic","key":1,"value":2}',
    ):
        client.xadd("{detour}:changes", {"o": "somebody", "m": message})
    client.xadd("{detour}:changes", {"x": "y"})
    await asyncio.sleep(0.2)
    two = await join()
    await two.ask("claude-a", limited(600))
    await eventually(lambda: one.state("a", "claude-a") == "cooling")
