"""OAuth tokens that live in a file, and are refreshed where that is possible."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import orjson

from router_core.config import secrets
from router_core.config.schema import OAuth, SecretRef
from router_core.config.secrets import SecretError
from router_core.config.watch import signature
from router_core.credentials import files
from router_core.credentials.aside import aside
from router_core.credentials.model import CredentialError, Token
from router_core.credentials.oauth import Client, Grant, Granted, refresh
from router_core.credentials.refresh_tokens import OTHERS_PATIENCE, RefreshTokens
from router_core.credentials.renewing import SKEW, Renewing
from router_core.credentials.sources import fingerprint
from router_core.credentials.token_files import TokenFile, parse, token_of, updated
from router_core.ownership import private_folder

logger = logging.getLogger(__name__)

TOOL_LEAD: Final = 300.0
"""How long before its end a tool's own token is refreshed, where we can."""
_REPLACED: Final = "replaced"
"""Key of our own token file: the fingerprint of the configured refresh token that it went on from."""


class TokenSource(Renewing):
    """A token file, or the configuration's ``oauth`` with one behind it."""

    def __init__(
        self,
        name: str,
        path: Path | None,
        *,
        client: Client,
        tokens: RefreshTokens,
        oauth: OAuth | None = None,
        wall: Callable[[], float] = time.time,
    ):
        super().__init__(name, lead=oauth.lead if oauth else TOOL_LEAD, wall=wall)
        self.path = path
        self._oauth, self._client, self._tokens = oauth, client, tokens
        self._file: TokenFile | None = None
        self._file_error = ""
        self._unsaved = False
        self._read: dict[str, Any] = {}
        self.seen = signature(path) if path is not None else None
        """The file as it was before it was last looked at for changes."""
        self.reload()
        tokens.join(self)

    def rebind(self, client: Client) -> None:
        """Another configuration's proxy; the tokens stay."""
        self._client = client

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
        token = token_of(file)
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
        """In its turn, among the credentials and processes that share the file or have copies of the refresh token."""
        spent = self._held
        async with self._file_lock() as mine:
            found = await self._found(spent)
            if found is not None:
                return found
            if not mine:
                raise self._waits_in_vain()
            grants = await self._grants()
            if not grants:
                raise CredentialError(self._cannot(spent), permanent=False)
            return await self._spend(grants, spent)

    @asynccontextmanager
    async def _file_lock(self) -> AsyncIterator[bool]:
        if self.path is None:
            yield True
            return
        async with files.locked(self.path, OTHERS_PATIENCE) as mine:
            yield mine

    async def _found(self, spent: Token | None) -> Token | None:
        """A token that the tool itself, another credential or another process fetched meanwhile."""
        if self.path is not None:
            await asyncio.to_thread(self.reload)
        held = self._usable(SKEW)
        return held if held is not None and (spent is None or held.secret != spent.secret) else None

    def _waits_in_vain(self) -> CredentialError:
        return CredentialError("another process refreshes its token and does not come to an end")

    async def _spend(self, grants: list[Grant], spent: Token | None) -> Token:
        error: CredentialError | None = None
        for grant in grants:
            async with self._tokens.turn(grant) as mine:
                found = await self._found(spent)
                if found is not None:
                    return found
                if not mine:
                    raise self._waits_in_vain()
                if await self._tokens.is_spent(grant):
                    continue
                try:
                    granted = await aside(refresh(grant, self._client, self._wall))
                except CredentialError as e:
                    if not e.permanent:
                        raise
                    error = e
                    continue
                token = await self._granted(grant, granted)
                if granted.refresh_token not in (None, grant.refresh_token):
                    await self._tokens.replaced(grant, granted, self)
                return token
        raise error or CredentialError(
            "its refresh token was replaced by another Detour; "
            "let both have the same token file, or log in again"
        )

    async def _granted(self, grant: Grant, granted: Granted) -> Token:
        """Keeps what was granted; the new token."""
        file = self._file or TokenFile("plain")
        if file.grant is None:
            file = replace(file, refresh_token=granted.refresh_token or grant.refresh_token)
        file = updated(file, granted, self._wall())
        if self._file is None and file.refresh_token:
            file.document.setdefault("refresh_token", file.refresh_token)
        rotated = granted.refresh_token not in (None, grant.refresh_token)
        if rotated and self._oauth is not None and self._oauth.refresh_token is not None:
            file.document.setdefault(_REPLACED, fingerprint(grant.refresh_token))
        self._file = file
        await self._keep(file)
        token = token_of(file)
        assert token is not None
        return token

    async def take(self, grant: Grant, granted: Granted) -> None:
        held = self._file.grant or self._file.refresh_token if self._file else None
        if isinstance(held, Grant):
            held = held.refresh_token
        if held is None:
            with suppress(CredentialError):
                held = next((g.refresh_token for g in await self._grants()), None)
        if held == grant.refresh_token:
            self._got(await self._granted(grant, granted))

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
                raise CredentialError(str(e), permanent=True) from None
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
            return self._file_error or "it has no refresh_token"
        tool = {"claude": "Claude Code", "codex": "Codex", "google": "Gemini CLI"}.get(
            self._file.kind, "its tool"
        )
        return f"the token in {self.path} has run out; run {tool} once, which renews it"

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


def _write(path: Path, file: TokenFile) -> None:
    private_folder(path.parent)
    files.replace(path, orjson.dumps(file.document, option=orjson.OPT_INDENT_2) + b"\n")


async def _secret(ref: SecretRef) -> str:
    return (await secrets.resolve(ref)).get_secret_value()
