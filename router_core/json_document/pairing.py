"""What of one JSON value another one still holds, told by identity: an edit shares what it does not change."""

from __future__ import annotations

from typing import Final

from router_core.json_document.scanner import GONE
from router_core.json_document.text import Json

_WINDOW: Final = 16
"""Items of the list before that are looked at for the one that a new item was made from."""


def changing_head(names: list[str], old: dict[str, Json], new: dict[str, Json]) -> int:
    """How many of the first keys must be scanned: down to the last one that changes.

    The keys behind them have to stand in `new` in one unchanged run with only new keys after it; where they
    do not, all must be scanned.
    """
    head = 1 + max((i for i, name in enumerate(names) if new.get(name, GONE) is not old[name]), default=-1)
    tail, order = names[head:], list(new)
    if not tail:
        return head
    first = order.index(tail[0])
    behind = first + len(tail)
    if order[first:behind] != tail or any(name in old for name in order[behind:]):
        return len(names)
    return head


def same_container(old: Json, new: Json) -> bool:
    return (isinstance(old, dict) and isinstance(new, dict)) or (
        isinstance(old, list) and isinstance(new, list)
    )


def pair(old: list[Json], new: list[Json], head: int, shared: int) -> dict[int, int]:
    """Which item of `old` each item of `new` is, or was made from: {index in new: index in old}.

    Only of the items behind the first `head` and before the last `shared`.
    """
    ours, theirs = range(head, len(old) - shared), range(head, len(new) - shared)
    where = {id(old[i]): i for i in ours if trackable(old[i])}
    pairs = {j: where[id(new[j])] for j in theirs if id(new[j]) in where}
    taken = set(pairs.values())
    loose_old = [i for i in ours if i not in taken]
    loose_new = [j for j in theirs if j not in pairs]
    if len(loose_old) == len(loose_new):
        return pairs | dict(zip(loose_new, loose_old, strict=True))
    for j in loose_new:
        for i in loose_old[:_WINDOW]:
            if _related(old[i], new[j]):
                pairs[j] = i
                loose_old.remove(i)
                break
    return pairs


def _related(old: Json, new: Json) -> bool:
    if isinstance(old, dict) and isinstance(new, dict):
        return not {id(v) for v in old.values() if trackable(v)}.isdisjoint(map(id, new.values()))
    if isinstance(old, list) and isinstance(new, list):
        return not {id(v) for v in old if trackable(v)}.isdisjoint(map(id, new))
    return False


def trackable(value: Json) -> bool:
    """Whether the value's identity says where it came from: not so for what Python keeps only once."""
    match value:
        case dict() | list() | float():
            return True
        case str():
            return len(value) > 1
        case bool() | None:
            return False
        case _:
            return not -5 <= value <= 256
