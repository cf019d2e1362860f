"""Where the secrets of credentials come from: keys, files and commands; tokens with a life of their own
stand in `router_core.credentials.renewing` and its users."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import orjson

from router_core.config import secrets
from router_core.config.schema import SecretRef
from router_core.config.secrets import SecretError
from router_core.config.watch import signature
from router_core.credentials.model import CredentialError, Token
from router_core.credentials.oauth import claims
from router_core.credentials.renewing import Renewing
from router_core.times import moment, number

COMMAND_LEAD = 30.0
"""Seconds before its end at which a command's token is fetched anew."""


def looks_like_oauth(secret: str) -> bool:
    """Anthropic's OAuth access tokens say so: ``sk-ant-oat01-...``; its API keys are ``sk-ant-api...``."""
    return secret.startswith("sk-ant-oat")


def fingerprint(*parts: str) -> str:
    """Tells secrets apart and tells nothing about them: 48 bits of a keyed hash."""
    return blake2b(
        "\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=6, key=b"detour"
    ).hexdigest()


class NoSource:
    """Stands where a credential has no secret."""

    def __init__(self, reason: str):
        self.reason = reason

    def current(self) -> Token | None:
        return None

    async def token(self) -> Token:
        raise CredentialError(self.reason, permanent=True)

    async def rejected(self, secret: str) -> bool:
        return False

    def fingerprint(self) -> str:
        return ""


class KeySource:
    """A key that does not change by itself: of the environment, or literal."""

    def __init__(self, secret: str):
        self._token = Token(secret, oauth=looks_like_oauth(secret))

    def current(self) -> Token | None:
        return self._token

    async def token(self) -> Token:
        return self._token

    async def rejected(self, secret: str) -> bool:
        return False

    def fingerprint(self) -> str:
        return fingerprint(self._token.secret)


class FileSource:
    """A key in a file, which is watched."""

    def __init__(self, ref: SecretRef):
        self._ref = ref
        self._token: Token | None = None
        self._error = ""
        self.path = Path(ref.name).expanduser()
        self.seen = signature(self.path)
        """The file as it was before it was last read; what differs from it has not been read yet."""
        self.reload()

    def reload(self) -> bool:
        """Reads the file; blocks. True when the key is another one now."""
        before = self._token
        try:
            secret = secrets.resolve_now(self._ref).get_secret_value()
            self._token, self._error = Token(secret, oauth=looks_like_oauth(secret)), ""
        except SecretError as e:
            self._token, self._error = None, str(e)
        return self._token != before

    def current(self) -> Token | None:
        return self._token

    async def token(self) -> Token:
        if self._token is None:
            raise CredentialError(self._error, permanent=True)
        return self._token

    async def rejected(self, secret: str) -> bool:
        return self._token is not None and self._token.secret != secret

    def fingerprint(self) -> str:
        return fingerprint(self._token.secret) if self._token else ""

    def inactive(self) -> str | None:
        return self._error or None


class CommandSource(Renewing):
    """What a command prints: the key alone, or JSON that says how long it lives.

    JSON is understood with ``token``, ``access_token``, ``api_key``, ``key`` or ``secret`` (also in
    camelCase), and ``expires_at``, ``expiration``, ``expiry`` (a moment) or ``expires_in`` (seconds), at
    the top or below ``status`` as Kubernetes writes it. A key without an end is kept until it is refused.
    """

    def __init__(
        self, name: str, ref: SecretRef, env: Mapping[str, str], *, wall: Callable[[], float] = time.time
    ):
        super().__init__(name, lead=COMMAND_LEAD, wall=wall)
        self._ref, self._env = ref, env

    async def _fetch(self) -> Token:
        try:
            output = await secrets.output(self._ref, self._env)
        except SecretError as e:
            raise CredentialError(str(e)) from None
        secret, expires_at = read_output(output, self._wall())
        if secret is None:
            raise CredentialError(f"{secrets.describe(self._ref)} printed neither a key nor JSON with one")
        return Token(secret, looks_like_oauth(secret), expires_at)

    def fingerprint(self) -> str:
        return fingerprint(*self._ref.argv)


_SECRET_KEYS = ("token", "access_token", "accessToken", "api_key", "apiKey", "key", "secret", "id_token")
_MOMENT_KEYS = ("expires_at", "expiresAt", "expiration", "expirationTimestamp", "expiry", "expires_on")


def read_output(output: bytes, now: float) -> tuple[str | None, float | None]:
    """(secret, end of its life in seconds since the epoch) of a command's output."""
    try:
        document: Any = orjson.loads(output)
    except orjson.JSONDecodeError:
        document = None
    if isinstance(document, list | bool):
        return None, None
    if not isinstance(document, dict):
        text = output.decode("utf-8", "replace").strip()
        # `jq -r` writes null where there is nothing.
        return (text, claims(text).get("exp")) if _is_key(text) and text != "null" else (None, None)
    if isinstance(document.get("status"), dict):
        document = document["status"]
    secret = next((v for k in _SECRET_KEYS if isinstance(v := document.get(k), str) and _is_key(v)), None)
    expires = next((moment(document[k]) for k in _MOMENT_KEYS if k in document), None)
    if expires is None and (seconds := number(document.get("expires_in"))) is not None:
        expires = now + seconds
    return secret, expires if expires is not None else claims(secret).get("exp")


def _is_key(text: str) -> bool:
    """Whether it can stand in a header (RFC 9110 section 5.5), where what is no ASCII is no key but rubbish."""
    return bool(text) and text.isascii() and text.isprintable() and " " not in text
