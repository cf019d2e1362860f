"""What is in force now: one configuration and everything that was made from it.

The addons hold a `Core` and look at its attributes for each request, so that a reload takes effect with
the next request and changes none under way.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from pydantic import SecretStr

from router_core import reading
from router_core.attempts import Attempts
from router_core.capture.recorder import Recorder
from router_core.capture.setup import reconfigure
from router_core.config import secrets
from router_core.config.loader import ConfigError, Loaded, Problem, load
from router_core.config.secrets import SecretError
from router_core.config.watch import watch
from router_core.connections import Connections
from router_core.credentials.pool import Pool
from router_core.errors import Refusal
from router_core.exchange import Exchange
from router_core.formats.translate import translatable
from router_core.formats.translator import FormatTranslator
from router_core.paths import CREDENTIALS
from router_core.peers import Tunnel
from router_core.refusals import Refusals
from router_core.rewrite.rules import compile_rules
from router_core.routing.router import Router
from router_core.state import open_store
from router_core.usage.activity import Activity
from router_core.usage.budgets import Budgets

logger = logging.getLogger(__name__)


class Core:
    """Made from a configuration that was loaded; `start` before the first request, `stop` after the last."""

    def __init__(self, loaded: Loaded, state_folder: Path | None = None, worker: int = 1) -> None:
        """`state_folder` is where routing state outlives the process; None keeps nothing. `worker` is the number
        of the process among those that serve together."""
        self.loaded = loaded
        self.config = loaded.config
        self.registry = loaded.registry
        self.translator = FormatTranslator()
        """Between formats; it remembers what clients cannot carry, so it outlives a reload."""
        self.rules = compile_rules(loaded.config, loaded.registry, self.translator)
        self._tokens = state_folder / CREDENTIALS if state_folder else None
        self.pool = Pool(loaded.config, loaded.registry, folder=self._tokens)
        self.store = open_store(loaded.config, state_folder, worker)
        self.router = Router(loaded.config, loaded.registry, self.pool, self.store, translatable=translatable)
        self.access_keys: dict[str, SecretStr] = {}
        """Client keys by name; empty means that no key is asked for."""
        self.activity = Activity()
        """What is under way; whoever serves gives it a ledger."""
        self.connections = Connections()
        self.router.live.budgets = lambda: self.budgets
        self.tunnel: Tunnel | None = None
        """The WireGuard tunnel, where one is served."""
        self.refusals = Refusals()
        self.attempts = Attempts()
        """Clients that do not accept Detour's certificate."""
        self.recorder: Recorder | None = None
        """What records exchanges, if whoever serves has made one."""
        self.amend: Callable[[Loaded], Loaded] = lambda loaded: loaded
        """What whoever serves changes of the configuration file, each time that it is read."""
        self.reread: Callable[[], Awaitable[object]] = self._reread
        """Puts the configuration file in force as it is now; called when it has changed."""
        self.after_reload: list[Callable[[], Awaitable[None]]] = []
        """Called when another configuration is in force."""
        self.draining = False
        """Set when the process only finishes what it has begun."""
        self.superseded = False
        """Set when another process has taken this one's place."""
        self._watching: asyncio.Task[None] | None = None
        self._started = False

    async def start(self) -> None:
        """Fetch the secrets that must be there before anybody is served. A second call does nothing."""
        if self._started:
            return
        self._started = True
        self.access_keys = {key.name: await secrets.resolve(key.key) for key in self.config.access.keys}
        await self.pool.start()
        await self.store.start(self.router)
        self._watching = asyncio.create_task(
            watch(lambda: self.loaded.watched, self.read_again, since=self.loaded.read_at)
        )

    async def stop(self) -> None:
        """Save what is worth keeping. Does nothing before `start`."""
        if not self._started:
            return
        self._started = False
        if self._watching:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        await self.store.close(keep=not self.superseded)
        await self.pool.close()

    async def reload(self, loaded: Loaded) -> None:
        """Put another configuration in force; requests under way end with the one that they began with.

        Raises ValueError or SecretError, and changes nothing, if it cannot be used.
        """
        rules = compile_rules(loaded.config, loaded.registry, self.translator)
        access_keys = {key.name: await secrets.resolve(key.key) for key in loaded.config.access.keys}
        pool = await asyncio.to_thread(
            Pool, loaded.config, loaded.registry, folder=self._tokens, previous=self.pool
        )
        self.router.reload(loaded.config, loaded.registry, pool)
        before, self.pool = self.pool, pool
        self.loaded, self.config, self.registry = loaded, loaded.config, loaded.registry
        self.rules, self.access_keys = rules, access_keys
        await pool.start()
        await before.close()
        if self.activity.ledger:
            self.activity.ledger.apply(loaded.config)
        if self.recorder:
            reconfigure(self.recorder, loaded)
            self.recorder.know(self.secrets())
        for follow in self.after_reload:
            await follow()

    async def load(self) -> Loaded:
        """The configuration file as it is now, without putting it in force. Raises ConfigError."""
        loaded = await asyncio.to_thread(load, self.loaded.path)
        if not loaded.tree.value and self.loaded.tree.value:
            # Somebody is writing it just now, or could not: the disk was full.
            raise ConfigError([Problem(str(loaded.path), 0, "the file is empty", "write it again")])
        return self.amend(loaded)

    async def _reread(self) -> None:
        await self.reload(await self.load())

    async def read_again(self) -> bool:
        """Put the file in force as it is now; whether that went well. A mistake is reported and changes nothing."""
        before = self.loaded
        try:
            await self.reread()
        except ConfigError as error:
            for problem in error.problems:
                logger.error("%s", problem)
        except (SecretError, ValueError) as error:
            logger.error("%s", error)
        else:
            logger.info("the configuration was read again: %s", self.loaded.path)
            for warning in self.loaded.warnings:
                if warning not in before.warnings:
                    logger.warning("%s", warning)
            if self.config.listen != before.config.listen:
                logger.warning("what changed under `listen` takes effect with the next start")
            return True
        logger.error("the configuration has mistakes; the one in force stays")
        return False

    def is_intercepted(self, host: str | None) -> bool:
        """Whether connections to `host` (in lower case) are decrypted."""
        return host is not None and (host in self.registry.hosts or host in self.config.capture.hosts)

    def secrets(self) -> list[str]:
        """The secrets that are at hand: what must never be written, wherever it appears."""
        tokens = [credential.source.current() for credential in self.pool.credentials.values()]
        keys = [key.get_secret_value() for key in self.access_keys.values()]
        return [token.secret for token in tokens if token] + keys

    @property
    def budgets(self) -> Budgets | None:
        """The budgets in force; None where no ledger is kept."""
        return self.activity.ledger.budgets if self.activity.ledger else None

    def read(self, exchange: Exchange) -> Refusal | None:
        """Fill in what `exchange` asks for, or say why it cannot be read."""
        return reading.read(exchange, self.config.limits.body)
