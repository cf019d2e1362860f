"""Cooldowns: which credential rests, for which model, until when, and who may test the road.

A credential's state for a key (one model, or None for all of them) is a small machine:

    ready ──failure──▶ cooling ──deadline──▶ half open ──probe succeeds──▶ ready
                          ▲  │                   │
                          │  └─early probe───────┤
                          └──────probe fails─────┘

- A failure opens a window. Failures of attempts that began before it opened are the same event: they may
  move the deadline later, never earlier, and do not escalate the backoff.
- At the deadline one request at a time may go through; its success closes the window for all, its failure
  opens a longer one.
- A long window is tested every ``probe_interval`` too, by one request when its tier has nothing ready, so
  that a limit that was lifted early is found out. Windows after server failures may be tested as a last
  resort after 1, 2, 4 ... seconds, when nothing at all is ready.

Sets of credentials are integers, bit i standing for the credential at place i of the scheduler's order:
with 10,000 credentials "ready for this model" is a few operations on machine words.

No I/O and no clock of its own. Deadlines are wall-clock seconds, because providers name them so and they
go to disk and to other processes; probe times are monotonic, so that a wrong wall clock heals itself.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from router_core.config.schema import Routing
from router_core.routing.cooldown import QUOTA, Cooldown, CredentialState, Key, bits, key_of
from router_core.routing.failure_table import BACKOFF_LIMIT
from router_core.routing.failures import Failure
from router_core.verdict import FailureKind

MAX_KEYS: Final = 256
"""Cooldowns per credential; model names come from clients, so their number must have an end."""

PROBE_PATIENCE: Final = 15.0
"""Seconds after which a probe that has not begun to answer no longer keeps others waiting."""

PROBE_RECHECK: Final = 0.5
"""Seconds after which a probe of another process is looked for again."""

MAX_JITTER: Final = 2.0
_MISSING: Final = frozenset({FailureKind.NOT_FOUND, FailureKind.MODEL_UNSUPPORTED})
_EARLY: Final = frozenset({FailureKind.TRANSIENT, FailureKind.CAPACITY})


@dataclass(frozen=True, slots=True)
class Probe:
    """An attempt that tests a cooldown."""

    key: Key
    """Of the cooldown: a model, or None for the whole credential."""
    early: bool
    """The cooldown's time is not over."""
    life: float
    """Seconds for which it is the only one, in all processes."""


class Health:
    """The cooldowns of one provider's credentials."""

    def __init__(
        self,
        settings: Routing,
        *,
        clock: Callable[[], float],
        wall: Callable[[], float],
        random: Callable[[], float],
        changed: Callable[[CredentialState, Key, Cooldown | None], None] = lambda *_: None,
    ):
        self.settings = settings
        self.version = 0
        """Grows with every change; what was computed from an older version is stale."""
        self._clock, self._wall, self._random, self._changed = clock, wall, random, changed
        self._states: list[CredentialState] = []
        self._cooling: dict[Key, int] = {}
        self._probing: dict[Key, int] = {}
        self._deadlines: list[tuple[float, int, CredentialState, Key]] = []
        self._probes: list[tuple[float, int, CredentialState, Key]] = []
        self._sequence = itertools.count()
        self._forecasts: dict[tuple[Key, int, bool], tuple[float, float, int]] = {}
        self._unsuited: dict[Key, int] = {}
        self._computed = -1

    def attach(self, states: list[CredentialState]) -> None:
        """Starts over with `states`, whose places are their indexes, and the cooldowns that they carry."""
        self._states = states
        self._cooling.clear()
        self._probing.clear()
        self._deadlines.clear()
        self._probes.clear()
        for state in states:
            for key in list(state.cooldowns):
                self._place(state, key)
        self.version += 1

    # -- what the scheduler asks

    def blocked(self, model: Key) -> int:
        """The credentials that cannot take an ordinary request for `model` now."""
        self._advance()
        cooling, probing = self._cooling, self._probing
        own = key_of(model)
        mask = cooling.get(None, 0) | cooling.get(QUOTA, 0) | cooling.get(own, 0)
        return mask | probing.get(None, 0) | probing.get(own, 0)

    def refused(self) -> int:
        """The credentials whose key or account itself was refused, whatever the model."""
        mask = 0
        for i in bits(self._cooling.get(None, 0)):
            if self._states[i].cooldowns[None].kind in (FailureKind.AUTH, FailureKind.PAYMENT):
                mask |= 1 << i
        return mask | self._cooling.get(QUOTA, 0)

    def unsuited(self, model: Key) -> int:
        """The credentials of which nothing is wrong but that they seemed not to have the model."""
        self._advance()
        self._refresh()
        known = self._unsuited.get(model)
        if known is None:
            known = 0
            for i in bits(self._cooling.get(key_of(model), 0)):
                if all(c.kind in _MISSING for c in self._blocking(self._states[i], model) if self._holds(c)):
                    known |= 1 << i
            self._unsuited[model] = known
        return known

    def _holds(self, cooldown: Cooldown) -> bool:
        return cooldown.until > self._wall() or cooldown.probing is not None

    def _refresh(self) -> None:
        """Forgets what was computed before the last change."""
        if self._computed != self.version or len(self._forecasts) > 64 or len(self._unsuited) > 64:
            self._forecasts.clear()
            self._unsuited.clear()
            self._computed = self.version

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
        clock, wall = self._clock(), self._wall()
        first_ready, first_due, place = math.inf, math.inf, -1
        for i in bits(among & blocked):
            ready = clock
            for cooldown in self._blocking(self._states[i], model):
                ready = max(ready, clock + cooldown.until - wall, cooldown.probing or 0.0)
            first_ready = min(first_ready, ready)
            due = self._probe_time(self._states[i], model, last_resort)
            if due < first_due:
                first_due, place = due, i
        self._forecasts[model, among, last_resort] = known = (first_ready, first_due, place)
        return known

    def _blocking(self, state: CredentialState, model: Key) -> Iterator[Cooldown]:
        for key in (None, QUOTA, key_of(model)):
            cooldown = state.cooldowns.get(key)
            if cooldown is not None:
                yield cooldown

    def _probe_time(self, state: CredentialState, model: Key, last_resort: bool) -> float:
        due = -math.inf
        for cooldown in self._blocking(state, model):
            if not self._holds(cooldown):
                continue
            if cooldown.probing is not None:
                return math.inf
            due = max(due, cooldown.retry_at if last_resort else cooldown.probe_at)
        return due if due > -math.inf else math.inf

    # -- what attempts report

    def begin(self, state: CredentialState, model: Key) -> Probe | None:
        """An attempt starts; it may be a probe, for which others wait."""
        held: Key = None
        early = found = False
        for key in (key_of(model), None):
            cooldown = state.cooldowns.get(key)
            if cooldown is None or cooldown.quota:
                continue
            held, found = key, True
            early = early or (cooldown.until > self._wall() and cooldown.retry_at == math.inf)
            self._hold(state, key, PROBE_PATIENCE)
            cooldown.probe_at = self._clock() + PROBE_PATIENCE + self.settings.probe_interval
        return (
            Probe(held, early, self.settings.probe_interval if early else PROBE_PATIENCE) if found else None
        )

    def _hold(self, state: CredentialState, key: Key, seconds: float) -> None:
        """Requests wait for a probe that is under way, but not for ever."""
        cooldown = state.cooldowns[key]
        cooldown.probing = self._clock() + seconds
        self._probing[key] = self._probing.get(key, 0) | state.bit
        heapq.heappush(self._probes, (cooldown.probing, next(self._sequence), state, key))
        self.version += 1

    def defer(self, state: CredentialState, probe: Probe) -> None:
        """Another process has this probe: it is looked for again a moment later."""
        cooldown = state.cooldowns.get(probe.key)
        if state.index < 0 or cooldown is None:
            return
        if probe.early:
            cooldown.probe_at = self._clock() + self.settings.probe_interval / 10
            self.version += 1
        else:
            self._hold(state, probe.key, PROBE_RECHECK)

    def fail(
        self, state: CredentialState, model: Key, failure: Failure, started: float, *, tests: bool = True
    ) -> float | None:
        """Records a failure of an attempt that began at monotonic `started`; the deadline, or None.

        `tests` says that it may have been a probe.
        """
        if state.index < 0:
            return None
        now = self._wall()
        state.last_error, state.last_error_at = failure.reason, now
        if not failure.cools:
            if tests:
                self.release(state, model, started)
            return None
        key = None if failure.scope == "credential" else key_of(model)
        old = state.cooldowns.get(key)
        if old is not None and now - old.until > BACKOFF_LIMIT:
            old = None
        same_event = old is not None and started <= old.opened
        level = 0 if old is None else old.level if same_event else min(old.level + 1, 30)
        until = self._deadline(failure, level, now)
        if old is not None:
            until = max(until, old.until)
        clock = self._clock()
        cooldown = Cooldown(
            kind=failure.kind,
            reason=failure.reason,
            since=old.since if same_event and old else now,
            until=until,
            stated=failure.reset is not None or bool(same_event and old and old.stated),
            level=level,
            opened=old.opened if same_event and old else clock,
        )
        if until - now > self.settings.probe_interval:
            cooldown.probe_at = clock + self.settings.probe_interval
        if failure.kind in _EARLY and failure.reset is None:
            cooldown.retry_at = clock + min(2.0**level, 60.0)
        self.release(state, model, started)
        self._store(state, key, cooldown)
        return until

    def _deadline(self, failure: Failure, level: int, now: float) -> float:
        if failure.reset is not None:
            length = max(0.0, failure.reset.until - now)
            return now + length + self._random() * min(MAX_JITTER, 0.05 * length)
        length = min(failure.backoff * 2.0**level, BACKOFF_LIMIT) if failure.backoff else failure.cooldown
        length = min(length, self.settings.max_cooldown)
        return now + length + self._random() * min(MAX_JITTER, 0.1 * length)

    def succeed(self, state: CredentialState, model: Key, started: float) -> None:
        """An attempt that began at monotonic `started` was answered: windows opened before it close."""
        if state.index < 0:
            return
        state.last_success_at = self._wall()
        for key in (None, key_of(model)):
            cooldown = state.cooldowns.get(key)
            if cooldown is not None and not cooldown.quota and started > cooldown.opened:
                self._drop(state, key)

    def release(self, state: CredentialState, model: Key, started: float) -> None:
        """An attempt that began at monotonic `started` ended without a verdict: who comes next may probe."""
        for key in (None, key_of(model)):
            cooldown = state.cooldowns.get(key)
            if cooldown is not None and cooldown.probing is not None and started > cooldown.opened:
                cooldown.probing = None
                if cooldown.until > self._wall():
                    cooldown.probe_at = min(cooldown.probe_at, self._clock() + self.settings.probe_interval)
                self._clear(self._probing, key, state.bit)
                self.version += 1

    def exhaust(self, state: CredentialState, until: float, reason: str) -> None:
        """A quota of `state` is used up until wall-clock `until`."""
        old = state.cooldowns.get(QUOTA)
        if (
            state.index >= 0
            and until > self._wall()
            and (old is None or old.until != until or old.reason != reason)
        ):
            since = old.since if old else self._wall()
            self._store(
                state, QUOTA, Cooldown("quota", reason, since, until, stated=True, opened=self._clock())
            )

    def replenish(self, state: CredentialState) -> None:
        """The quota of `state` has room again."""
        if QUOTA in state.cooldowns:
            self._drop(state, QUOTA)

    def reset(self, state: CredentialState) -> None:
        """A person says that `state` is well."""
        for key in list(state.cooldowns):
            self._drop(state, key)
        state.last_error = state.last_error_at = None

    def authorised(self, state: CredentialState) -> None:
        """A new token was found: what the old one was refused for is over."""
        for key, cooldown in list(state.cooldowns.items()):
            if cooldown.kind == FailureKind.AUTH:
                self._drop(state, key)

    def adopt_end(self, state: CredentialState, key: Key, at: float) -> None:
        """Another process saw at wall-clock `at` that a cooldown is over."""
        old = state.cooldowns.get(key)
        if state.index >= 0 and old is not None and old.since <= at:
            self._drop(state, key, quiet=True)

    def adopt(self, state: CredentialState, key: Key, cooldown: Cooldown) -> None:
        """What another process, or this one before a restart, knows. A later deadline is never shortened."""
        old = state.cooldowns.get(key)
        if state.index < 0:
            return
        if cooldown.until <= self._wall() or (old is not None and old.until >= cooldown.until):
            return
        clock = self._clock()
        cooldown.opened, cooldown.remote = clock, True
        if not cooldown.quota and cooldown.until - self._wall() > self.settings.probe_interval:
            cooldown.probe_at = clock + self.settings.probe_interval * (1 + self._random())
        if cooldown.kind in _EARLY and not cooldown.stated:
            cooldown.retry_at = clock + min(2.0**cooldown.level, 60.0)
        self._store(state, key, cooldown, quiet=True)

    # -- the sets

    def _store(self, state: CredentialState, key: Key, cooldown: Cooldown, *, quiet: bool = False) -> None:
        if key not in state.cooldowns and len(state.cooldowns) >= MAX_KEYS:
            soonest = min((k for k in state.cooldowns if k), key=lambda k: state.cooldowns[k].until)
            self._drop(state, soonest, quiet=quiet)
        elif key in state.cooldowns:
            # A probe that is under way goes on, whatever else became known meanwhile.
            cooldown.probing = state.cooldowns[key].probing
        state.cooldowns[key] = cooldown
        self._place(state, key)
        self.version += 1
        if not quiet:
            self._changed(state, key, cooldown)

    def _drop(self, state: CredentialState, key: Key, *, quiet: bool = False) -> None:
        del state.cooldowns[key]
        self._clear(self._cooling, key, state.bit)
        self._clear(self._probing, key, state.bit)
        self.version += 1
        if not quiet:
            self._changed(state, key, None)

    def _place(self, state: CredentialState, key: Key) -> None:
        cooldown = state.cooldowns[key]
        self._cooling[key] = self._cooling.get(key, 0) | state.bit
        heapq.heappush(self._deadlines, (cooldown.until, next(self._sequence), state, key))
        if cooldown.probing is not None:
            self._probing[key] = self._probing.get(key, 0) | state.bit
            heapq.heappush(self._probes, (cooldown.probing, next(self._sequence), state, key))

    @staticmethod
    def _clear(sets: dict[Key, int], key: Key, bit: int) -> None:
        rest = sets.get(key, 0) & ~bit
        if rest:
            sets[key] = rest
        else:
            sets.pop(key, None)

    def _advance(self) -> None:
        """Moves windows whose time has come on: cooling to half open, overdue probes to waiting."""
        deadlines, probes = self._deadlines, self._probes
        if deadlines:
            now = self._wall()
            while deadlines and deadlines[0][0] <= now:
                _, _, state, key = heapq.heappop(deadlines)
                cooldown = state.cooldowns.get(key)
                if state.index < 0 or cooldown is None or cooldown.until > now:
                    continue
                if cooldown.quota:
                    self._drop(state, key)
                else:
                    self._clear(self._cooling, key, state.bit)
                self.version += 1
        if probes:
            clock = self._clock()
            while probes and probes[0][0] <= clock:
                _, _, state, key = heapq.heappop(probes)
                cooldown = state.cooldowns.get(key)
                if (
                    state.index >= 0
                    and cooldown is not None
                    and cooldown.probing is not None
                    and cooldown.probing <= clock
                ):
                    cooldown.probing = None
                    self._clear(self._probing, key, state.bit)
                    self.version += 1
