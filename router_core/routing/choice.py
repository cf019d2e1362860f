"""Which credential serves a request's next attempt.

The targets are walked in the order of their strategy. In each, the highest priority tier with a ready
credential serves; one that cools in a tier without any may be due for a probe, which then goes first.
A conversation's own credential wins over rotation, and loses to cooldowns and to higher tiers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from router_core.exchange import Exchange
from router_core.formats import Operation
from router_core.routing.affinity import Binding
from router_core.routing.continuity import Carried, carried
from router_core.routing.cooldown import CredentialState
from router_core.routing.live import Live
from router_core.routing.names import Branch, Leaf, Tree, leaves
from router_core.routing.scheduler import Scheduler, bits
from router_core.routing.status import why
from router_core.routing.targets import Skipped, Target

FREE: Final = frozenset({Operation.COUNT_TOKENS, Operation.LIST_MODELS})
"""Operations that cost nothing: a limit on a model's generation does not hold them up."""

type Key = tuple[str, str | None, str]
"""(provider, upstream model, credential id)"""


@dataclass(frozen=True, slots=True)
class Choice:
    target: Target
    state: CredentialState
    reason: str
    ends_cooldown: bool = True
    """Whether its success would end a cooldown; not so for what is asked in spite of one."""

    @property
    def key(self) -> Key:
        return self.target.leaf.provider.name, self.target.leaf.model, self.state.credential.id


class Chooser:
    """The candidates of one request: what there is, and what has been tried."""

    def __init__(
        self, live: Live, exchange: Exchange, tree: Tree, targets: dict[int, Target], binding: Binding | None
    ):
        self.live, self.exchange, self.tree, self.binding = live, exchange, tree, binding
        self.tried: set[Key] = set()
        """In this round."""
        self.spent: set[Key] = set()
        """For good: they failed in a way that waiting does not mend."""
        self._targets = targets
        self._passed: set[int] = set()
        self._carried: Carried | None = None
        self._turn_taken = False

    # -- the order of targets

    def targets(self) -> Iterator[Target]:
        """In the order of now, which taking a turn may change."""
        yield from self._walk(self.tree)

    def pass_over(self, leaf: Leaf) -> None:
        """The request cannot be expressed for `leaf`."""
        self._passed.add(id(leaf))

    def _walk(self, tree: Tree) -> Iterator[Target]:
        if isinstance(tree, Leaf):
            target = self._targets.get(id(tree))
            if target is not None and id(tree) not in self._passed:
                yield target
            return
        for tier, children in tree.tiers():
            usable = [c for c in children if any(id(leaf) in self._targets for leaf in leaves(c))]
            if tree.strategy != "fallback" and len(usable) > 1:
                usable = self.live.rotation.order(tree, tier, usable, self._standing, self.binding)
            for child in usable:
                yield from self._walk(child)

    def _reachable(self, tree: Tree | None = None) -> Iterator[tuple[Target, Scheduler]]:
        for target in self._walk(tree or self.tree):
            scheduler = self.live.schedulers.get(target.leaf.provider.name)
            if scheduler is not None:
                yield target, scheduler

    def _standing(self, tree: Tree) -> tuple[int, int] | None:
        """(highest priority with a ready credential, how many are ready there), or None."""
        best: tuple[int, int] | None = None
        for target, scheduler in self._reachable(tree):
            ready = scheduler.ready(target.leaf.model, self.members(target, scheduler))
            tier = scheduler.top(ready)
            if tier is None:
                continue
            count = (ready & tier.mask).bit_count()
            if isinstance(tree, Branch) and tree.strategy == "fallback":
                return tier.priority, count
            if best is None or tier.priority > best[0]:
                best = (tier.priority, count)
            elif tier.priority == best[0]:
                best = (best[0], best[1] + count)
        return best

    def members(self, target: Target, scheduler: Scheduler) -> int:
        """The credentials of `target` that may still be used in this round."""
        leaf = target.leaf
        mask = scheduler.members(leaf.model, leaf.prefix)
        if self.exchange.websocket:
            mask &= scheduler.websocket(target.endpoint.websocket)
        for provider, model, credential_id in self.tried:
            if provider == leaf.provider.name and model == leaf.model and credential_id in scheduler.place:
                mask &= ~scheduler.only(credential_id)
        if self.live.breakers.wait((target.endpoint.base_url, leaf.model)) > 0:
            mask &= scheduler.own_base
        return mask

    # -- the next one

    def choose(self, renewed: str | None = None) -> Choice | None:
        """The next attempt's target and credential; `renewed` is one whose token was just refreshed."""
        found = self._find(renewed, None)
        binding = self.binding
        if binding is None or (found is not None and found.state.credential.id == binding.credential_id):
            return found
        # Looking into the request is only worth its time when the conversation would move.
        held = self.held()
        return found if held is None else self._find(renewed, held)

    def _find(self, renewed: str | None, held: str | None) -> Choice | None:
        # What costs nothing tells nothing about a limit, so it tests none.
        free = self.exchange.surface.operation in FREE
        for target, scheduler in self._reachable():
            model, members = target.leaf.model, self.members(target, scheduler) & scheduler.only(held)
            if not members:
                continue
            if renewed is not None and members & scheduler.only(renewed):
                return Choice(target, scheduler.states[scheduler.place[renewed]], "its token was refreshed")
            ready = scheduler.ready(model, members)
            # One that cools is not probed while another of its tier is ready.
            higher = members & ~scheduler.full & (scheduler.above(ready) if ready else members)
            probe = scheduler.health.readiness.probe(model, higher) if higher and not free else None
            if probe is not None:
                return Choice(target, probe, "tests whether its cooldown can end")
            if ready:
                state = self._bound(target, scheduler, ready) or scheduler.pick(model, ready)
                assert state is not None
                return Choice(target, state, self._reason(state, scheduler))
        return self._last_resort(held)

    def _last_resort(self, held: str | None) -> Choice | None:
        """Nothing is ready: limits may have room again, what costs nothing goes on, and servers that failed
        moments ago may be tested."""
        for target, scheduler in self._reachable():
            members = self.members(target, scheduler) & scheduler.only(held) & ~scheduler.full
            spent = members & scheduler.health.readiness.spent(target.leaf.model)
            state = scheduler.pick(target.leaf.model, spent)
            if state is not None:
                return Choice(target, state, "nothing else is ready, and its limit may have room again")
        for target, scheduler in self._reachable():
            members = self.members(target, scheduler) & scheduler.only(held) & ~scheduler.full
            free = self.exchange.surface.operation in FREE
            if free:
                members &= ~scheduler.health.readiness.refused()
                state = scheduler.pick(target.leaf.model, members)
                if state is not None:
                    return Choice(
                        target,
                        state,
                        "it costs nothing, so a cooldown does not hold it up",
                        ends_cooldown=False,
                    )
            probe = (
                None
                if free
                else scheduler.health.readiness.probe(target.leaf.model, members, last_resort=True)
            )
            if probe is not None:
                return Choice(target, probe, "nothing else is ready: tests whether its cooldown can end")
            # That it has no such model is an answer, and costs nothing; nobody has a better one.
            state = scheduler.pick(
                target.leaf.model, members & scheduler.health.readiness.unsuited(target.leaf.model)
            )
            if state is not None:
                return Choice(
                    target,
                    state,
                    "nothing else is left, though it seemed not to have the model",
                    ends_cooldown=False,
                )
        return None

    def _bound(self, target: Target, scheduler: Scheduler, ready: int) -> CredentialState | None:
        """The conversation's credential, when it is in the tier that serves now."""
        binding = self.binding
        if binding is None or binding.provider != target.leaf.provider.name:
            return None
        tier = scheduler.top(ready)
        if tier is None or not ready & tier.mask & scheduler.only(binding.credential_id):
            return None
        return scheduler.states[scheduler.place[binding.credential_id]]

    def _reason(self, state: CredentialState, scheduler: Scheduler) -> str:
        if self.binding is not None and self.binding.credential_id == state.credential.id:
            return "the conversation is on it"
        return f"priority {state.credential.config.priority}, {scheduler.strategy}"

    def took(self, choice: Choice) -> None:
        """An attempt is made of `choice`."""
        if not self._turn_taken:
            self._turn_taken = True
            self.live.rotation.took(self.tree, choice.target.leaf, self._standing, self.binding)
        self.tried.add(choice.key)

    # -- state that the conversation carries

    def held(self) -> str | None:
        """The only credential that may serve: the request carries state that nobody else can read."""
        binding = self.binding
        if binding is None or binding.credential_id not in self.live.credentials:
            return None
        state = self.carried()
        if state.fixed:
            return binding.credential_id
        # Leaving in the middle of a turn costs its thinking: only a failure is worth that.
        if state.kinds and state.open_turn and self._serves_now(binding):
            return binding.credential_id
        return None

    def moves(self, credential_id: str) -> bool:
        """Whether the conversation comes to `credential_id` from another account, whose state it carries."""
        binding = self.binding
        return binding is not None and binding.credential_id != credential_id and bool(self.carried().kinds)

    def carried(self) -> Carried:
        if self._carried is None:
            self._carried = carried(self.exchange.document, self.exchange.surface.format)
        return self._carried

    def _serves_now(self, binding: Binding) -> bool:
        return any(
            target.leaf.provider.name == binding.provider
            and scheduler.ready(target.leaf.model, self.members(target, scheduler))
            & scheduler.only(binding.credential_id)
            for target, scheduler in self._reachable()
        )

    def serves_http(self) -> bool:
        """Whether a credential is ready for the same request without a WebSocket."""
        return any(
            scheduler.ready(target.leaf.model, scheduler.members(target.leaf.model, target.leaf.prefix))
            for target, scheduler in self._reachable()
        )

    # -- rounds

    def new_round(self) -> None:
        """Each credential has its turn again, but for those that are spent."""
        self.tried = set(self.spent)

    def wait(self, *, last_resort: bool = False) -> float:
        """Seconds until one of the targets may be ready for another round; inf for never.

        `last_resort` counts servers that may be tested before their cooldown is over.
        """
        tried, self.tried = self.tried, set(self.spent)
        shortest, held = math.inf, self.held()
        for target, scheduler in self._reachable():
            model, only = target.leaf.model, scheduler.only(held)
            members = self.members(target, scheduler) & only
            if not members:
                everyone = scheduler.members(model, target.leaf.prefix) & only
                opens = self.live.breakers.wait((target.endpoint.base_url, model)) if everyone else 0.0
                shortest = min(shortest, 1.0 if opens == math.inf else opens or math.inf)
                continue
            # A place under a concurrency limit may come free at any time, of which pausing plans are told.
            full = members & scheduler.full & ~scheduler.health.readiness.blocked(model)
            resting = members & ~scheduler.full
            wait = (
                scheduler.health.readiness.wait(model, resting, last_resort=last_resort)
                if resting
                else math.inf
            )
            shortest = min(shortest, 1.0 if full else math.inf, wait)
        self.tried = tried
        return shortest

    # -- for people

    def preview(self) -> list[tuple[Target, str | None, str]]:
        """(target, credential id, why) in order, without taking a turn; the first is what would be tried."""
        found: list[tuple[Target, str | None, str]] = []
        for target, scheduler in self._reachable():
            members = self.members(target, scheduler)
            ready = scheduler.ready(target.leaf.model, members)
            state = self._bound(target, scheduler, ready) or scheduler.peek(target.leaf.model, ready)
            first = [state.index] if state is not None else []
            for i in [*first, *(i for i in bits(ready) if i not in first)]:
                found.append(
                    (target, scheduler.states[i].credential.id, self._reason(scheduler.states[i], scheduler))
                )
            for i in bits(members & ~ready):
                resting = scheduler.states[i]
                found.append(
                    (target, resting.credential.id, why(resting, target.leaf.model, self.live.wall()))
                )
        return found

    def unready(self, most: int) -> list[Skipped]:
        """The first candidates that cannot serve now, with the reason."""
        found: list[Skipped] = []
        now = self.live.wall()
        for target, scheduler in self._reachable():
            model = target.leaf.model
            for i in bits(
                scheduler.members(model, target.leaf.prefix) & ~scheduler.ready(model, scheduler.all)
            ):
                if len(found) == most:
                    return found
                state = scheduler.states[i]
                found.append(Skipped(f"{target.name} [{state.credential.id}]", why(state, model, now)))
        return found

    def count(self) -> int:
        """How many candidates there are, ready or not."""
        return sum(s.members(t.leaf.model, t.leaf.prefix).bit_count() for t, s in self._reachable())
