"""Which of one provider's credentials are ready, as sets, and when the others will be.

A set of credentials is an integer, bit i standing for the credential at place i of the scheduler's order:
with 10,000 credentials "ready for this model" is a few operations on machine words. Three sets per key say
what cools, what a probe is testing, and where a limit of the model seems to be used up. What ends them by
itself stands in heaps.

Deadlines are wall-clock seconds, probe times monotonic (see `router_core.routing.health`).
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Final

from router_core.routing.cooldown import QUOTA, Cooldown, CredentialState, Key, bits, key_of
from router_core.verdict import FailureKind

_MISSING: Final = frozenset({FailureKind.NOT_FOUND, FailureKind.MODEL_UNSUPPORTED})
_KEPT: Final = 64
"""Computed answers that are kept until something changes."""

type _Event = tuple[float, int, CredentialState, Key]


class Readiness:
    def __init__(
        self,
        clock: Callable[[], float],
        wall: Callable[[], float],
        lapsed: Callable[[CredentialState, Key], None],
    ):
        """`lapsed` hears of a quota whose time is over."""
        self.version = 0
        """Grows with every change; what was computed from an older version is stale."""
        self._clock, self._wall, self._lapsed = clock, wall, lapsed
        self._states: list[CredentialState] = []
        self._cooling: dict[Key, int] = {}
        self._probing: dict[Key, int] = {}
        self._spent: dict[Key, int] = {}
        self._deadlines: list[_Event] = []
        self._probes: list[_Event] = []
        self._limits: list[_Event] = []
        self._sequence = itertools.count()
        self._forecasts: dict[tuple[Key, int, bool], tuple[float, float, int]] = {}
        self._unsuited: dict[Key, int] = {}
        self._computed = -1

    # -- what is known

    def attach(self, states: list[CredentialState]) -> None:
        """Starts over with `states`, whose places are their indexes, and what they carry."""
        self._states = states
        for sets in (self._cooling, self._probing, self._spent):
            sets.clear()
        for events in (self._deadlines, self._probes, self._limits):
            events.clear()
        for state in states:
            for key in state.cooldowns:
                self.place(state, key)
            for model in state.spent:
                self.place_limit(state, model)
        self.version += 1

    def place(self, state: CredentialState, key: Key) -> None:
        """A cooldown of `state` began, or is another one now."""
        cooldown = state.cooldowns[key]
        _add(self._cooling, key, state.bit)
        self._push(self._deadlines, cooldown.until, state, key)
        if cooldown.probing is not None:
            self.hold(state, key)
        self.version += 1

    def lift(self, state: CredentialState, key: Key) -> None:
        """A cooldown of `state` is over."""
        _remove(self._cooling, key, state.bit)
        self.resume(state, key)

    def hold(self, state: CredentialState, key: Key) -> None:
        """A probe of a cooldown is under way, for which others wait until its time is over."""
        probing = state.cooldowns[key].probing
        assert probing is not None
        _add(self._probing, key, state.bit)
        self._push(self._probes, probing, state, key)
        self.version += 1

    def resume(self, state: CredentialState, key: Key) -> None:
        """No probe is under way any more."""
        _remove(self._probing, key, state.bit)
        self.version += 1

    def place_limit(self, state: CredentialState, model: str) -> None:
        _add(self._spent, model, state.bit)
        self._push(self._limits, state.spent[model].until, state, model)
        self.version += 1

    def lift_limit(self, state: CredentialState, model: str) -> None:
        _remove(self._spent, model, state.bit)
        self.version += 1

    def _push(self, events: list[_Event], at: float, state: CredentialState, key: Key) -> None:
        heapq.heappush(events, (at, next(self._sequence), state, key))

    def advance(self) -> None:
        """What was to end by now ends: cooling becomes half open, overdue probes are waited for no more."""
        now = self._wall()
        for state, key in _due(self._deadlines, now):
            cooldown = state.cooldowns.get(key)
            if state.index < 0 or cooldown is None or cooldown.until > now:
                continue
            if cooldown.quota:
                self._lapsed(state, key)
            else:
                _remove(self._cooling, key, state.bit)
            self.version += 1
        for state, key in _due(self._limits, now):
            limit = state.spent.get(key or "")
            if state.index >= 0 and limit is not None and limit.until <= now:
                del state.spent[key or ""]
                self.lift_limit(state, key or "")
        clock = self._clock()
        for state, key in _due(self._probes, clock):
            cooldown = state.cooldowns.get(key)
            if state.index < 0 or cooldown is None or cooldown.probing is None or cooldown.probing > clock:
                continue
            cooldown.probing = None
            self.resume(state, key)

    # -- what is asked

    def blocked(self, model: Key) -> int:
        """The credentials that cannot take an ordinary request for `model` now."""
        self.advance()
        return self._resting(model) | self._spent.get(key_of(model), 0)

    def _resting(self, model: Key) -> int:
        cooling, probing, own = self._cooling, self._probing, key_of(model)
        mask = cooling.get(None, 0) | cooling.get(QUOTA, 0) | cooling.get(own, 0)
        return mask | probing.get(None, 0) | probing.get(own, 0)

    def spent(self, model: Key) -> int:
        """The credentials that would be ready if the model's limit there were not used up."""
        self.advance()
        return self._spent.get(key_of(model), 0) & ~self._resting(model)

    def refused(self) -> int:
        """The credentials whose key or account itself was refused, whatever the model."""
        mask = 0
        for i in bits(self._cooling.get(None, 0)):
            if self._states[i].cooldowns[None].kind in (FailureKind.AUTH, FailureKind.PAYMENT):
                mask |= 1 << i
        return mask | self._cooling.get(QUOTA, 0)

    def unsuited(self, model: Key) -> int:
        """The credentials of which nothing is wrong but that they seemed not to have the model."""
        self.advance()
        self._refresh()
        known = self._unsuited.get(model)
        if known is None:
            known = 0
            for i in bits(self._cooling.get(key_of(model), 0)):
                if all(c.kind in _MISSING for c in self._blocking(self._states[i], model) if self._holds(c)):
                    known |= 1 << i
            self._unsuited[model] = known
        return known

    def probe(self, model: Key, among: int, *, last_resort: bool = False) -> CredentialState | None:
        """A cooling credential of `among` that one request may test now, the one waiting longest.

        With `last_resort`, one whose server failed a moment ago.
        """
        _, due, place = self._forecast(model, among, last_resort)
        return self._states[place] if due <= self._clock() else None

    def wait(self, model: Key, among: int, *, last_resort: bool = False) -> float:
        """Seconds until a cooldown among `among` ends, or with `last_resort` may be tested; inf for never.

        That a long cooldown may be tested sooner is not counted on.
        """
        if among & ~self.blocked(model):
            return 0.0
        ready, due, _ = self._forecast(model, among, last_resort)
        return max(0.0, (min(ready, due) if last_resort else ready) - self._clock())

    def _forecast(self, model: Key, among: int, last_resort: bool) -> tuple[float, float, int]:
        """Monotonic times at which the first of `among` will be ready and may be probed, and which that is.

        A walk over all of them, so it is kept until something changes: when everything cools, requests
        that find nothing are many and changes are few.
        """
        blocked = self.blocked(model)
        self._refresh()
        known = self._forecasts.get((model, among, last_resort))
        if known is not None:
            return known
        first_ready, first_due, place = math.inf, math.inf, -1
        for i in bits(among & blocked):
            state = self._states[i]
            first_ready = min(first_ready, self._ready_time(state, model))
            due = self._probe_time(state, model, last_resort)
            if due < first_due:
                first_due, place = due, i
        self._forecasts[model, among, last_resort] = known = (first_ready, first_due, place)
        return known

    def _ready_time(self, state: CredentialState, model: Key) -> float:
        clock, wall = self._clock(), self._wall()
        limit = state.spent.get(key_of(model))
        ready = clock if limit is None else clock + limit.until - wall
        for cooldown in self._blocking(state, model):
            ready = max(ready, clock + cooldown.until - wall, cooldown.probing or 0.0)
        return ready

    def _probe_time(self, state: CredentialState, model: Key, last_resort: bool) -> float:
        due = -math.inf
        for cooldown in self._blocking(state, model):
            if not self._holds(cooldown):
                continue
            if cooldown.probing is not None:
                return math.inf
            due = max(due, cooldown.retry_at if last_resort else cooldown.probe_at)
        return due if due > -math.inf else math.inf

    def _blocking(self, state: CredentialState, model: Key) -> Iterator[Cooldown]:
        for key in (None, QUOTA, key_of(model)):
            cooldown = state.cooldowns.get(key)
            if cooldown is not None:
                yield cooldown

    def _holds(self, cooldown: Cooldown) -> bool:
        return cooldown.until > self._wall() or cooldown.probing is not None

    def _refresh(self) -> None:
        """Forgets what was computed before the last change."""
        if self._computed != self.version or len(self._forecasts) > _KEPT or len(self._unsuited) > _KEPT:
            self._forecasts.clear()
            self._unsuited.clear()
            self._computed = self.version


def _add(sets: dict[Key, int], key: Key, bit: int) -> None:
    sets[key] = sets.get(key, 0) | bit


def _remove(sets: dict[Key, int], key: Key, bit: int) -> None:
    rest = sets.get(key, 0) & ~bit
    if rest:
        sets[key] = rest
    else:
        sets.pop(key, None)


def _due(events: list[_Event], now: float) -> Iterator[tuple[CredentialState, Key]]:
    """Takes what was due by `now` out of a heap, the earliest first."""
    while events and events[0][0] <= now:
        _, _, state, key = heapq.heappop(events)
        yield state, key
