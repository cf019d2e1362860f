"""First bytes before further ones, when there is more to do than can be done at once.

Two hundred streams that begin together have their first bytes late, because each event of those that have begun
takes its turn among them, one by one. While the event loop is behind, the upstream of an answer that has begun is
therefore read again only after a moment: what it sends in between comes as one piece, which costs as much as a
single event does. With a loop that keeps up, nothing ever waits.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

BEHIND: Final = 0.01
"""Seconds that one round of the event loop may take; with a longer one it is behind."""
PAUSE: Final = 0.05
"""Seconds for which an upstream is not read then."""


class Pressure:
    """Whether the event loop is behind, and the upstreams that are not read for the moment."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._behind = False
        self._measured = False
        """Whether this round's length is being measured."""
        self._paused: list[asyncio.Transport] = []

    def relayed(self) -> bool:
        """Called with each piece of an answer that has begun: whether its upstream is to pause."""
        if not self._measured:
            self._measured = True
            asyncio.get_running_loop().call_soon(self._round_is_over, self._clock())
        return self._behind

    def _round_is_over(self, begun: float) -> None:
        self._measured = False
        self._behind = self._clock() - begun > BEHIND

    def pause(self, transport: asyncio.Transport) -> None:
        """Read nothing of `transport` for `PAUSE` at most."""
        transport.pause_reading()
        if not self._paused:
            asyncio.get_running_loop().call_later(PAUSE, self._resume)
        self._paused.append(transport)

    def _resume(self) -> None:
        paused, self._paused = self._paused, []
        for transport in paused:
            if not transport.is_closing():
                transport.resume_reading()
