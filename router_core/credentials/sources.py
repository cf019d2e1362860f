"""Where secrets come from: a fixed key."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b

from router_core.config.schema import CredentialConfig
from router_core.config.secrets import SecretError, resolve_now
from router_core.credentials.model import CredentialError, Source, Token


def looks_like_oauth(secret: str) -> bool:
    """Anthropic's OAuth access tokens say so: ``sk-ant-oat01-...``; its API keys are ``sk-ant-api...``."""
    return secret.startswith("sk-ant-oat")


class KeySource:
    """A key that does not change by itself."""

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


class NoSource:
    """Stands where a credential has no secret."""

    def current(self) -> Token | None:
        return None

    async def token(self) -> Token:
        raise CredentialError("it has no secret", permanent=True)

    async def rejected(self, secret: str) -> bool:
        return False

    def fingerprint(self) -> str:
        return ""


def fingerprint(*parts: str) -> str:
    """Tells secrets apart and tells nothing about them: 48 bits of a keyed hash."""
    return blake2b(
        "\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=6, key=b"detour"
    ).hexdigest()


def build_source(entry: CredentialConfig, env: Mapping[str, str]) -> tuple[Source, str | None]:
    """The source of a credential, and why it cannot be used, or None."""
    if entry.api_key is not None:
        try:
            return KeySource(resolve_now(entry.api_key, env).get_secret_value()), None
        except SecretError as e:
            return NoSource(), str(e)
    return NoSource(), "it has no api_key, oauth or token_file"
