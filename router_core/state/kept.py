"""How Redis keeps each kind of change, and how it is read back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final

import orjson

from router_core.state import scripts
from router_core.state.places import key_of
from router_core.state.store import Change, ChangeKind

KINDS: Final[tuple[ChangeKind, ...]] = ("switch", "cooldown", "circuit", "count", "windows", "binding")
"""What is kept, in the order in which a process that joins reads it."""
HASHES: Final[frozenset[ChangeKind]] = frozenset({"cooldown", "circuit", "count"})
"""Kept as hashes, the others as plain values."""
SWITCH_LIFE: Final = 365 * 86400
"""Seconds that Redis keeps what was decided by hand, after nobody has asked for it."""


class Kept:
    def __init__(self, redis: Any, origin: str, binding_life: float, wall: Callable[[], float]):
        """`origin` tells this process apart; `binding_life` is in seconds."""
        self._origin, self._binding_life, self._wall = origin, binding_life, wall
        self._period = redis.register_script(scripts.PERIOD)
        self._value = redis.register_script(scripts.VALUE)
        self._latest = redis.register_script(scripts.LATEST)
        self._count = redis.register_script(scripts.COUNT)
        self._tell = redis.register_script(scripts.TELL)

    async def add(self, pipe: Any, change: Change) -> None:
        """Queues what puts `change` into Redis and tells the others."""
        stream, message = key_of("changes"), orjson.dumps(change)
        kind, name, value = change.kind, change.name, change.value
        match kind:
            case "cooldown" | "circuit":
                at, until = value.get("over", value.get("since")), value["until"]
                args = [
                    orjson.dumps(change.key),
                    orjson.dumps(value),
                    at,
                    until,
                    self._ttl(until),
                    self._origin,
                    message,
                ]
                await self._period(keys=[key_of(kind, name), stream], args=args, client=pipe)
            case "drop":
                await pipe.delete(key_of("cooldown", name), key_of("windows", name))
            case "windows":
                until = max((w["reset"] or 0 for w in value["windows"].values()), default=value["at"])
                args = [orjson.dumps(value), value["at"], self._ttl(until), self._origin, message]
                await self._latest(keys=[key_of("windows", name), stream], args=args, client=pipe)
            case "binding":
                args = [orjson.dumps(value), int(self._binding_life * 1000), self._origin, message]
                await self._value(keys=[key_of("binding", name), stream], args=args, client=pipe)
            case "count":
                ttl = self._ttl(value["end"])
                args = [value["start"], value["end"], *value["add"], ttl, self._origin, name, change.key]
                await self._count(keys=[key_of("count", name, change.key), stream], args=args, client=pipe)
            case "switch":
                args = [orjson.dumps(value), value["at"], SWITCH_LIFE * 1000, self._origin, message]
                await self._latest(keys=[key_of("switch", name), stream], args=args, client=pipe)
            case "turn":
                await self._tell(keys=[stream], args=[self._origin, message], client=pipe)

    def _ttl(self, until: float) -> int:
        """Milliseconds, with a minute over for clocks that differ."""
        return max(1000, int((until - self._wall() + 60) * 1000))


def stored(kind: ChangeKind, key: str, value: Any) -> Iterable[Change]:
    """The changes that a stored value stands for; none for one that means nothing."""
    name = key.removeprefix(key_of(kind, ""))
    with suppress(orjson.JSONDecodeError, KeyError, ValueError):
        if kind in ("cooldown", "circuit"):
            return [Change(kind, name, orjson.loads(v), orjson.loads(f)) for f, v in value.items()]
        if kind == "count" and value:
            name, _, limit = name.rpartition(":")
            figures = {k.decode(): float(v) for k, v in value.items()}
            return [Change("count", name, figures, limit)]
        if value and kind in ("windows", "binding", "switch"):
            return [Change(kind, name, orjson.loads(value))]
    return []
