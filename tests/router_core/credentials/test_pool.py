"""Which credentials are usable, and what happens behind the router's back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from router_core.config.schema import Config
from router_core.credentials import pool as pool_module
from router_core.credentials.pool import Pool
from router_core.credentials.token_source import TokenSource
from router_core.errors import Code
from router_core.exchange import Attempt
from router_core.routing import plan as plan_module
from tests.router_core.conftest import Clock
from tests.router_core.credentials.token_server import TokenServer, now
from tests.router_core.routing.build import World, answer, attempt, credential, ok, registry

NOW = 1_800_000_000.0


def make(
    *credentials: dict[str, Any],
    folder: Path | None = None,
    previous: Pool | None = None,
    env: dict[str, str] | None = None,
    wall: Callable[[], float] = lambda: NOW,
    **config: Any,
) -> Pool:
    parsed = Config.model_validate({"credentials": list(credentials), **config})
    return Pool(parsed, registry(), folder=folder, env=env or {}, wall=wall, previous=previous)


def oauth(id: str, server: TokenServer, **more: Any) -> dict[str, Any]:
    values = {"token_url": server.url, "refresh_token": f"first-refresh-of-{id}", **more}
    return {"id": id, "provider": "anthropic", "oauth": values}


def through(pool: Pool, server: TokenServer) -> Pool:
    """The pool's refreshes end at `server`."""
    for each in pool.credentials.values():
        if isinstance(each.source, TokenSource):
            each.source.rebind(server.make)
    return pool


def test_usable_and_unusable(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("k")
    found = make(
        credential("set", api_key="env:SET"),
        credential("unset", api_key="env:UNSET"),
        credential("file", api_key=f"file:{tmp_path / 'key'}"),
        credential("no-file", api_key=f"file:{tmp_path / 'none'}"),
        credential("command", api_key={"command": ["x"]}),
        credential("off", enabled=False),
        credential("unknown", "nobody"),
        {"id": "tool", "provider": "anthropic", "token_file": str(tmp_path / "absent.json")},
        env={"SET": "k"},
    )
    assert {c.id: c.inactive for c in found.credentials.values()} == {
        "set": None,
        "unset": "environment variable UNSET is not set",
        "file": None,
        "no-file": f"file {tmp_path / 'none'} cannot be read: no such file or directory",
        "command": None,
        "off": "it is disabled in the configuration",
        "unknown": "its provider 'nobody' is not known",
        "tool": f"file {tmp_path / 'absent.json'} does not exist",
    }
    assert [c.id for c in found.active("anthropic")] == ["set", "file", "command"]


async def test_tokens_without_a_file_are_kept_in_the_folder(tmp_path: Path) -> None:
    server = TokenServer()
    found = through(make(oauth("mine", server), folder=tmp_path / "credentials"), server)
    assert (await found.token("mine")).secret == "access-1"
    kept = orjson.loads((tmp_path / "credentials" / "mine.json").read_bytes())
    assert kept["refresh_token"] == "refresh-1"


async def test_a_reload_keeps_tokens(tmp_path: Path) -> None:
    server = TokenServer()
    first = through(make(oauth("mine", server)), server)
    await first.token("mine")
    second = make(credential("a"), oauth("mine", server), previous=first)
    assert second.credentials["mine"].source is first.credentials["mine"].source
    third = make(oauth("mine", server, client_id="another"), previous=second)
    assert third.credentials["mine"].source is not first.credentials["mine"].source


@pytest.mark.parametrize(
    ("all", "own", "used"),
    [
        (None, None, None),
        ("http://all:1", None, "http://all:1"),
        ("http://all:1", "direct", None),
        (None, "socks5://user:pass@me:2", "socks5://me:2"),
    ],
)
async def test_refreshes_go_through_the_credentials_proxy(
    monkeypatch: pytest.MonkeyPatch, all: str | None, own: str | None, used: str | None
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://detour-itself:8080")
    server = TokenServer()
    found = make({**oauth("mine", server), "proxy": own}, upstream={"proxy": all})
    source = found.credentials["mine"].source
    assert isinstance(source, TokenSource)
    async with source._client() as client:
        transport: Any = client._transport_for_url(server.url)  # type: ignore[arg-type]
        # pylint: the transport of a proxy knows where it goes
        proxy = getattr(transport._pool, "_proxy_url", None)
        shown = proxy and f"{proxy.scheme.decode()}://{proxy.host.decode()}:{proxy.port}"
    assert shown == used


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "TICK", 0.02)


async def eventually(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.usefixtures("quick")
async def test_files_are_watched(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("first")
    world = World(credential("a", api_key=f"file:{path}"), routing={"max_wait": 0})
    pool = world.router.live.pool
    await pool.start()
    try:
        await world.ask("claude-a", answer(401))
        assert world.state("a") == "cooling"
        path.write_text("second key")
        await eventually(lambda: world.state("a") == "ready")
        _, taken = await world.take()
        assert taken.auth == [("x-api-key", "second key")]
        path.unlink()
        await eventually(lambda: world.state("a") == "inactive")
        assert world.refusal().code in (Code.NO_CREDENTIAL, Code.MODEL_NOT_FOUND)
        path.write_text("third")
        await eventually(lambda: world.state("a") == "ready")
    finally:
        await pool.close()


@pytest.mark.usefixtures("quick")
async def test_a_change_between_two_configurations_is_not_lost(tmp_path: Path) -> None:
    """The file changes when the old pool has looked for the last time, and the new one has read it already."""
    key, token = tmp_path / "key", tmp_path / "token.json"
    key.write_text("first")
    token.write_bytes(orjson.dumps({"access_token": "first"}))
    known = (
        credential("a", api_key=f"file:{key}"),
        {"id": "t", "provider": "anthropic", "token_file": str(token)},
    )
    old = make(*known)
    new = make(*known, credential("b"), previous=old)
    key.write_text("second key")
    token.write_bytes(orjson.dumps({"access_token": "second token"}))
    await new.start()
    try:
        await eventually(
            lambda: [now(new.credentials[i].source).secret for i in "at"] == ["second key", "second token"]
        )
    finally:
        await new.close()


@pytest.mark.usefixtures("quick")
async def test_tokens_are_renewed_ahead_of_time_and_a_few_at_once(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    server = TokenServer()
    server.expires_in = 100  # inside the lead from the beginning
    found = through(make(*(oauth(f"c{i}", server) for i in range(12)), wall=clock), server)
    for i in range(12):
        await found.token(f"c{i}")
    # Not at once for all that: what lives shorter than the lead is renewed in the second half of its life.
    assert all(c.source.due() == 50 for c in found.credentials.values() if isinstance(c.source, TokenSource))
    clock.now += 51
    monkeypatch.setattr(pool_module, "TICK", 0.05)
    server.gate = threading.Event()
    told: list[str] = []
    found.changed = told.append
    await found.start()
    try:
        await eventually(lambda: len(server.asked) >= 12 + 4)
        assert len(server.asked) <= 12 + 4
        server.expires_in = 3600
        server.gate.set()
        await eventually(lambda: len(told) == 12)
        assert len(server.asked) == 24
    finally:
        await found.close()


async def test_a_refused_token_is_refreshed_and_the_request_goes_on() -> None:
    server = TokenServer()
    world = World(oauth("a", server), routing={"max_wait": 0})
    through(world.router.live.pool, server)
    plan, first = await world.take()
    assert first.auth == [("authorization", "Bearer access-1")]
    world.time.pass_(60)
    verdict = await plan.report(first, answer(401))
    assert verdict.retry
    assert "its token was refreshed" in verdict.reason
    second = await attempt(plan)
    assert (second.credential_id, second.auth) == ("a", [("authorization", "Bearer access-2")])
    # Refused again it is the account, and another one's turn.
    await plan.report(second, answer(401))
    assert world.state("a") == "cooling"
    assert await plan.next() is None


async def test_a_renewed_token_ends_the_rest_of_a_refused_one() -> None:
    server = TokenServer()
    world = World(oauth("a", server), routing={"max_wait": 0})
    pool = through(world.router.live.pool, server)
    plan, first = await world.take()
    server.answers = [(503, b"")]
    world.time.pass_(60)
    await plan.report(first, answer(401))
    assert world.state("a") == "cooling"
    await pool.start()
    try:
        world.time.pass_(10)
        source: Any = pool.credentials["a"].source
        await source.renew()
        assert world.state("a") == "ready"
    finally:
        await pool.close()


async def test_a_dead_token_passes_to_the_next_credential() -> None:
    server = TokenServer()
    server.answers = [(400, {"error": "invalid_grant"})]
    world = World({**oauth("a", server), "priority": 9}, credential("b"), routing={"max_wait": 0})
    through(world.router.live.pool, server)
    plan, taken = await world.take()
    assert taken.credential_id == "b"
    assert [s.reason for s in plan.skipped] == ["the refresh token was refused (invalid_grant); log in again"]
    await plan.report(taken, ok())
    assert world.until("a") == 1800


async def test_a_token_that_does_not_come_is_not_waited_for_where_another_is_ready(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plan_module, "TOKEN_PATIENCE", 0.02)
    server = TokenServer()
    server.gate = threading.Event()
    world = World({**oauth("a", server), "priority": 9}, credential("b"), routing={"max_wait": 0})
    pool = through(world.router.live.pool, server)
    plan, taken = await world.take()
    assert taken.credential_id == "b"
    assert [s.reason for s in plan.skipped] == ["its token did not come within 0.02 s"]
    await plan.report(taken, ok())
    assert world.state("a") == "cooling"
    # The one fetch goes on, and what comes of it is used.
    await pool.start()
    try:
        server.gate.set()
        await eventually(lambda: world.state("a") == "ready")
        assert await world.asks(1) == ["a"]
        assert len(server.asked) == 1
    finally:
        await pool.close()


async def test_waiting_for_a_token_can_be_given_up() -> None:
    server = TokenServer()
    server.gate = threading.Event()
    world = World({**oauth("a", server), "concurrency": 1})
    through(world.router.live.pool, server)
    waiting = asyncio.create_task(world.plan().next())
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert world.state("a") == "ready"
    server.gate.set()
    assert isinstance(await world.plan().next(), Attempt)
