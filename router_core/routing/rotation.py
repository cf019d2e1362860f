"""The order of a virtual model's targets, for the strategies that take turns.

    round_robin  the targets follow each other, each with as many turns as it has ready credentials, so that
                 two credentials of one provider and one of another give a1, a2, b1, a1 ...; only those whose
                 best ready credential has the highest priority take part
    weighted     smooth weighted round robin over the targets that have a ready credential, whose state
                 moves on with each pick

The targets that do not have the turn follow behind, for failover.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from cachetools import LRUCache

from router_core.routing.affinity import Binding
from router_core.routing.names import Branch, Leaf, Tree, leaves

type Standing = Callable[[Tree], tuple[int, int] | None]
"""(highest priority with a ready credential, how many are ready there) of a target; None without any."""

MAX_BRANCHES: Final = 4096


@dataclass(slots=True)
class _Turn:
    last: int = -1
    """Place among the branch's children."""
    used: int = 0
    credit: dict[int, int] = field(default_factory=dict)


class Rotation:
    def __init__(self) -> None:
        self._turns: LRUCache[tuple[str, int], _Turn] = LRUCache(MAX_BRANCHES)

    def order(
        self, branch: Branch, tier: int, usable: Sequence[Tree], standing: Standing, binding: Binding | None
    ) -> list[Tree]:
        """`usable` children of a tier in the order in which they serve the next request; takes no turn."""
        places = {id(c): i for i, c in enumerate(branch.children)}
        ready = {places[id(c)]: s for c in usable if (s := standing(c)) is not None}
        first = self._first(branch, tier, ready, binding)
        rest = [places[id(c)] for c in usable]
        if first is not None:
            at = rest.index(first)
            rest = [first, *rest[at + 1 :], *rest[:at]]
            if branch.strategy == "weighted":
                rest[1:] = sorted(rest[1:], key=lambda i: (-branch.children[i].weight, i))
            else:
                rest[1:] = sorted(rest[1:], key=lambda i: i not in ready or ready[i][0] < ready[first][0])
        return [branch.children[i] for i in rest]

    def took(self, tree: Tree, leaf: Leaf, standing: Standing, binding: Binding | None) -> None:
        """`leaf` of `tree` got the first attempt of a request: every choice on the way to it had its turn."""
        while isinstance(tree, Branch):
            place = next(i for i, c in enumerate(tree.children) if any(each is leaf for each in leaves(c)))
            child = tree.children[place]
            if tree.strategy != "fallback":
                turn = self._turns.setdefault((tree.name, child.tier), _Turn())
                ready = {
                    i: s for i, c in enumerate(tree.children) if c.tier == child.tier and (s := standing(c))
                }
                if self._bound(tree, ready, binding) != place:
                    self._advance(tree, turn, place, ready)
            tree = child

    def _first(
        self, branch: Branch, tier: int, ready: dict[int, tuple[int, int]], binding: Binding | None
    ) -> int | None:
        if not ready:
            return None
        bound = self._bound(branch, ready, binding)
        if bound is not None:
            return bound
        turn = self._turns.get((branch.name, tier), _Turn())
        if branch.strategy == "weighted":
            weights = {i: branch.children[i].weight for i in ready}
            return max(ready, key=lambda i: (weights[i] > 0, turn.credit.get(i, 0) + weights[i], -i))
        group = _best(ready)
        if turn.last in group and turn.used < ready[turn.last][1]:
            return turn.last
        return next((i for i in group if i > turn.last), group[0])

    def _advance(self, branch: Branch, turn: _Turn, place: int, ready: dict[int, tuple[int, int]]) -> None:
        if branch.strategy == "weighted":
            total = 0
            for i in ready:
                weight = branch.children[i].weight
                turn.credit[i] = turn.credit.get(i, 0) + weight
                total += weight
            turn.credit[place] = turn.credit.get(place, 0) - total
        elif place == turn.last and turn.used < ready.get(place, (0, 0))[1]:
            turn.used += 1
        else:
            turn.last, turn.used = place, 1

    @staticmethod
    def _bound(branch: Branch, ready: dict[int, tuple[int, int]], binding: Binding | None) -> int | None:
        """The child that the conversation is on, unless a higher priority is ready elsewhere."""
        if binding is None or not ready:
            return None
        candidates = _best(ready) if branch.strategy == "round_robin" else sorted(ready)
        for i in candidates:
            if any(
                f.provider.name == binding.provider and f.model == binding.model
                for f in leaves(branch.children[i])
            ):
                return i
        return None


def _best(ready: dict[int, tuple[int, int]]) -> list[int]:
    """The places whose standing has the highest priority, in order."""
    highest = max(priority for priority, _ in ready.values())
    return sorted(i for i, (priority, _) in ready.items() if priority == highest)
