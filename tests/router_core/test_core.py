"""A configuration that changes while it is in force."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from router_core import core as core_module
from router_core.config.loader import load
from router_core.config.watch import watch
from router_core.core import Core

ONE = "credentials:\n  - {id: one, provider: anthropic, api_key: key-of-one}\n"
TWO = ONE + "  - {id: two, provider: anthropic, api_key: key-of-two, priority: 5}\n"


@pytest.fixture
async def core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Core]:
    monkeypatch.setattr(core_module, "watch", partial(watch, interval=0.02, settle=0.02))
    path = tmp_path / "detour.yaml"
    path.write_text(ONE)
    made = Core(load(path, {"HOME": str(tmp_path)}), tmp_path / "state")
    await made.start()
    await asyncio.sleep(0.05)
    yield made
    await made.stop()


async def eventually(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def ids(core: Core) -> set[str]:
    return {s.id for s in core.router.status()}


async def test_a_valid_change_is_put_in_force(core: Core) -> None:
    core.loaded.path.write_text(TWO)
    await eventually(lambda: ids(core) == {"one", "two"})
    assert core.config.credentials[1].priority == 5
    assert set(core.secrets()) == {"key-of-one", "key-of-two"}


@pytest.mark.parametrize(
    "text", ["credentials: [", "credentials:\n  - {id: x, provider: nobody}\n", "colour: red\n", ""]
)
async def test_an_invalid_one_is_reported_and_changes_nothing(
    core: Core, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = core.loaded
    core.loaded.path.write_text(text)
    await eventually(lambda: "the one in force stays" in caplog.text)
    assert f"{core.loaded.path}:" in caplog.text
    assert core.loaded is before
    core.loaded.path.write_text(TWO)
    await eventually(lambda: ids(core) == {"one", "two"})


async def test_whoever_serves_may_read_it_in_a_way_of_its_own(core: Core) -> None:
    told = asyncio.Event()

    async def reread() -> None:
        told.set()

    core.reread = reread
    core.loaded.path.write_text(TWO)
    await asyncio.wait_for(told.wait(), 10)
    assert ids(core) == {"one"}


async def test_state_outlives_the_process(core: Core, tmp_path: Path) -> None:
    live = core.router.live
    state = live.credentials["one"]
    headers = [("x-codex-primary-used-percent", "40"), ("x-codex-primary-reset-after-seconds", "600")]
    live.allowances.observe(state, headers, "model-of-test", free=False)
    await core.stop()
    again = Core(load(core.loaded.path, {"HOME": str(tmp_path)}), tmp_path / "state")
    await again.start()
    assert [w.used for w in again.router.live.allowances.windows("one")] == [0.4]
    await again.stop()
