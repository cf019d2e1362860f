"""Supervision without traffic: the channel, the log's lines, workers that hang or die."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import socket
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from detour.workers import hand as hand_module, supervisor as supervisor_module
from detour.workers.channel import Channel, Failed, Gone
from detour.workers.hand import Hand
from detour.workers.loglines import LogLines
from detour.workers.supervisor import Supervisor


async def pair(answers: dict[str, Any], news: Any = lambda what, value: None) -> tuple[Channel, Channel]:
    """Two ends; the second one has `answers`."""
    ours, theirs = socket.socketpair()
    return await Channel.on(ours, {}, lambda what, value: None), await Channel.on(theirs, answers, news)


async def test_calls_are_answered_also_out_of_order_and_failures_are_told() -> None:
    gate = asyncio.Event()

    async def slow(text: str) -> str:
        await gate.wait()
        return text

    async def quick(number: int) -> int:
        gate.set()
        return number + 1

    async def broken() -> None:
        raise ValueError("no such thing")

    near, far = await pair({"slow": slow, "quick": quick, "broken": broken})
    tasks = [asyncio.create_task(end.listen()) for end in (near, far)]
    waiting = asyncio.create_task(near.call("slow", "x" * 300_000))
    assert await near.call("quick", 1) == 2
    assert await waiting == "x" * 300_000
    with pytest.raises(Failed, match="no such thing"):
        await near.call("broken")
    with pytest.raises(Failed):
        await near.call("nothing of that name")
    near.close()
    await asyncio.gather(*tasks)


async def test_who_waits_for_an_answer_hears_that_the_other_side_ended() -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    near, far = await pair({"never": never})
    listening = asyncio.create_task(near.listen())
    waiting = asyncio.create_task(near.call("never", patience=60))
    await asyncio.sleep(0)
    far.close()
    with pytest.raises(Gone, match="ended"):
        await waiting
    await listening
    with pytest.raises(Gone):
        await (await pair({}))[0].call("never", patience=0.01)


async def test_news_arrive_in_their_order() -> None:
    heard: list[tuple[str, Any]] = []
    near, far = await pair({}, lambda what, value: heard.append((what, value)))
    for number in range(100):
        near.tell("number", number)
    near.close()
    await far.listen()
    assert heard == [("number", n) for n in range(100)]


def line(message: str, **more: object) -> bytes:
    fields = {
        "time": "2026-03-01T10:00:00.000Z",
        "level": "warning",
        "logger": "detour.x",
        "message": message,
    }
    return json.dumps({**fields, **more}).encode()


def test_lines_of_workers_are_written_once_and_exchanges_each_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    lines = LogLines()
    with caplog.at_level(logging.DEBUG):
        lines.take(1, line("a credential is inactive"))
        lines.take(2, line("a credential is inactive"))
        lines.take(2, line("only here"))
        lines.take(2, line("only here"))
        for worker in (1, 2):
            lines.take(worker, line("exchange", exchange={"id": f"e{worker}"}))
        lines.take(1, line("it failed", exception="Traceback ...\nValueError: x"))
        lines.take(2, b"Fatal Python error: Segmentation fault")
        lines.take(2, b"")
    said = [record.getMessage() for record in caplog.records]
    assert said.count("a credential is inactive") == 1
    assert said.count("only here") == 2
    assert [r.exchange["id"] for r in caplog.records if hasattr(r, "exchange")] == ["e1", "e2"]
    assert "it failed\nTraceback ...\nValueError: x" in said
    assert said[-1] == "worker 2: Fatal Python error: Segmentation fault"
    assert caplog.records[0].created == pytest.approx(1772359200)


async def test_a_worker_whose_event_loop_stands_still_is_killed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(hand_module, "CHECK", 0.01)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "import time; time.sleep(600)")
    answers = iter([None, None])

    async def call(what: str, patience: float) -> None:
        if next(answers, "hung") == "hung":
            raise Gone("no answer")

    hand = Hand(3, lambda hand, what, value: None)
    hand.pid, hand._channel = process.pid, SimpleNamespace(call=call)  # type: ignore[assignment]
    hand.ready.set()
    await hand._watch()
    assert await process.wait() == -signal.SIGKILL
    assert "worker 3 has not answered for 30 s" in caplog.text


def supervisor() -> tuple[Supervisor, Hand]:
    """One that has nothing but a worker to look after."""
    keeper = Supervisor.__new__(Supervisor)
    keeper._ending, keeper._options, keeper._lines, keeper._listeners = asyncio.Event(), [], LogLines(), {}
    return keeper, Hand(1, lambda hand, what, value: None)


async def test_a_worker_that_dies_again_and_again_is_started_less_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    delays: list[float] = []
    lives = iter([0.0] * 8 + [100.0] + [0.0] * 2)
    clock = 0.0
    keeper, hand = supervisor()
    hand.served = True

    async def run(*_: object) -> int:
        nonlocal clock
        life = next(lives, None)
        if life is None:
            keeper._ending.set()
        clock += life or 0.0
        return 1

    async def ends_within(seconds: float) -> bool:
        delays.append(seconds)
        return False

    monkeypatch.setattr(hand, "run", run)
    monkeypatch.setattr(keeper, "_ends_within", ends_within)
    monkeypatch.setattr(supervisor_module, "time", SimpleNamespace(monotonic=lambda: clock))
    await keeper._keep(hand, None)
    assert delays == [0, 1, 2, 5, 10, 30, 30, 30, 0, 0, 1]


@pytest.mark.parametrize("served", [False, True])
async def test_one_that_never_served_or_is_to_end_is_not_started_again(
    monkeypatch: pytest.MonkeyPatch, served: bool
) -> None:
    monkeypatch.setattr(supervisor_module, "BACKOFF", (600.0,))
    keeper, hand = supervisor()
    hand.served = served
    runs: list[int] = []

    async def run(*_: object) -> int:
        runs.append(1)
        return 1

    monkeypatch.setattr(hand, "run", run)
    keeping = asyncio.create_task(keeper._keep(hand, None))
    await asyncio.sleep(0)
    # While it waits to start it again.
    keeper._ending.set()
    await keeping
    assert runs == [1]
