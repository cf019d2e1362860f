"""What requests are sent with."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from router_core.config.sections.base import PathText, Secret, Section
from router_core.config.units import Duration


class QuotaLimit(Section):
    """A limit that the user sets on a credential or a client key."""

    window: Literal["5h", "day", "week", "month"]
    """Length of the window."""
    tokens: int | None = Field(None, gt=0)
    """Input and output tokens together."""
    requests: int | None = Field(None, gt=0)
    """Number of requests."""
    reset_at: str | None = None
    """HH:MM local time, for ``day``."""


class ModelFilter(Section):
    include: tuple[str, ...] = ()
    """Model names that the credential serves; ``*`` stands for any run of characters. All when empty."""
    exclude: tuple[str, ...] = ()
    """Model names that it does not serve; goes before `include`."""


class OAuth(Section):
    """An OAuth 2 refresh token (RFC 6749 section 6)."""

    token_url: str
    """The token endpoint."""
    client_id: str | None = None
    """Identifier of the client, where the endpoint asks for one."""
    client_secret: Secret | None = None
    """Secret of the client, where it has one."""
    scope: str | None = None
    """Scopes to ask for, separated by blanks."""
    encoding: Literal["form", "json"] = "form"
    """How the request to the token endpoint is written."""
    token_file: PathText | None = None
    """JSON file that holds and receives access_token, refresh_token and expires_at; mode 0600."""
    refresh_token: Secret | None = None
    """The refresh token, where no `token_file` holds it."""
    lead: Duration = 300.0
    """How long before its expiry a token is refreshed."""


class CredentialConfig(Section):
    id: str
    """Unique name in logs, metrics and commands."""
    provider: str
    """Name of the provider that it belongs to."""
    api_key: Secret | None = None
    """The key."""
    oauth: OAuth | None = None
    """A refresh token that Detour keeps fresh."""
    token_file: PathText | None = None
    """A token file that the user's own tool keeps (Claude Code, Codex, Gemini CLI)."""
    priority: int = 0
    """Higher is used first."""
    weight: int = Field(1, ge=0)
    """Share among credentials of the same priority with ``strategy: weighted``; 0 is never picked."""
    prefix: str | None = None
    """``PREFIX/MODEL`` pins a request to the credentials with that prefix."""
    models: ModelFilter = ModelFilter()
    """Which models it serves."""
    proxy: str | None = Field(None, repr=False)
    """Outbound proxy for this credential, or ``direct`` for none."""
    headers: dict[str, str] = Field({}, repr=False)
    """Extra headers on its requests."""
    websocket: bool | None = None
    """Whether it takes WebSockets; the provider's endpoint decides when absent."""
    concurrency: int | None = Field(None, gt=0)
    """Most requests at the same time."""
    limits: tuple[QuotaLimit, ...] = ()
    """Limits that are kept as quota windows."""
    base_url: str | None = None
    """Where its requests go instead of the provider's `base_url`."""
    billing: Literal["metered", "subscription"] | None = None
    """Whether its cost is money or notional; subscriptions are what OAuth and token files stand for when absent."""
    enabled: bool = True
    """false leaves it out."""

    @field_validator("id")
    @classmethod
    def _safe_id(cls, value: str) -> str:
        # Ids become file names, metric labels and URL segments.
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}", value) or ".." in value:
            raise ValueError(
                "an id is made of letters, digits and . _ @ + - (no separators, no '..', at most 128)"
            )
        return value
