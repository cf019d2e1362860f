"""Where copies of the live routing state are kept, behind one interface.

The router works on its own memory. A store hears of every change, hands back what it knows when it starts,
and, where several processes share it, what the others change.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

type ChangeKind = Literal["cooldown", "drop", "binding", "windows", "count", "turn", "switch", "circuit"]


@dataclass(frozen=True, slots=True)
class Change:
    """One fact about the routing state. Values are plain JSON.

    ============  =====================  ======================  =========================================
    kind          name                   key                     value
    ============  =====================  ======================  =========================================
    cooldown      credential id          model or None           `cooldown_record`, or `over_record`
    drop          credential id          -                       - (the credential is no longer active)
    binding       digest of the session  -                       `binding_record`
    windows       credential id          -                       ``windows``: name to `window_record`; ``at``: when
    count         ``credential:ID`` ...  window of the limit     ``start end tokens requests``, ``add``
    turn          provider               [model, priority]       credential ids, in turn
    switch        credential id          -                       ``off``: taken out of use by hand; ``at``: when
    circuit       base URL               model or None           ``since until``: left alone; or `over_record`
    ============  =====================  ======================  =========================================
    """

    kind: ChangeKind
    name: str
    value: Any = None
    key: Any = None


class Owner(Protocol):
    """Whose state it is: the router."""

    def snapshot(self) -> list[Change]:
        """All of it."""

    def adopt(self, changes: Iterable[Change]) -> None:
        """Takes over what is news. Unknown names and malformed values are ignored."""


class Store(Protocol):
    @property
    def shared(self) -> bool:
        """Whether other processes work on the same state."""

    async def start(self, owner: Owner) -> None:
        """Hands what is kept to `owner`. Never raises for a store that cannot be reached or read."""

    async def keep(self) -> None:
        """Keeps what is to be kept, for the next process."""

    async def close(self, *, keep: bool = True) -> None:
        """Ends; without `keep` another process keeps the state by now."""

    def changed(self, change: Change) -> None:
        """Hears of a change. Returns at once."""

    async def lease(self, name: str, limit: int, life: float | None = None) -> object:
        """A place among `limit` in all processes; False when there is none, None when nobody can tell.

        It is held until it is given back, or for `life` seconds at most.
        """

    def give_back(self, lease: object) -> None:
        """Ends a lease. Returns at once."""

    def lock(self, name: str, ttl: float) -> AbstractAsyncContextManager[bool]:
        """Held in one process at a time, for `ttl` seconds at most; the value is False when another holds it."""

    async def mark(self, name: str, life: float) -> None:
        """Lets all processes know `name` for `life` seconds."""

    async def marked(self, name: str) -> bool:
        """Whether `name` is known; False also where nobody can tell."""


class Alone:
    """For a process that shares nothing but perhaps its files."""

    @asynccontextmanager
    async def lock(self, name: str, ttl: float) -> AsyncIterator[bool]:
        yield True

    async def mark(self, name: str, life: float) -> None:
        pass

    async def marked(self, name: str) -> bool:
        return False
