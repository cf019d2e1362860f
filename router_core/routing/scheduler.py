"""Whose turn it is among one provider's credentials.

Credentials stand in one order: highest priority first, then as configured. A set of them is an integer
(see `router_core.routing.health`), a priority tier a run of neighbouring bits. Picking is: the highest
tier with a ready credential, and inside it the strategy.

    round_robin   the next ready one after the last that was picked
    weighted      smooth: each is due every 1/weight turns; the one due first is next
    fill_first    the first ready one, until it cools
    least_busy    the fewest requests under way, round robin among equals

No I/O, no clock; a pick among 10,000 credentials is a few operations on 1,250-byte integers.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import translate
from typing import Final

from cachetools import LRUCache

from router_core.credentials.model import Credential
from router_core.routing.cooldown import CredentialState, Key, bits
from router_core.routing.health import Health

MAX_MODELS: Final = 4096
"""Model names whose cursors are kept; they come from clients, so their number must have an end."""


@dataclass(frozen=True, slots=True)
class Tier:
    priority: int
    mask: int


class Turns:
    """Smooth weighted turns: earliest due first, a credential of weight w being due every 1/w."""

    def __init__(self, weights: dict[int, int]):
        # Starting half a step in spreads the first turns as evenly as the later ones.
        self._due = {place: 0.5 / weight for place, weight in weights.items()}
        self._weights = weights
        self._heap = [(due, place) for place, due in self._due.items()]
        heapq.heapify(self._heap)
        self._parked = 0
        self._now = 0.0

    def pick(self, eligible: int) -> int | None:
        """The place that is due first among the bits of `eligible`; None when it holds none of them."""
        for place in bits(self._parked & eligible):
            # What could not run does not get its missed turns back in one burst.
            self._due[place] = max(self._due[place], self._now)
            heapq.heappush(self._heap, (self._due[place], place))
            self._parked &= ~(1 << place)
        while self._heap:
            due, place = heapq.heappop(self._heap)
            if due != self._due[place] or self._parked >> place & 1:
                continue
            if not eligible >> place & 1:
                self._parked |= 1 << place
                continue
            self._now = due
            self._push(place)
            return place
        return None

    def count(self, place: int) -> None:
        """A turn that `place` had without being picked here."""
        if place in self._due:
            if self._parked >> place & 1:
                self._due[place] += 1 / self._weights[place]
            else:
                self._push(place)

    def _push(self, place: int) -> None:
        self._due[place] += 1 / self._weights[place]
        heapq.heappush(self._heap, (self._due[place], place))


class Scheduler:
    """The active credentials of one provider, in order, with their health and their turns."""

    def __init__(
        self,
        states: Iterable[CredentialState],
        strategy: str,
        health: Health,
        took: Callable[[str, Key, int, str], None] = lambda *_: None,
        previous: Scheduler | None = None,
    ):
        """`took` hears of each turn: provider, model, priority, credential id. Cursors go on from `previous`."""
        self.states = sorted(states, key=lambda s: (-s.credential.config.priority, s.credential.order))
        self.health = health
        self.strategy = strategy
        self._took = took
        self.place: dict[str, int] = {}
        self.full = 0
        """Those at their concurrency limit."""
        self.own_base = 0
        """Those with a base URL of their own."""
        self._websocket: dict[bool | None, int] = {}
        self._refused_weight = 0
        self._filters: list[tuple[int, Callable[[str], bool]]] = []
        self._prefixes: dict[str | None, int] = {}
        self._busy: dict[int, int] = {}
        self._members: LRUCache[str, int] = LRUCache(MAX_MODELS)
        self._last: LRUCache[tuple[Key, int], str] = previous._last if previous else LRUCache(MAX_MODELS)
        self._turns: LRUCache[tuple[Key, int], tuple[int, Turns]] = LRUCache(64)
        priorities: dict[int, int] = {}
        for i, state in enumerate(self.states):
            state.index, state.scheduler = i, self
            config = state.credential.config
            self.place[config.id] = i
            priorities[config.priority] = priorities.get(config.priority, 0) | 1 << i
            self._prefixes[config.prefix] = self._prefixes.get(config.prefix, 0) | 1 << i
            self._busy[state.in_flight] = self._busy.get(state.in_flight, 0) | 1 << i
            self._websocket[config.websocket] = self._websocket.get(config.websocket, 0) | 1 << i
            if config.base_url is not None:
                self.own_base |= 1 << i
            if config.weight <= 0:
                self._refused_weight |= 1 << i
            if config.concurrency is not None and state.in_flight >= config.concurrency:
                self.full |= 1 << i
            accepts = serves(state.credential)
            if accepts is not None:
                self._filters.append((i, accepts))
        self.tiers = [Tier(p, mask) for p, mask in priorities.items()]
        self.all = (1 << len(self.states)) - 1
        health.attach(self.states)

    def members(self, model: Key, prefix: str | None = None) -> int:
        """The credentials that may serve `model`: not excluded, and with `prefix` where one is asked for."""
        mask = self.all & ~self._refused_weight
        if model is not None:
            known = self._members.get(model)
            if known is None:
                known = mask
                for i, accepts in self._filters:
                    if not accepts(model):
                        known &= ~(1 << i)
                self._members[model] = known
            mask = known
        return mask if prefix is None else mask & self._prefixes.get(prefix, 0)

    def weightless(self, model: Key) -> bool:
        """Whether there are credentials that would serve `model` if their weight were not 0."""
        refused = self._refused_weight
        for i, accepts in self._filters:
            if model is not None and not accepts(model):
                refused &= ~(1 << i)
        return refused != 0

    def websocket(self, endpoint: bool) -> int:
        """Those that take WebSockets where their endpoint does (or does not) by itself."""
        return self._websocket.get(True, 0) | (self._websocket.get(None, 0) if endpoint else 0)

    def ready(self, model: Key, among: int) -> int:
        """Those of `among` that can take a request for `model` now."""
        return among & ~self.health.readiness.blocked(model) & ~self.full

    def only(self, credential_id: str | None) -> int:
        """The one with that id, or all for None."""
        if credential_id is None:
            return self.all
        place = self.place.get(credential_id)
        return 0 if place is None else 1 << place

    def above(self, mask: int) -> int:
        """All that stand in higher tiers than the highest that `mask` touches."""
        higher = 0
        for tier in self.tiers:
            if tier.mask & mask:
                break
            higher |= tier.mask
        return higher

    def top(self, mask: int) -> Tier | None:
        """The highest priority tier that `mask` touches."""
        return next((t for t in self.tiers if t.mask & mask), None)

    def pick(self, model: Key, ready: int) -> CredentialState | None:
        """Whose turn it is among `ready`, in its highest tier; the turn counts as taken."""
        tier = self.top(ready)
        if tier is None:
            return None
        state = self._choose(model, tier, ready & tier.mask)
        self._last[model, tier.priority] = state.credential.id
        self._took(state.credential.provider, model, tier.priority, state.credential.id)
        return state

    def peek(self, model: Key, ready: int) -> CredentialState | None:
        """Whose turn it would be, without taking it."""
        tier = self.top(ready)
        if tier is None:
            return None
        if self.strategy == "weighted":
            return self.states[min(bits(ready & tier.mask))]
        return self._choose(model, tier, ready & tier.mask)

    def _choose(self, model: Key, tier: Tier, ready: int) -> CredentialState:
        if self.strategy == "fill_first":
            return self.states[_first(ready)]
        if self.strategy == "weighted":
            place = self._turns_of(model, tier).pick(ready)
            if place is not None:
                return self.states[place]
        if self.strategy == "least_busy":
            ready = next(both for n in sorted(self._busy) if (both := ready & self._busy[n]))
        last = self.place.get(self._last.get((model, tier.priority), ""), -1)
        later = ready >> (last + 1) << (last + 1)
        return self.states[_first(later or ready)]

    def _turns_of(self, model: Key, tier: Tier) -> Turns:
        known = self._turns.get((model, tier.priority))
        members = self.members(model) & tier.mask
        if known is None or known[0] != members:
            known = (members, Turns({i: self.states[i].credential.config.weight for i in bits(members)}))
            self._turns[model, tier.priority] = known
        return known[1]

    def count_turn(self, model: Key, priority: int, credential_id: str) -> None:
        """Another process gave `credential_id` a turn."""
        self._last[model, priority] = credential_id
        known = self._turns.get((model, priority))
        if known is not None and credential_id in self.place:
            known[1].count(self.place[credential_id])

    def acquire(self, state: CredentialState) -> None:
        """A request of `state` is under way."""
        self._move(state, 1)

    def release(self, state: CredentialState) -> None:
        """A request of `state` ended."""
        self._move(state, -1)

    def _move(self, state: CredentialState, step: int) -> None:
        before = state.in_flight
        state.in_flight = max(0, before + step)
        if state.index < 0:
            return
        bit = state.bit
        left = self._busy.get(before, 0) & ~bit
        if left:
            self._busy[before] = left
        else:
            self._busy.pop(before, None)
        self._busy[state.in_flight] = self._busy.get(state.in_flight, 0) | bit
        limit = state.credential.config.concurrency
        if limit is not None:
            self.full = self.full | bit if state.in_flight >= limit else self.full & ~bit


def _first(mask: int) -> int:
    return (mask & -mask).bit_length() - 1


def serves(credential: Credential) -> Callable[[str], bool] | None:
    """Whether a credential's include and exclude lists let it serve a model; None when it has neither."""
    models = credential.config.models
    if not models.include and not models.exclude:
        return None
    include, exclude = _patterns(models.include), _patterns(models.exclude)
    return lambda m: (include is None or bool(include.match(m))) and not (exclude and exclude.match(m))


def _patterns(globs: tuple[str, ...]) -> re.Pattern[str] | None:
    return re.compile("|".join(translate(g) for g in globs)) if globs else None
