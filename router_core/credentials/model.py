"""What a credential is at run time: its configuration, where its secret comes from, and its tokens."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from router_core.config.schema import CredentialConfig
from router_core.exchange import Headers


class CredentialError(Exception):
    """The secret cannot be had now. The message names the source and the remedy, never a secret.

    `permanent` is True where only a person can mend it (a revoked refresh token, a missing file).
    """

    def __init__(self, message: str, *, permanent: bool = False):
        super().__init__(message)
        self.permanent = permanent


@dataclass(frozen=True, slots=True)
class Token:
    """A secret that is valid now, and what belongs with it."""

    secret: str = field(repr=False)
    oauth: bool = False
    """Whether the provider's OAuth headers carry it instead of its API key headers."""
    expires_at: float | None = None
    """Seconds since the epoch; None where nobody says."""
    headers: Headers = field(default_factory=list, repr=False)
    """Further headers that identify the account, e.g. ``chatgpt-account-id``."""


class Source(Protocol):
    """Where a credential's token comes from."""

    def current(self) -> Token | None:
        """The token at hand when it can be used as it is; None means ask `token`."""

    async def token(self) -> Token:
        """A valid token, fetched or refreshed if it must be. Raises CredentialError."""

    async def rejected(self, secret: str) -> bool:
        """The provider refused `secret` with 401. True when another token is at hand now."""

    def fingerprint(self) -> str:
        """Changes when a person changed the secret behind the source; not when a token was refreshed."""


@dataclass(frozen=True, slots=True)
class Credential:
    config: CredentialConfig
    order: int
    """Place in the configuration, from 0."""
    source: Source = field(repr=False)
    inactive: str | None = None
    """Why it cannot be used at all (disabled, variable unset, file missing), or None."""

    @property
    def id(self) -> str:
        return self.config.id

    @property
    def provider(self) -> str:
        return self.config.provider

    @property
    def active(self) -> bool:
        return self.inactive is None
