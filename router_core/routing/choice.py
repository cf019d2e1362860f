"""Which credential serves a request's next attempt.

The targets are walked in the order of their strategy. In each, the highest priority tier with a ready
credential serves; one that cools in a tier without any may be due for a probe, which then goes first.
A conversation's own credential wins over rotation, and loses to cooldowns and to higher tiers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from router_core.formats import Operation
from router_core.routing.candidates import Candidates, Key
from router_core.routing.cooldown import CredentialState
from router_core.routing.scheduler import Scheduler, bits
from router_core.routing.status import why
from router_core.routing.targets import Target

FREE: Final = frozenset({Operation.COUNT_TOKENS, Operation.LIST_MODELS})
"""Operations that cost nothing: a limit on a model's generation does not hold them up."""


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
    """The next of a request's candidates."""

    def __init__(self, candidates: Candidates):
        self._all, self._live = candidates, candidates.live
        self._binding = candidates.binding
        # What costs nothing tells nothing about a limit, so it tests none.
        self._free = candidates.exchange.surface.operation in FREE
        self._turn_taken = False

    def choose(self, renewed: str | None = None) -> Choice | None:
        """The next attempt's target and credential; `renewed` is one whose token was just refreshed."""
        found = self._find(renewed, None)
        binding = self._binding
        if binding is None or (found is not None and found.state.credential.id == binding.credential_id):
            return found
        # Looking into the request is only worth its time when the conversation would move.
        held = self._all.held()
        return found if held is None else self._find(renewed, held)

    def _find(self, renewed: str | None, held: str | None) -> Choice | None:
        for target, scheduler in self._all.reachable():
            model, members = target.leaf.model, self._all.members(target, scheduler) & scheduler.only(held)
            if not members:
                continue
            if renewed is not None and members & scheduler.only(renewed):
                return Choice(target, scheduler.states[scheduler.place[renewed]], "its token was refreshed")
            ready = scheduler.ready(model, members)
            # One that cools is not probed while another of its tier is ready.
            higher = members & ~scheduler.full & (scheduler.above(ready) if ready else members)
            probe = scheduler.health.readiness.probe(model, higher) if higher and not self._free else None
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
        for target, scheduler in self._all.reachable():
            members = self._all.members(target, scheduler) & scheduler.only(held) & ~scheduler.full
            spent = members & scheduler.health.readiness.spent(target.leaf.model)
            state = scheduler.pick(target.leaf.model, spent)
            if state is not None:
                return Choice(target, state, "nothing else is ready, and its limit may have room again")
        for target, scheduler in self._all.reachable():
            members = self._all.members(target, scheduler) & scheduler.only(held) & ~scheduler.full
            if self._free:
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
                if self._free
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
        binding = self._binding
        if binding is None or binding.provider != target.leaf.provider.name:
            return None
        tier = scheduler.top(ready)
        if tier is None or not ready & tier.mask & scheduler.only(binding.credential_id):
            return None
        return scheduler.states[scheduler.place[binding.credential_id]]

    def _reason(self, state: CredentialState, scheduler: Scheduler) -> str:
        if self._binding is not None and self._binding.credential_id == state.credential.id:
            return "the conversation is on it"
        return f"priority {state.credential.config.priority}, {scheduler.strategy}"

    def took(self, choice: Choice) -> None:
        """An attempt is made of `choice`."""
        if not self._turn_taken:
            self._turn_taken = True
            self._live.rotation.took(self._all.tree, choice.target.leaf, self._all.standing, self._binding)
        self._all.tried.add(choice.key)

    def preview(self) -> list[tuple[Target, str | None, str]]:
        """(target, credential id, why) in order, without taking a turn; the first is what would be tried."""
        found: list[tuple[Target, str | None, str]] = []
        for target, scheduler in self._all.reachable():
            members = self._all.members(target, scheduler)
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
                    (target, resting.credential.id, why(resting, target.leaf.model, self._live.wall()))
                )
        return found
