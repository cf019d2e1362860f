"""OAuth tokens that live in a file, and are refreshed where that is possible."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Protocol

import orjson

from router_core.config import secrets
from router_core.config.schema import OAuth, SecretRef
from router_core.config.secrets import SecretError
from router_core.credentials import files
from router_core.credentials.aside import aside
from router_core.credentials.model import CredentialError, Token
from router_core.credentials.oauth import Client, Grant, refresh
from router_core.credentials.renewing import SKEW, Renewing
from router_core.credentials.sources import fingerprint, looks_like_oauth
from router_core.credentials.token_files import TokenFile, parse, updated

logger = logging.getLogger(__name__)

TOOL_LEAD: Final = 300.0
"""How long before its end a tool's own token is refreshed, where we can."""
LOCK_LIFE: Final = 45.0
OTHERS_PATIENCE: Final = 50.0
"""Seconds to wait for another process's refresh, which cannot take longer than `LOCK_LIFE`."""
POLL: Final = 0.5
_REPLACED: Final = "replaced"
"""Key of our own token file: the fingerprint of the configured refresh token that it went on from."""
SPENT_LIFE: Final = 30 * 86400.0
"""Seconds for which it is known that a refresh token was replaced by another one."""


class Shared(Protocol):
    """What processes know of each other's refreshes; see `router_core.state.store`."""

    def lock(self, name: str, ttl: float) -> AbstractAsyncContextManager[bool]:
        """Held in one process at a time; the value is False when another holds it."""

    async def mark(self, name: str, life: float) -> None: ...

    async def marked(self, name: str) -> bool: ...


class Alone:
    """For a process that shares nothing but perhaps its files."""

    @asynccontextmanager
    async def lock(self, name: str, ttl: float) -> AsyncIterator[bool]:
        yield True

    async def mark(self, name: str, life: float) -> None:
        pass

    async def marked(self, name: str) -> bool:
        return False


class TokenSource(Renewing):
    """A token file, or the configuration's ``oauth`` with one behind it."""

    def __init__(
        self,
        name: str,
        path: Path | None,
        *,
        client: Client,
        shared: Callable[[], Shared],
        oauth: OAuth | None = None,
        wall: Callable[[], float] = time.time,
    ):
        super().__init__(lead=oauth.lead if oauth else TOOL_LEAD, wall=wall)
        self.name, self.path = name, path
        self._oauth, self._client, self._shared = oauth, client, shared
        self._file: TokenFile | None = None
        self._file_error = ""
        self._unsaved = False
        self._read: dict[str, Any] = {}
        self.reload()

    def rebind(self, client: Client, shared: Callable[[], Shared]) -> None:
        """Another configuration's proxy and store; the tokens stay."""
        self._client, self._shared = client, shared

    # -- the file

    def reload(self) -> bool:
        """Reads the file; blocks. True when it holds another token now."""
        before = self._held
        if self.path is not None:
            try:
                file = parse(orjson.loads(files.read(self.path)))
                # A file that could not be written holds a refresh token that is spent.
                if not (self._unsaved and file.document == self._read):
                    self._read = file.document
                    self._take(file)
            except FileNotFoundError:
                self._lose(f"file {self.path} does not exist")
            except OSError as e:
                self._lose(f"file {self.path} cannot be read: {(e.strerror or 'error').lower()}")
            except ValueError as e:
                # A file that is being written is not whole; what was read before goes on.
                words = "it is not JSON" if isinstance(e, orjson.JSONDecodeError) else str(e)
                self._lose(f"file {self.path} holds no token: {words}", keep=True)
        return (self._held and self._held.secret) != (before and before.secret)

    def _lose(self, error: str, *, keep: bool = False) -> None:
        self._file_error = error
        # What could not be written is the only copy of a refresh token.
        if not (keep or self._unsaved) or self._file is None:
            self._file = None
            if self._oauth is None:
                self._held = None

    def _take(self, file: TokenFile) -> None:
        old, self._file, self._file_error = self._file, file, ""
        token = _token(file)
        news = token is not None and (self._held is None or token.secret != self._held.secret)
        if news or (old is not None and old.grant != file.grant):
            self._hold(token if token is not None else self._held)

    def inactive(self) -> str | None:
        """Why no token can be had at all, or None."""
        if self._held is not None or (self._file is not None and self._file.grant is not None):
            return None
        if self._oauth is not None and self._oauth.refresh_token is not None:
            ref = self._oauth.refresh_token
            if ref.kind == "command":
                return None
            try:
                secrets.resolve_now(ref)
                return None
            except SecretError as e:
                return str(e)
        if self._oauth is not None and self._file is not None and self._file.refresh_token:
            return None
        return self._file_error or "it has no refresh_token"

    def fingerprint(self) -> str:
        """Of the account, so that what is known of its limits outlives its tokens."""
        account = self._file.account if self._file else None
        endpoint = self._oauth.token_url if self._oauth else ""
        return fingerprint(str(self.path or self.name), endpoint, account or "")

    def current(self) -> Token | None:
        # What cannot be refreshed is good to its end.
        return self._usable(max(self.lead, SKEW) if self.renewable() else SKEW)

    def renewable(self) -> bool:
        return self._oauth is not None or (self._file is not None and self._file.grant is not None)

    # -- refresh

    async def _fetch(self) -> Token:
        """One process at a time, among those that share the file or the store, spends the refresh token."""
        spent, end = self._held, time.monotonic() + OTHERS_PATIENCE
        async with self._file_lock() as mine:
            while mine:
                async with self._shared().lock(f"refresh:{self.name}", LOCK_LIFE) as mine_too:
                    found = await self._found(spent)
                    if found is not None:
                        return found
                    if mine_too:
                        return await self._refresh(spent)
                if time.monotonic() > end:
                    break
                await asyncio.sleep(POLL)
        found = await self._found(spent)
        if found is not None:
            return found
        raise CredentialError(f"{self.name}: another process refreshes its token and does not come to an end")

    @asynccontextmanager
    async def _file_lock(self) -> AsyncIterator[bool]:
        if self.path is None:
            yield True
            return
        async with files.locked(self.path, OTHERS_PATIENCE) as mine:
            yield mine

    async def _found(self, spent: Token | None) -> Token | None:
        """A token that the tool itself or another process put into the file meanwhile."""
        if self.path is None:
            return None
        await asyncio.to_thread(self.reload)
        held = self._usable(SKEW)
        return held if held is not None and (spent is None or held.secret != spent.secret) else None

    async def _refresh(self, spent: Token | None) -> Token:
        grants = await self._grants()
        if not grants:
            raise CredentialError(self._cannot(spent), permanent=False)
        shared = self._shared()
        fresh = [g for g in grants if not await shared.marked(_spent(g))]
        if not fresh:
            raise CredentialError(
                f"{self.name}: its refresh token was replaced by another Detour; let both have the same token file"
            )
        for i, grant in enumerate(fresh):
            try:
                granted = await aside(refresh(self.name, grant, self._client, self._wall))
                break
            except CredentialError as e:
                if not e.permanent or i == len(fresh) - 1:
                    raise
        rotated = granted.refresh_token is not None and granted.refresh_token != grant.refresh_token
        if rotated:
            await shared.mark(_spent(grant), SPENT_LIFE)
        file = self._file or TokenFile("plain")
        if file.grant is None:
            file = replace(file, refresh_token=granted.refresh_token or grant.refresh_token)
        file = updated(file, granted, self._wall())
        if self._file is None and file.refresh_token:
            file.document.setdefault("refresh_token", file.refresh_token)
        if rotated and self._oauth is not None and self._oauth.refresh_token is not None:
            file.document.setdefault(_REPLACED, fingerprint(grant.refresh_token))
        self._file = file
        await self._keep(file)
        token = _token(file)
        assert token is not None
        return token

    async def _grants(self) -> list[Grant]:
        """What may be tried, the newest refresh token first."""
        if self._oauth is None:
            return [self._file.grant] if self._file and self._file.grant else []
        configured = self._oauth
        tokens = [self._file.refresh_token] if self._file and self._file.refresh_token else []
        replaced = self._file.document.get(_REPLACED) if self._file else None
        try:
            if configured.refresh_token is not None:
                first = await _secret(configured.refresh_token)
                # Using it once more would end the login, so it is only for the beginning.
                if fingerprint(first) != replaced:
                    tokens.append(first)
            secret = await _secret(configured.client_secret) if configured.client_secret else None
        except SecretError as e:
            if not tokens:
                raise CredentialError(f"{self.name}: {e}", permanent=True) from None
            secret = None
        return [
            Grant(
                configured.token_url, t, configured.client_id, secret, configured.scope, configured.encoding
            )
            for t in dict.fromkeys(tokens)
            if t
        ]

    def _cannot(self, spent: Token | None) -> str:
        if self._file is None:
            return f"{self.name}: {self._file_error or 'it has no refresh_token'}"
        tool = {"claude": "Claude Code", "codex": "Codex", "google": "Gemini CLI"}.get(
            self._file.kind, "its tool"
        )
        return f"{self.name}: the token in {self.path} has run out; run {tool} once, which renews it"

    async def _keep(self, file: TokenFile) -> None:
        if self.path is None:
            return
        try:
            await asyncio.to_thread(_write, self.path, file)
            self._unsaved = False
        except OSError as e:
            self._unsaved = True
            logger.error(
                "%s: the new token cannot be written to %s (%s); it is lost when Detour ends",
                self.name, self.path, (e.strerror or "error").lower(),
            )  # fmt: skip


def _spent(grant: Grant) -> str:
    """The name under which it is known that a refresh token was replaced; tells nothing about the token."""
    return f"spent:{fingerprint(grant.refresh_token)}"


def _write(path: Path, file: TokenFile) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    files.replace(path, orjson.dumps(file.document, option=orjson.OPT_INDENT_2) + b"\n")


def _token(file: TokenFile) -> Token | None:
    if file.access_token is not None:
        account = [("chatgpt-account-id", file.account)] if file.kind == "codex" and file.account else []
        return Token(file.access_token, oauth=True, expires_at=file.expires_at, headers=account)
    if file.api_key is not None:
        return Token(file.api_key, oauth=looks_like_oauth(file.api_key))
    return None


async def _secret(ref: SecretRef) -> str:
    return (await secrets.resolve(ref)).get_secret_value()
