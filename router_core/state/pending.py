"""Changes that are to be pushed to other processes: the last of each fact, in the order in which they were made."""

from __future__ import annotations

from typing import Final

import orjson

from router_core.state.store import Change

MAX_PENDING: Final = 20_000
MAX_TURNS: Final = 500

type _Slot = tuple[str, str, str]


class Pending:
    def __init__(self) -> None:
        self._changes: dict[_Slot, Change] = {}
        self._leaving: set[_Slot] = set()
        """Of what is on its way."""

    def add(self, change: Change) -> None:
        slot = _slot(change)
        old = self._changes.pop(slot, None)
        if old is not None and change.kind == "count":
            change = _sum(old, change)
        elif old is not None and change.kind == "turn":
            change = Change("turn", change.name, [*old.value, *change.value][-MAX_TURNS:], change.key)
        elif len(self._changes) >= MAX_PENDING:
            # The oldest goes: what it said is known here, and laid over the others' when Redis is back.
            del self._changes[next(iter(self._changes))]
        self._changes[slot] = change

    def add_below(self, change: Change) -> None:
        """A change that is older than any to the same fact that waits already."""
        self._changes.setdefault(_slot(change), change)

    def take(self) -> list[Change]:
        """All of it, which is on its way until `sent` says how much has arrived."""
        taken = list(self._changes.values())
        self._leaving = set(self._changes)
        self._changes.clear()
        return taken

    def sent(self, rest: list[Change]) -> None:
        """Everything arrived but `rest`, which waits on, below what has changed since."""
        self._leaving = set()
        newer, self._changes = self._changes, {}
        for change in (*rest, *newer.values()):
            self.add(change)

    def overrules(self, change: Change) -> bool:
        """Whether what others know is older than what waits here."""
        if change.kind == "binding" and self._holds(_slot(change)):
            return True
        # What was learned before the credential left.
        return change.kind in ("cooldown", "windows") and self._holds(("drop", change.name, "null"))

    def _holds(self, slot: _Slot) -> bool:
        return slot in self._changes or slot in self._leaving

    def with_own_part(self, change: Change) -> Change:
        """A shared sum with what waits here and is not in it yet."""
        own = self._changes.get(_slot(change)) if change.kind == "count" else None
        if own is None or own.value["end"] != change.value["end"]:
            return change
        value = dict(change.value)
        value["tokens"] += own.value["add"][0]
        value["requests"] += own.value["add"][1]
        return Change("count", change.name, value, change.key)


def _slot(change: Change) -> _Slot:
    return change.kind, change.name, orjson.dumps(change.key).decode()


def _sum(old: Change, new: Change) -> Change:
    """Two additions to one count; those to a window that is over are void."""
    if old.value["end"] != new.value["end"]:
        return new
    add = [a + b for a, b in zip(old.value["add"], new.value["add"], strict=True)]
    return Change("count", new.name, {**new.value, "add": add}, new.key)
