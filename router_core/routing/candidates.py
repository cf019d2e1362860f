"""The candidates of one request: what may serve it, and what has been tried.

The targets are walked in the order of their strategy. Those of a conversation that carries one account's state
are that account's alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from router_core.exchange import Exchange
from router_core.routing.affinity import Binding
from router_core.routing.continuity import Carried, carried
from router_core.routing.live import Live
from router_core.routing.names import Branch, Leaf, Tree, leaves
from router_core.routing.scheduler import Scheduler, bits
from router_core.routing.status import why
from router_core.routing.targets import Skipped, Target

type Key = tuple[str, str | None, str]
"""(provider, upstream model, credential id)"""


class Candidates:
    def __init__(
        self, live: Live, exchange: Exchange, tree: Tree, targets: dict[int, Target], binding: Binding | None
    ):
        """`targets` are those of the tree's leaves that can serve, by the leaf's `id`."""
        self.live, self.exchange, self.tree, self.binding = live, exchange, tree, binding
        self.tried: set[Key] = set()
        """In this round."""
        self.spent: set[Key] = set()
        """For good: they failed in a way that waiting does not mend."""
        self._targets = targets
        self._passed: set[int] = set()
        self._carried: Carried | None = None

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
                usable = self.live.rotation.order(tree, tier, usable, self.standing, self.binding)
            for child in usable:
                yield from self._walk(child)

    def reachable(self, tree: Tree | None = None) -> Iterator[tuple[Target, Scheduler]]:
        """The targets of `tree`, or of all, that have an active credential, with its provider's scheduler."""
        for target in self._walk(tree or self.tree):
            scheduler = self.live.schedulers.get(target.leaf.provider.name)
            if scheduler is not None:
                yield target, scheduler

    def standing(self, tree: Tree) -> tuple[int, int] | None:
        """(highest priority with a ready credential, how many are ready there), or None."""
        best: tuple[int, int] | None = None
        for target, scheduler in self.reachable(tree):
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
            for target, scheduler in self.reachable()
        )

    def serves_http(self) -> bool:
        """Whether a credential is ready for the same request without a WebSocket."""
        return any(
            scheduler.ready(target.leaf.model, scheduler.members(target.leaf.model, target.leaf.prefix))
            for target, scheduler in self.reachable()
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
        for target, scheduler in self.reachable():
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

    def any_ready(self) -> bool:
        """Whether one that has not had its turn could serve now."""
        only = self.held()
        return any(
            scheduler.ready(target.leaf.model, self.members(target, scheduler) & scheduler.only(only))
            for target, scheduler in self.reachable()
        )

    # -- for people

    def unready(self, most: int) -> list[Skipped]:
        """The first candidates that cannot serve now, with the reason."""
        found: list[Skipped] = []
        now = self.live.wall()
        for target, scheduler in self.reachable():
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
        return sum(s.members(t.leaf.model, t.leaf.prefix).bit_count() for t, s in self.reachable())
