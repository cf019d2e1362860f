"""What the admin pages and the API look at and act on: the running core and what was set up beside it."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from typing import TYPE_CHECKING, Any

from detour.admin.log import LogRing
from detour.admin.sight import Sight, sight_of
from router_core.config.loader import Loaded, load, parse
from router_core.config.problems import Problem
from router_core.core import Core
from router_core.paths import Paths, paths
from router_core.usage.activity import Activity, Subscription

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from router_core.usage.pump import LedgerPump


class Context:
    """Belongs to the event loop; `engine` and `check` are for its threads."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.started = time.time()
        self.closing = asyncio.Event()
        """Set when live streams have to end."""
        self.log = LogRing()
        self.capture_mode: str | None = None
        """The general mode of recording that was chosen here."""
        self._written = core.loaded
        self._engine: Engine | None = None
        self._changing = asyncio.Lock()
        # A file that changed keeps what was decided here.
        core.reread = self.reload

    @property
    def loaded(self) -> Loaded:
        return self.core.loaded

    @property
    def paths(self) -> Paths:
        return paths(self.core.config)

    @property
    def activity(self) -> Activity:
        return self.core.activity

    async def look(self) -> Sight:
        """What can be seen now."""
        return sight_of(self.core)

    async def models(self) -> list[dict[str, Any]]:
        """What can be asked for."""
        return [dataclasses.asdict(entry) for entry in self.core.router.models()]

    def subscribe(self) -> Subscription | None:
        """What begins and ends from now on; None when too many listen already."""
        return self.activity.subscribe()

    def serves(self) -> bool:
        """Whether requests are taken."""
        return not (self.closing.is_set() or self.core.draining)

    def workers(self) -> list[dict[str, Any]]:
        """The processes that serve, where they are others than this one."""
        return []

    async def reset(self, credential: str) -> None:
        """End all cooldowns of a credential."""
        self.core.router.reset(credential)

    async def switch(self, credential: str, off: bool) -> None:
        """Take a credential out of use, or put it back."""
        self.core.router.switch(credential, off)

    async def forget_refusals(self) -> None:
        """End all tunnelling of clients that refused the certificate."""
        self.core.refusals.forget()

    @property
    def ledger(self) -> LedgerPump | None:
        return self.core.activity.ledger

    def engine(self) -> Engine | None:
        """The ledger for reading, or None where none was begun. Raises LedgerError and SQLAlchemyError.

        May wait for the database: call it in a thread.
        """
        from router_core.usage.database import open_for_reading

        if self._engine is None and self.ledger is not None:
            self._engine = open_for_reading(self.ledger.url)
        return self._engine

    def check(self, text: bytes | None) -> Loaded:
        """The configuration in `text`, or in the file, without putting it in force. Raises ConfigError."""
        path = self.loaded.path
        return load(path) if text is None else parse(text, path)

    async def reload(self) -> list[Problem]:
        """Put the configuration file in force as it is now. Raises ConfigError; returns the warnings."""
        loaded = await self.core.load()
        async with self._changing:
            self._written = loaded
            await self._apply()
        return loaded.warnings

    async def record(self, mode: str) -> None:
        """Record in this general mode, whatever the configuration says, until the end of the process."""
        async with self._changing:
            self.capture_mode = mode
            await self._apply()

    async def _apply(self) -> None:
        config = self._written.config
        capture = config.capture
        if self.capture_mode:
            capture = capture.model_copy(update={"mode": self.capture_mode})
        await self._put_in_force(
            dataclasses.replace(self._written, config=config.model_copy(update={"capture": capture}))
        )

    async def _put_in_force(self, loaded: Loaded) -> None:
        await self.core.reload(loaded)

    def close(self) -> None:
        self.log.remove()
        if self._engine is not None:
            self._engine.dispose()
