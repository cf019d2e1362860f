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

No I/O and no clock of its own. Deadlines are wall-clock seconds, because providers name them so and they
go to disk and to other processes; probe times are monotonic, so that a wrong wall clock heals itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from router_core.config.schema import Routing
from router_core.routing.cooldown import QUOTA, Cooldown, CredentialState, Key, Limit, Over, Probe, key_of
from router_core.routing.failure_table import BACKOFF_LIMIT
from router_core.routing.failures import Failure
from router_core.routing.readiness import Readiness
from router_core.routing.resets import MAX_AHEAD
from router_core.verdict import FailureKind

MAX_KEYS: Final = 256
"""Cooldowns per credential; model names come from clients, so their number must have an end."""

PROBE_PATIENCE: Final = 15.0
"""Seconds after which a probe that has not begun to answer no longer keeps others waiting."""

PROBE_RECHECK: Final = 0.5
"""Seconds after which a probe of another process is looked for again."""

NEWS_TRAVELS: Final = 2.0
"""Seconds after which every process has heard of a cooldown, unless what carries the news is down."""

MAX_JITTER: Final = 2.0
_EARLY: Final = frozenset({FailureKind.TRANSIENT, FailureKind.CAPACITY})


class Health:
    """The cooldowns of one provider's credentials."""

    def __init__(
        self,
        settings: Routing,
        *,
        clock: Callable[[], float],
        wall: Callable[[], float],
        random: Callable[[], float],
        changed: Callable[[CredentialState, Key, Cooldown | Over], None] = lambda *_: None,
    ):
        self.settings = settings
        self._clock, self._wall, self._random, self._changed = clock, wall, random, changed
        self.readiness = Readiness(clock, wall, self._drop)

    def attach(self, states: list[CredentialState]) -> None:
        """Starts over with `states`, whose places are their indexes, and the cooldowns that they carry."""
        latest = self._wall() + self.settings.max_cooldown
        for state in states:
            for cooldown in state.cooldowns.values():
                if not cooldown.stated and not cooldown.quota:
                    # The limit may be another one than when it began.
                    cooldown.until = min(cooldown.until, latest)
        self.readiness.attach(states)

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
        self.readiness.hold(state, key)

    def defer(self, state: CredentialState, probe: Probe) -> None:
        """Another process has this probe: it is looked for again a moment later."""
        cooldown = state.cooldowns.get(probe.key)
        if state.index < 0 or cooldown is None:
            return
        if probe.early:
            cooldown.probe_at = self._clock() + self.settings.probe_interval / 10
            self.readiness.version += 1
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
        cooldown.probe_at = clock + self._first_probe(until - now)
        if failure.kind in _EARLY and failure.reset is None:
            cooldown.retry_at = clock + min(2.0**level, 60.0)
        self.release(state, model, started)
        self._store(state, key, cooldown)
        return until

    def _first_probe(self, length: float) -> float:
        """Seconds from the beginning of a cooldown to its first probe.

        For a short one that is behind its end, by a clock that nobody sets: should the wall clock be put back
        meanwhile, it ends all the same.
        """
        return min(self.settings.probe_interval, length + 1)

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
        state.last_success_at = now = self._wall()
        began = now - (self._clock() - started)
        if key_of(model) not in state.served and len(state.served) >= MAX_KEYS:
            del state.served[min((k for k in state.served if k is not None), key=lambda k: state.served[k])]
        for key in (None, key_of(model)):
            state.served[key] = max(began, state.served.get(key, 0.0))
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
                self.readiness.resume(state, key)

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
        for model in list(state.spent):
            self.spend(state, model, None)
        state.last_error = state.last_error_at = None

    def authorised(self, state: CredentialState) -> None:
        """A new token was found: what the old one was refused for is over."""
        for key, cooldown in list(state.cooldowns.items()):
            if cooldown.kind == FailureKind.AUTH:
                self._drop(state, key)

    def adopt_end(self, state: CredentialState, key: Key, over: Over) -> None:
        """Another process saw that a cooldown is over."""
        old, known = state.cooldowns.get(key), state.over.get(key)
        if state.index < 0 or (known is not None and known.at >= over.at):
            return
        if old is None:
            self._remember(state, key, over)
        elif old.since <= over.at:
            self._drop(state, key, over)

    def adopt(self, state: CredentialState, key: Key, cooldown: Cooldown) -> None:
        """What another process, or this one before a restart, knows. A later deadline is never shortened, and
        what is over does not come back."""
        old, over = state.cooldowns.get(key), state.over.get(key)
        if state.index < 0 or (over is not None and cooldown.since <= over.at):
            return
        now = self._wall()
        served = state.served.get(key, 0.0)
        if old is None and not cooldown.quota and served > cooldown.since + NEWS_TRAVELS:
            # The road was clear when nobody could tell us that it was not.
            ended = Over(served, cooldown.until)
            self._remember(state, key, ended)
            self._changed(state, key, ended)
            return
        if not cooldown.stated and not cooldown.quota:
            cooldown.until = min(cooldown.until, now + self.settings.max_cooldown)
        if not now < cooldown.until <= now + MAX_AHEAD or (old is not None and old.until >= cooldown.until):
            return
        clock = self._clock()
        cooldown.opened, cooldown.remote = clock, True
        if not cooldown.quota:
            cooldown.probe_at = clock + self._first_probe(cooldown.until - now) * (1 + self._random())
        if cooldown.kind in _EARLY and not cooldown.stated:
            cooldown.retry_at = clock + min(2.0**cooldown.level, 60.0)
        self._store(state, key, cooldown, quiet=True)

    def spend(self, state: CredentialState, model: str, limit: Limit | None) -> None:
        """A limit of `model` seems to be used up on `state`, or with None not any more.

        Others go first then. It is no cooldown: such limits fill up again all the time, so that a request
        that finds nobody else may well be served.
        """
        known = state.spent.get(model)
        if state.index < 0 or limit == known or (limit is not None and limit.until <= self._wall()):
            return
        if limit is not None:
            state.spent[model] = limit
            self.readiness.place_limit(state, model)
        else:
            del state.spent[model]
            self.readiness.lift_limit(state, model)

    # -- the records

    def _store(self, state: CredentialState, key: Key, cooldown: Cooldown, *, quiet: bool = False) -> None:
        if key not in state.cooldowns and len(state.cooldowns) >= MAX_KEYS:
            models = (k for k in state.cooldowns if k and k != QUOTA)
            forgotten = min(models, key=lambda k: state.cooldowns[k].until)
            self._drop(
                state, forgotten, Over(self._wall(), state.cooldowns[forgotten].until) if quiet else None
            )
        elif key in state.cooldowns:
            # A probe that is under way goes on, whatever else became known meanwhile.
            cooldown.probing = state.cooldowns[key].probing
        state.cooldowns[key] = cooldown
        state.over.pop(key, None)
        self.readiness.place(state, key)
        if not quiet:
            self._changed(state, key, cooldown)

    def _drop(self, state: CredentialState, key: Key, heard: Over | None = None) -> None:
        """A cooldown is over; `heard` is what another process told of it."""
        cooldown = state.cooldowns.pop(key)
        over = heard or Over(self._wall(), cooldown.until)
        self._remember(state, key, over)
        self.readiness.lift(state, key)
        if heard is None:
            self._changed(state, key, over)

    def _remember(self, state: CredentialState, key: Key, over: Over) -> None:
        if key not in state.over and len(state.over) >= MAX_KEYS:
            del state.over[min(state.over, key=lambda k: state.over[k].at)]
        state.over[key] = over
