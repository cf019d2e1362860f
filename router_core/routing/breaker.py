"""Circuit breaker per endpoint and model: an upstream that is down is not asked again and again.

    closed ──N failures in a row──▶ open ──time over──▶ half open ──success──▶ closed
                                     ▲                      │
                                     └──────failure─────────┘

Only failures of the upstream itself count (no connection, no answer, 5xx); limits and refused keys are the
credential's. While half open a few requests may be under way at once.

Times are monotonic. What other processes are told, and tell, of a circuit is in wall-clock seconds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from cachetools import LRUCache

from router_core.config.schema import Breaker as Settings
from router_core.routing.cooldown import Over

type Circuit = tuple[str, str | None]
"""(base URL, upstream model)"""

MAX_CIRCUITS: Final = 4096


@dataclass(frozen=True, slots=True)
class Opening:
    """That an upstream is left alone."""

    since: float
    until: float
    """Both seconds since the epoch."""


@dataclass(slots=True)
class _State:
    failures: int = 0
    failed: float = -math.inf
    """Monotonic; the last failure that counted."""
    open_until: float = -math.inf
    """Monotonic; -inf while closed."""
    opened: float = -math.inf
    opening: Opening | None = None
    """The same for other processes."""
    testing: int = 0


class Breakers:
    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], float],
        own: Mapping[str, Settings] | None = None,
        *,
        wall: Callable[[], float] = time.time,
        changed: Callable[[Circuit, Opening | Over], None] = lambda *_: None,
    ):
        """`own` are the settings of base URLs that have some, `settings` those of all others. `changed` hears
        when a circuit opens and closes."""
        self.settings = settings
        self.own = dict(own or {})
        self._clock, self._wall, self._changed = clock, wall, changed
        self._states: LRUCache[Circuit, _State] = LRUCache(MAX_CIRCUITS)
        self._over: LRUCache[Circuit, Over] = LRUCache(MAX_CIRCUITS)

    def _of(self, circuit: Circuit) -> Settings:
        return self.own.get(circuit[0], self.settings)

    def wait(self, circuit: Circuit) -> float:
        """Seconds until a request may go through; 0 when it may now, inf while all tests are under way."""
        state = self._states.get(circuit)
        if state is None or state.open_until == -math.inf:
            return 0.0
        left = state.open_until - self._clock()
        if left > 0:
            return left
        return 0.0 if state.testing < self._of(circuit).half_open else math.inf

    def begin(self, circuit: Circuit) -> int:
        """How many processes' requests may test the circuit at once, of which this is one; 0 for one that is closed."""
        state = self._states.get(circuit)
        if state is None or state.open_until == -math.inf:
            return 0
        state.testing += 1
        return self._of(circuit).half_open

    def success(self, circuit: Circuit, started: float) -> None:
        """A request that began at monotonic `started` was answered."""
        state = self._states.get(circuit)
        # What began before the circuit opened does not show that the upstream is back.
        if state is not None and started > state.opened:
            self._close(circuit, state)

    def failure(self, circuit: Circuit, started: float) -> None:
        state = self._states.get(circuit)
        if state is None:
            state = self._states[circuit] = _State()
        if started <= state.opened:
            return
        if started < state.failed and state.open_until == -math.inf:
            return  # under way at once with the one that counted: a burst is one failure, not many in a row
        state.failed = self._clock()
        state.failures += 1
        state.testing = max(0, state.testing - 1)
        if state.open_until != -math.inf or state.failures >= self._of(circuit).failures:
            length = self._of(circuit).open
            opening = Opening(self._wall(), self._wall() + length)
            self._open(circuit, state, length, opening)
            self._changed(circuit, opening)

    def _open(self, circuit: Circuit, state: _State, length: float, opening: Opening) -> None:
        self._over.pop(circuit, None)
        state.opened, state.opening, state.testing = self._clock(), opening, 0
        state.open_until = state.opened + length

    def _close(self, circuit: Circuit, state: _State) -> None:
        del self._states[circuit]
        if state.opening is not None:
            self._over[circuit] = over = Over(self._wall(), state.opening.until)
            self._changed(circuit, over)

    def release(self, circuit: Circuit, started: float) -> None:
        """A request ended and says nothing about the upstream."""
        state = self._states.get(circuit)
        if state is not None and started > state.opened:
            state.testing = max(0, state.testing - 1)

    def state(self, circuit: Circuit) -> str:
        """``closed``, ``open`` or ``half_open``."""
        state = self._states.get(circuit)
        if state is None or state.open_until == -math.inf:
            return "closed"
        return "open" if state.open_until > self._clock() else "half_open"

    def states(self) -> dict[Circuit, tuple[str, float]]:
        """Every circuit that is not closed, with the seconds until it may be tested."""
        now = self._clock()
        return {
            c: (self.state(c), max(0.0, s.open_until - now))
            for c, s in self._states.items()
            if self.state(c) != "closed"
        }

    def reset(self) -> None:
        for circuit, state in list(self._states.items()):
            self._close(circuit, state)

    # -- other processes

    def known(self) -> list[tuple[Circuit, Opening | Over]]:
        """What other processes may not know yet."""
        opened = [(c, s.opening) for c, s in self._states.items() if s.opening is not None]
        return [*self._over.items(), *opened]

    def adopt(self, circuit: Circuit, opening: Opening) -> None:
        """Another process found that the upstream is down. It is not left alone for longer than our own
        settings say, and what is over does not come back."""
        over, settings = self._over.get(circuit), self._of(circuit)
        left = min(opening.until - self._wall(), settings.open)
        if not left > 0 or (over is not None and opening.since <= over.at):
            return
        state = self._states.setdefault(circuit, _State())
        if state.open_until < self._clock() + left:
            state.failures = settings.failures
            self._open(circuit, state, left, opening)

    def adopt_end(self, circuit: Circuit, over: Over) -> None:
        """Another process found that the upstream is back."""
        state, known = self._states.get(circuit), self._over.get(circuit)
        if known is not None and known.at >= over.at:
            return
        if state is not None and state.opening is not None:
            if state.opening.since > over.at:
                return
            del self._states[circuit]
        self._over[circuit] = over
