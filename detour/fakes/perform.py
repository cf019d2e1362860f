"""Performs a list of steps on one stream of one connection, whatever the protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol

from detour.fakes.steps import (
    Close,
    Data,
    End,
    Gate,
    Goaway,
    Head,
    Pause,
    Raw,
    Reset,
    Stall,
    Step,
    WebSocketClose,
)

LONGEST_WAIT = 60.0
"""Seconds that a gate or a stall lasts at most, so that no forgotten one keeps a test alive."""


class Gates:
    """Named gates that are shut until they are opened, for good."""

    def __init__(self) -> None:
        self._events: dict[str, asyncio.Event] = {}

    def __getitem__(self, name: str) -> asyncio.Event:
        return self._events.setdefault(name, asyncio.Event())


class Stage(Protocol):
    """What a protocol has to offer for steps to be performed on it."""

    async def head(self, head: Head) -> None: ...

    async def data(self, data: bytes) -> None: ...

    async def end(self) -> None: ...

    async def break_off(self, step: Raw | Reset | Goaway | Close | WebSocketClose) -> None: ...


async def perform(steps: Iterable[Step], stage: Stage, gates: Gates) -> bool:
    """True when the answer came to its proper end, False when a step broke it off.

    Cancelled by the protocol when the client goes away.
    """
    ended = False
    for step in steps:
        match step:
            case Head():
                await stage.head(step)
            case Data(data):
                await stage.data(data)
                # Lets the write leave on its own, as a provider's events do.
                await asyncio.sleep(0)
            case Pause(seconds):
                await asyncio.sleep(seconds)
            case Gate(name):
                await asyncio.wait_for(gates[name].wait(), LONGEST_WAIT)
            case Stall():
                await asyncio.sleep(LONGEST_WAIT)
            case End():
                await stage.end()
                ended = True
            case _:
                await stage.break_off(step)
    return ended
