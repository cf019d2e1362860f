"""Circuit breaker per endpoint and model: an upstream that is down is not asked again and again.

    closed ──N failures in a row──▶ open ──time over──▶ half open ──success──▶ closed
                                     ▲                      │
                                     └──────failure─────────┘

Only failures of the upstream itself count (no connection, no answer, 5xx); limits and refused keys are the
credential's. While half open a few requests may be under way at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from cachetools import LRUCache

from router_core.config.schema import Breaker as Settings

type Circuit = tuple[str, str | None]
"""(base URL, upstream model)"""

MAX_CIRCUITS: Final = 4096


@dataclass(slots=True)
class _State:
    failures: int = 0
    failed: float = -math.inf
    """Monotonic; the last failure that counted."""
    open_until: float = -math.inf
    """Monotonic; -inf while closed."""
    opened: float = -math.inf
    testing: int = 0


class Breakers:
    def __init__(
        self, settings: Settings, clock: Callable[[], float], own: Mapping[str, Settings] | None = None
    ):
        """`own` are the settings of base URLs that have some, `settings` those of all others."""
        self.settings = settings
        self.own = dict(own or {})
        self._clock = clock
        self._states: LRUCache[Circuit, _State] = LRUCache(MAX_CIRCUITS)

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

    def begin(self, circuit: Circuit) -> None:
        state = self._states.get(circuit)
        if state is not None and state.open_until != -math.inf:
            state.testing += 1

    def success(self, circuit: Circuit, started: float) -> None:
        """A request that began at monotonic `started` was answered."""
        state = self._states.get(circuit)
        # What began before the circuit opened does not show that the upstream is back.
        if state is not None and started > state.opened:
            del self._states[circuit]

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
            state.opened = self._clock()
            state.open_until = state.opened + self._of(circuit).open
            state.testing = 0

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
        self._states.clear()
