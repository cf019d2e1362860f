"""Prices, budgets and the ledger."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from pydantic import Field, model_validator

from router_core.config.sections.base import Section
from router_core.config.units import Duration, Size


class Price(Section):
    """US dollars per million tokens; goes before the price catalogue. Cached input costs `input` unless stated."""

    model: str
    """The upstream's model name; ``*`` stands for any run of characters."""
    provider: str | None = None
    """Name of the provider; any when absent."""
    input: Decimal = Field(ge=0)
    """Per million tokens."""
    output: Decimal = Field(ge=0)
    """Per million tokens."""
    cache_read: Decimal | None = Field(None, ge=0)
    """Per million tokens."""
    cache_write: Decimal | None = Field(None, ge=0)
    """Per million tokens."""
    cache_write_1h: Decimal | None = Field(None, ge=0)
    """Per million tokens that live an hour."""
    request: Decimal = Field(Decimal(0), ge=0)
    """US dollars per request."""


class Budget(Section):
    """A limit on what may be used; it holds for what matches all of `client`, `credential` and `model`."""

    name: str | None = None
    """For messages."""
    client: str | None = None
    """Name of a client key, of a network, or of a WireGuard peer."""
    credential: str | None = None
    """Id of a credential."""
    model: str | None = None
    """The upstream's model name; ``*`` stands for any run of characters."""
    per: Literal["day", "month"]
    """Calendar days and months, local time."""
    tokens: int | None = Field(None, gt=0)
    """Input, cached input and output together."""
    cost: Decimal | None = Field(None, gt=0)
    """US dollars, the notional cost of subscriptions left out."""
    action: Literal["warn", "pass_over", "refuse"] = "warn"
    """``pass_over`` goes on to the next target; ``refuse`` answers with an error."""

    @model_validator(mode="after")
    def _one_limit(self) -> Budget:
        if (self.tokens is None) == (self.cost is None):
            raise ValueError("a budget has either tokens or cost")
        if self.action == "pass_over" and self.credential is None and self.model is None:
            raise ValueError("pass_over needs a credential or a model to pass over; write action: refuse")
        return self


class RetainUsage(Section):
    """How long the ledger keeps what; 0 keeps it for good."""

    exchanges: Duration = 90 * 86400.0
    """Single exchanges."""
    hourly: Duration = 400 * 86400.0
    """Sums by hour."""
    daily: Duration = 0.0
    """Sums by day."""


class UsageConfig(Section):
    ledger: str | None = Field("sqlite", repr=False)
    """``sqlite`` (in the data folder), a SQLAlchemy URL, ``env:NAME`` or ``file:PATH`` that holds one, or null."""
    spool: Size = 64 << 20
    """Largest size on disk of what waits for a database that does not answer."""
    retain: RetainUsage = RetainUsage()
    """How long the ledger keeps what."""
    prices: tuple[Price, ...] = ()
    """The user's own prices; go before the catalogue."""
    budgets: tuple[Budget, ...] = ()
    """Limits on use."""

    @model_validator(mode="after")
    def _counted(self) -> UsageConfig:
        if self.budgets and self.ledger is None:
            raise ValueError("budgets count by the ledger; remove ledger: null")
        return self
