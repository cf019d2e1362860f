"""Files that are watched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from router_core.config.watch import signature, watch


@asynccontextmanager
async def watching(paths: Any, changed: Any) -> AsyncIterator[None]:
    task = asyncio.create_task(watch(paths, changed, interval=0.01, settle=0.02))
    await asyncio.sleep(0.05)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def eventually(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_a_change_is_told_once_and_when_it_is_over(tmp_path: Path) -> None:
    path = tmp_path / "detour.yaml"
    path.write_text("one")
    seen: list[str] = []

    async def changed() -> None:
        seen.append(path.read_text())

    async with watching(lambda: [path], changed):
        for text in ("t", "tw", "two and more"):
            path.write_text(text)
            await asyncio.sleep(0.005)
        await eventually(lambda: seen)
        assert seen[-1] == "two and more"
        await asyncio.sleep(0.1)
        assert len(seen) <= 2


async def test_files_that_come_go_and_are_replaced(tmp_path: Path) -> None:
    path, other = tmp_path / "a", tmp_path / "b"
    seen: list[Any] = []

    async def changed() -> None:
        seen.append(signature(path))

    async with watching(lambda: [path], changed):
        path.write_text("x")
        await eventually(lambda: len(seen) == 1 and seen[-1])
        other.write_text("y")
        other.replace(path)
        await eventually(lambda: len(seen) == 2)
        path.unlink()
        await eventually(lambda: len(seen) == 3)
        assert seen[-1] is None


async def test_what_fails_is_said_and_the_watching_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a"
    told = 0

    async def changed() -> None:
        nonlocal told
        told += 1
        raise ValueError("no good")

    async with watching(lambda: [path], changed):
        path.write_text("x")
        await eventually(lambda: told == 1)
        path.write_text("longer")
        await eventually(lambda: told == 2)
    assert "could not be followed" in caplog.text


async def test_the_files_may_change(tmp_path: Path) -> None:
    paths = [tmp_path / "a"]
    told = 0

    async def changed() -> None:
        nonlocal told
        told += 1

    async with watching(lambda: paths, changed):
        paths.append(tmp_path / "b")
        await eventually(lambda: told == 1)
        (tmp_path / "b").write_text("x")
        await eventually(lambda: told == 2)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_change_before_the_first_look_is_not_lost(tmp_path: Path, when: str) -> None:
    """A process that starts reads the file a while before it begins to watch."""
    path = tmp_path / "detour.yaml"
    path.write_text("one")
    read_at = path.stat().st_mtime_ns + (10**9 if when == "before" else -(10**9))
    seen: list[str] = []

    async def changed() -> None:
        seen.append(path.read_text())

    task = asyncio.create_task(watch(lambda: [path], changed, interval=0.01, settle=0.01, since=read_at))
    try:
        if when == "after":
            await eventually(lambda: seen)
        await asyncio.sleep(0.1)
        assert seen == (["one"] if when == "after" else [])
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
