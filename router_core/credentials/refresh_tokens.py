"""Refresh tokens are spent once, whoever has a copy of them.

A provider that replaces them at each use takes a second use of the same one for theft, and ends the login.
So credentials with copies of one refresh token take turns at it, and what one of them was granted goes to all
in its process. Processes that share a folder take turns by file locks there, those that share a store by its
locks; either way it is remembered for a month which tokens were replaced.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Final, Protocol
from weakref import WeakSet, WeakValueDictionary

from cachetools import LRUCache

from router_core.credentials import files
from router_core.credentials.oauth import Grant, Granted
from router_core.credentials.sources import fingerprint
from router_core.ownership import private_folder
from router_core.state.store import Alone

LOCK_LIFE: Final = 45.0
OTHERS_PATIENCE: Final = 50.0
"""Seconds to wait for another one's refresh, which cannot take longer than `LOCK_LIFE`."""
POLL: Final = 0.5
SPENT_LIFE: Final = 30 * 86400.0
"""Seconds for which it is known that a refresh token was replaced by another one."""

MAX_SPENT: Final = 4096
"""The same where no folder keeps it."""


class Shared(Protocol):
    """What processes know of each other's refreshes; see `router_core.state.store`."""

    def lock(self, name: str, ttl: float) -> AbstractAsyncContextManager[bool]:
        """Held in one process at a time; the value is False when another holds it."""

    async def mark(self, name: str, life: float) -> None: ...

    async def marked(self, name: str) -> bool: ...


class Holder(Protocol):
    """A credential with a refresh token."""

    async def take(self, grant: Grant, granted: Granted) -> None:
        """What was granted for `grant`, for those that hold a copy of it."""


class RefreshTokens:
    """Those of one process."""

    def __init__(self, folder: Path | None = None):
        """`folder` is where processes on this machine meet; None for a process by itself. No token gets there,
        only what tells it apart."""
        self.shared: Shared = Alone()
        self._folder = folder
        self._spent: LRUCache[str, bool] = LRUCache(MAX_SPENT)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._holders: WeakSet[Holder] = WeakSet()

    def join(self, holder: Holder) -> None:
        self._holders.add(holder)

    @asynccontextmanager
    async def turn(self, grant: Grant) -> AsyncIterator[bool]:
        """Held by one credential of one process at a time; False when another does not come to an end."""
        name = _name(grant)
        end = time.monotonic() + OTHERS_PATIENCE
        # A dictionary of weak values: the lock lives as long as somebody holds it or waits for it.
        here = self._turns.setdefault(name, asyncio.Lock())
        async with here, self._in_folder(name) as mine:
            while mine:
                async with self.shared.lock(f"refresh:{name}", LOCK_LIFE) as mine_too:
                    if mine_too:
                        yield True
                        return
                if time.monotonic() > end:
                    break
                await asyncio.sleep(POLL)
            yield False

    @asynccontextmanager
    async def _in_folder(self, name: str) -> AsyncIterator[bool]:
        if self._folder is None:
            yield True
            return
        async with files.locked(self._folder / name, OTHERS_PATIENCE) as mine:
            yield mine

    async def is_spent(self, grant: Grant) -> bool:
        """Whether the refresh token was replaced by another one. Asked in its turn."""
        name = _name(grant)
        if name in self._spent:
            return True
        if self._folder is not None and await asyncio.to_thread((self._folder / name).exists):
            return True
        return await self.shared.marked(f"spent:{name}")

    async def replaced(self, grant: Grant, granted: Granted, holder: Holder) -> None:
        """`holder` was granted another refresh token. Told in its turn."""
        name = _name(grant)
        self._spent[name] = True
        if self._folder is not None:
            await asyncio.to_thread(_remember, self._folder, name)
        await self.shared.mark(f"spent:{name}", SPENT_LIFE)
        for other in list(self._holders):
            if other is not holder:
                await other.take(grant, granted)


def _name(grant: Grant) -> str:
    """Tells a refresh token apart, and nothing about it."""
    return fingerprint(grant.token_url, grant.refresh_token)


def _remember(folder: Path, name: str) -> None:
    """Marks a name, and forgets those that were marked a month ago. What cannot be written is not remembered."""
    with suppress(OSError):
        private_folder(folder)
        (folder / name).touch(mode=0o600)
        for file in folder.iterdir():
            if not file.name.startswith(".") and time.time() - file.stat().st_mtime > SPENT_LIFE:
                file.unlink()
                (folder / f".{file.name}.lock").unlink(missing_ok=True)
