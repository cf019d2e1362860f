"""When Redis counts as down, and when it is only this process that stood still."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable

import pytest
from redis.exceptions import ConnectionError, ResponseError

from router_core.state.link import FAILURES, Link, Unanswered


class Clock:
    """Moves with the event loop's own waiting, and jumps when the process stands still."""

    def __init__(self) -> None:
        self.jumped = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.jumped


async def value(result: int = 1) -> int:
    return result


async def failing(error: Exception) -> int:
    raise error


async def silent() -> int:
    await asyncio.sleep(60)
    return 0


async def up(clock: Clock | None = None) -> Link:
    link = Link("test", clock or time.monotonic)
    assert await link.ping(value(), 1)
    return link


async def lose(link: Link, awaitable: Awaitable[int], within: float = 0.01) -> None:
    with pytest.raises(Unanswered):
        await link.call(awaitable, within)


async def test_calls_go_through_once_it_answers() -> None:
    link = Link("test")
    await lose(link, value())
    assert not link.up
    assert await link.ping(value(), 1)
    assert await link.call(value(5), 1) == 5


@pytest.mark.parametrize("error", [ConnectionError("x"), OSError("x"), ResponseError("x")])
async def test_failures_in_a_row_take_it_down(error: Exception) -> None:
    link = await up()
    for _ in range(FAILURES - 1):
        await lose(link, failing(error))
    assert link.up
    await link.call(value(), 1)
    for _ in range(FAILURES):
        await lose(link, failing(error))
    assert not link.up


async def test_silence_takes_it_down_only_after_a_while() -> None:
    clock = Clock()
    link = await up(clock)
    for _ in range(5):
        await lose(link, silent())
    assert link.up
    clock.jumped += 1
    await lose(link, silent())
    assert not link.up


async def test_a_standing_event_loop_is_not_its_fault() -> None:
    clock = Clock()
    link = await up(clock)

    async def stalled() -> int:
        clock.jumped += 5
        await asyncio.sleep(60)
        return 0

    for _ in range(20):
        await lose(link, stalled())
    assert link.up
    assert link.stalls == 20


async def test_a_late_success_of_before_does_not_hide_an_outage() -> None:
    link = await up()
    gate = asyncio.Event()

    async def late() -> int:
        await gate.wait()
        return 1

    old = asyncio.create_task(link.call(late(), 5))
    await asyncio.sleep(0)
    for _ in range(FAILURES):
        await lose(link, failing(ConnectionError("x")))
    assert not link.up
    gate.set()
    await old
    assert not link.up
    assert not await link.ping(failing(ConnectionError("x")), 1)
    assert await link.ping(value(), 1)
    assert link.up


async def test_messages_hold_no_password(caplog: pytest.LogCaptureFixture) -> None:
    link = await up()
    for _ in range(FAILURES):
        await lose(link, failing(ConnectionError("redis://user:hunter2@host")))
    assert "hunter2" not in caplog.text
    assert "ConnectionError" in caplog.text
