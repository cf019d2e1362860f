"""First bytes before further ones: when an upstream is left unread for a moment."""

from __future__ import annotations

import asyncio

from addons.failover.pressure import BEHIND, PAUSE, Pressure


class Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.closing = False

    def pause_reading(self) -> None:
        self.calls.append("pause")

    def resume_reading(self) -> None:
        self.calls.append("resume")

    def is_closing(self) -> bool:
        return self.closing


class Loop:
    """Rounds of the event loop that take as long as they are told."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pressure = Pressure(lambda: self.now)

    async def round(self, seconds: float) -> bool:
        """A round with a piece in it; whether the next piece's upstream is to pause."""
        self.pressure.relayed()
        self.now += seconds
        await asyncio.sleep(0)
        return self.pressure.relayed()


async def test_a_loop_that_keeps_up_pauses_nothing():
    loop = Loop()
    assert not any([await loop.round(BEHIND / 2) for _ in range(20)])


async def test_a_long_round_says_that_the_loop_is_behind_until_a_short_one():
    loop = Loop()
    assert [await loop.round(length) for length in (0, 2 * BEHIND, 2 * BEHIND, 0, 0)] == [
        False,
        True,
        True,
        False,
        False,
    ]


async def test_what_is_paused_is_read_again_all_together():
    pressure = Pressure()
    some = [Transport() for _ in range(3)]
    for transport in some:
        pressure.pause(transport)
    assert [t.calls for t in some] == [["pause"]] * 3
    some[1].closing = True
    await asyncio.sleep(PAUSE * 2)
    assert [t.calls for t in some] == [["pause", "resume"], ["pause"], ["pause", "resume"]]
    pressure.pause(some[0])
    await asyncio.sleep(PAUSE * 2)
    assert some[0].calls == ["pause", "resume"] * 2


async def test_one_that_is_paused_twice_is_read_again():
    pressure, transport = Pressure(), Transport()
    pressure.pause(transport)
    pressure.pause(transport)
    await asyncio.sleep(PAUSE * 2)
    assert transport.calls[-1] == "resume"
