"""The configured credentials, which of them are usable, and their tokens kept fresh."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import certifi

from router_core.config import secrets
from router_core.config.schema import Config, CredentialConfig
from router_core.config.secrets import SecretError
from router_core.config.watch import Signature, signature
from router_core.credentials import files
from router_core.credentials.model import Credential, Source, Token
from router_core.credentials.oauth import TIMEOUT
from router_core.credentials.refresh_tokens import RefreshTokens
from router_core.credentials.renewing import Renewing
from router_core.credentials.sources import CommandSource, FileSource, KeySource, NoSource
from router_core.credentials.token_source import TokenSource
from router_core.providers.registry import Registry

if TYPE_CHECKING:
    import httpx

logger = logging.getLogger(__name__)

TICK: Final = 1.0
"""Seconds between two looks at files and at tokens that end."""
MAX_STARTS: Final = 4
"""Refreshes that begin in one tick, so that many accounts do not renew in one burst."""


class Pool:
    """Immutable but for what happens behind its sources. A reload makes another one from `previous`."""

    def __init__(
        self,
        config: Config,
        registry: Registry,
        *,
        folder: Path | None = None,
        env: Mapping[str, str] = os.environ,
        wall: Callable[[], float] = time.time,
        previous: Pool | None = None,
    ):
        """`folder` is where tokens of credentials without a ``token_file`` are kept; None keeps them in memory.

        Reads files, so it blocks; called at the start and in a thread for a reload.
        """
        self.config, self.registry = config, registry
        self.changed: Callable[[str], None] = lambda credential_id: None
        """Called with a credential's id after its secret, its token or its usability changed."""
        spent = folder / "spent" if folder else None
        self.refresh_tokens: RefreshTokens = previous.refresh_tokens if previous else RefreshTokens(spent)
        self._folder, self._env, self._wall = folder, env, wall
        self._tls: ssl.SSLContext | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.credentials: dict[str, Credential] = {}
        """All that are configured, by id, in the order of the configuration."""
        known = {c.id: c for c in previous.credentials.values()} if previous else {}
        for order, entry in enumerate(config.credentials):
            old = known.get(entry.id)
            if old is not None and _same_source(old.config, entry):
                source: Source = old.source
                if isinstance(source, TokenSource):
                    source.rebind(self._client_of(entry))
            else:
                source = self._source(entry)
            self.credentials[entry.id] = Credential(entry, order, source, self._inactive(entry, source))

    def active(self, provider: str) -> list[Credential]:
        """The usable credentials of a provider, in the order of the configuration."""
        return [c for c in self.credentials.values() if c.provider == provider and c.active]

    async def token(self, credential_id: str) -> Token:
        """A valid token of a credential, for `detour credentials test`. Raises CredentialError and KeyError."""
        source = self.credentials[credential_id].source
        return source.current() or await source.token()

    # -- sources

    def _source(self, entry: CredentialConfig) -> Source:
        if entry.oauth is not None:
            path = (
                Path(entry.oauth.token_file).expanduser()
                if entry.oauth.token_file
                else self._own_file(entry.id)
            )
            return TokenSource(
                entry.id,
                path,
                client=self._client_of(entry),
                tokens=self.refresh_tokens,
                oauth=entry.oauth,
                wall=self._wall,
            )
        if entry.token_file is not None:
            path = Path(entry.token_file).expanduser()
            return TokenSource(
                entry.id, path, client=self._client_of(entry), tokens=self.refresh_tokens, wall=self._wall
            )
        if entry.api_key is None:
            # A server on this machine that asks for none; the loader lets no other go without.
            return KeySource("")
        if entry.api_key.kind == "file":
            return FileSource(entry.api_key)
        if entry.api_key.kind == "command":
            return CommandSource(entry.id, entry.api_key, self._env, wall=self._wall)
        try:
            return KeySource(secrets.resolve_now(entry.api_key, self._env).get_secret_value())
        except SecretError as e:
            return NoSource(str(e))

    def _own_file(self, credential_id: str) -> Path | None:
        return files.child(self._folder, f"{credential_id}.json") if self._folder else None

    def _inactive(self, entry: CredentialConfig, source: Source) -> str | None:
        provider = self.registry.providers.get(entry.provider)
        if not entry.enabled:
            return "it is disabled in the configuration"
        if provider is None:
            return f"its provider {entry.provider!r} is not known"
        if not provider.enabled:
            return f"its provider {entry.provider} is disabled"
        if isinstance(source, NoSource):
            return source.reason
        return source.inactive() if isinstance(source, FileSource | TokenSource) else None

    def _client_of(self, entry: CredentialConfig) -> Callable[[], httpx.AsyncClient]:
        import httpx  # here and not at the first refresh, which would hold up the traffic for it

        proxy = self.config.upstream.proxy if entry.proxy is None else entry.proxy
        if proxy in ("direct", "none"):
            proxy = None

        def client() -> httpx.AsyncClient:
            if self._tls is None:
                self._tls = ssl.create_default_context(
                    cafile=self.config.upstream.ca_bundle or certifi.where()
                )
            # The environment's proxy may be Detour itself.
            return httpx.AsyncClient(proxy=proxy, verify=self._tls, timeout=TIMEOUT, trust_env=False)

        return client

    # -- in the background

    async def start(self) -> None:
        """Watches files and renews tokens ahead of time until `close`."""
        for credential in self.credentials.values():
            if isinstance(credential.source, Renewing):
                credential.source.renewed = _calling(self._tell, credential.id)
        self._tasks = [asyncio.create_task(self._watch()), asyncio.create_task(self._renew_ahead())]

    async def close(self) -> None:
        """Ends the watching; a refresh under way is waited for, as its refresh token may be spent."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def settle(self) -> None:
        """Waits for refreshes under way."""
        running = [c.source.running for c in self.credentials.values() if isinstance(c.source, Renewing)]
        await asyncio.gather(*(t for t in running if t is not None), return_exceptions=True)

    def _watched(self) -> list[tuple[Credential, FileSource | TokenSource, Path]]:
        return [
            (credential, source, source.path)
            for credential in self.credentials.values()
            if isinstance(source := credential.source, FileSource | TokenSource) and source.path is not None
        ]

    def _look(self) -> dict[Path, Signature]:
        return {path: signature(path) for path in {path for _, _, path in self._watched()}}

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            try:
                seen = await asyncio.to_thread(self._look)
                # Each source knows what it has read, so that no change is lost between two pools.
                for credential, source, path in self._watched():
                    if path in seen and source.seen != seen[path]:
                        source.seen = seen[path]
                        await self._reload(credential, source)
            except Exception:
                logger.exception("watching the files of credentials failed")

    async def _reload(self, credential: Credential, source: FileSource | TokenSource) -> None:
        news = await asyncio.to_thread(source.reload)
        if news or self._inactive(credential.config, source) != credential.inactive:
            logger.info("%s: %s changed", credential.id, source.path)
            self._tell(credential.id)

    def _tell(self, credential_id: str) -> None:
        old = self.credentials.get(credential_id)
        if old is None:
            return
        inactive = self._inactive(old.config, old.source)
        if inactive != old.inactive:
            self.credentials[credential_id] = Credential(old.config, old.order, old.source, inactive)
        self.changed(credential_id)

    async def _renew_ahead(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            starts = 0
            for credential in list(self.credentials.values()):
                source = credential.source
                if (
                    isinstance(source, Renewing)
                    and credential.active
                    and source.renewable()
                    and source.due() <= 0
                ):
                    source.renew()
                    starts += 1
                    if starts >= MAX_STARTS:
                        break


def _same_source(old: CredentialConfig, new: CredentialConfig) -> bool:
    return (old.api_key, old.oauth, old.token_file) == (new.api_key, new.oauth, new.token_file) and (
        old.api_key is None or old.api_key.kind not in ("env", "literal")
    )


def _calling(function: Callable[[str], None], argument: str) -> Callable[[], None]:
    return lambda: function(argument)
