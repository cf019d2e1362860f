"""State that is kept in a file between two processes."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import orjson
import pytest

from router_core.config.schema import Config
from router_core.state import open_store
from router_core.state.memory import MemoryStore, read, write
from router_core.state.store import Change
from tests.router_core.routing.build import World, credential, limited, verdict


async def test_what_one_process_learned_the_next_one_knows(tmp_path: Path) -> None:
    path = tmp_path / "state" / "routing.json"
    world = World(credential("a"), routing={"max_wait": 0})
    store = MemoryStore(path)
    await store.start(world.router)
    await verdict(world, limited(600))
    await store.close()
    assert "key-of-a" not in path.read_text()
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    second = World(credential("a"), routing={"max_wait": 0})
    await MemoryStore(path).start(second.router)
    assert second.until("a", "claude-a") == 600


async def test_what_was_taken_out_of_use_stays_so_even_after_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "routing.json"
    world = World(credential("a"), credential("b"))
    world.router.live.store = store = MemoryStore(path)
    await store.start(world.router)
    assert world.router.switch("a", True) and not world.router.switch("nobody", True)
    assert store._writing
    await store._writing  # nothing is closed

    second = World(credential("a"), credential("b"))
    second.router.live.store = store = MemoryStore(path)
    await store.start(second.router)
    assert [s.state for s in second.router.status()] == ["disabled", "ready"]
    assert list(second.router.live.credentials) == ["b"]
    second.router.switch("a", False)
    await store.close()

    third = World(credential("a"), credential("b"))
    await MemoryStore(path).start(third.router)
    assert [s.state for s in third.router.status()] == ["ready", "ready"]


async def test_without_a_place_nothing_is_kept() -> None:
    store = MemoryStore(None)
    world = World(credential("a"))
    await store.start(world.router)
    await store.close()
    assert await store.lease("a", 1) is None
    async with store.lock("x", 1) as mine:
        assert mine


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"version": 1}', b'{"version": 1, "changes": [{}]}', b'{"version": 99, "changes": []}', b"\xff"]
)  # fmt: skip
def test_a_file_that_means_nothing_is_a_new_beginning(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "routing.json"
    path.write_bytes(content)
    assert read(path) == []


def test_a_file_goes_round(tmp_path: Path) -> None:
    changes = [Change("cooldown", "a", {"until": 1.5}, "model"), Change("binding", "k", {"x": None})]
    write(tmp_path / "f.json", changes)
    assert read(tmp_path / "f.json") == changes
    assert read(tmp_path / "none.json") == []


async def test_a_place_that_cannot_be_written_is_said_and_no_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    store = MemoryStore(tmp_path / "file" / "routing.json")
    await store.start(World().router)
    await store.close()
    assert "cannot be written" in caplog.text


def test_the_configuration_names_the_store(tmp_path: Path) -> None:
    memory = open_store(Config(), tmp_path)
    assert isinstance(memory, MemoryStore)
    assert memory.path == tmp_path / "routing.json"
    assert open_store(Config(state="redis://localhost:1/0")).shared
    with pytest.raises(ValueError, match=r"scheme|port"):
        open_store(Config(state="gopher://x"))


async def test_everything_that_a_router_keeps_is_json(tmp_path: Path) -> None:
    world = World(credential("a", limits=[{"window": "day", "requests": 5}]), routing={"max_wait": 0})
    await verdict(world, limited(600), headers=[("x-session-id", "s")])
    await world.ask("claude-b", headers=[("x-session-id", "s")])
    assert orjson.loads(orjson.dumps(world.router.snapshot()))
