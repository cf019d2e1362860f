"""What an exchange cost, in US dollars, and where the figure comes from.

A provider's own figure goes before a configured price, and that before the catalogue of genai-prices, which
ships with the package and knows historic prices, cache prices and tiers. No price is no cost: unknown is
None, never 0.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from fnmatch import translate
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal

from router_core.config.schema import Price
from router_core.exchange import Usage
from router_core.usage.identities import MAX_COST

if TYPE_CHECKING:
    from genai_prices.types import PriceCalculation

type Source = Literal["provider", "configured", "catalog"]

ZERO: Final = Decimal(0)
MILLION: Final = Decimal(1_000_000)
NANO: Final = Decimal(1_000_000_000)

COUNTED: Final = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
"""The catalogue's names of what nearly every price depends on and nothing else."""

CATALOG_NAMES: Final[dict[str, str]] = {
    "amp": "anthropic",
    "antigravity": "google",
    "bedrock": "aws",
    "claude": "anthropic",
    "claude-code": "anthropic",
    "codex": "openai",
    "copilot": "github-copilot",
    "gemini": "google",
    "gemini-cli": "google",
    "github": "github-copilot",
    "glm": "zai",
    "glm-cn": "zhipuai",
    "grok": "x-ai",
    "kimi": "moonshotai",
    "moonshot": "moonshotai",
    "vertex": "google",
    "xai": "x-ai",
    "zhipu": "zhipuai",
}
"""Detour's provider names that the catalogue knows under another one."""


@dataclass(frozen=True, slots=True)
class Cost:
    amount: Decimal
    """US dollars."""
    source: Source
    notional: bool = False
    """What a subscription's use would have cost; no money was owed for it."""

    @property
    def nano(self) -> int:
        """Billionths of a dollar, as the ledger keeps them."""
        return int((self.amount * NANO).to_integral_value())


class Pricing:
    """Prices exchanges by the configured prices and the catalogue. Safe to share between threads."""

    def __init__(self, prices: Iterable[Price] = ()):
        self._configured = [(re.compile(translate(p.model)), p) for p in prices]

    def cost(
        self,
        usage: Usage,
        provider: str,
        model: str | None,
        *,
        at: float,
        base_url: str | None = None,
        subscription: bool = False,
    ) -> Cost | None:
        """The cost of `usage`, or None where it cannot be known.

        `at` is when the request was made, in seconds since the epoch: the catalogue's prices have a history.
        """
        found = self._amount(usage, provider, model, at, base_url)
        # A sum that nobody is ever asked for is a mistake in a price or a count, and must empty no budget.
        return Cost(*found, subscription) if found and found[0] <= MAX_COST else None

    def _amount(
        self, usage: Usage, provider: str, model: str | None, at: float, base_url: str | None
    ) -> tuple[Decimal, Source] | None:
        if usage.cost is not None:
            return usage.cost, "provider"
        if model is None or (usage.prompt is None and usage.output is None):
            return None
        total = ZERO
        source: Source = "configured"
        for name, part in ((model, usage), *usage.others.items()):
            configured = self._price(provider, name)
            if configured is not None:
                total += by_price(part, configured)
                continue
            amount = by_catalog(part, provider, name, at, base_url)
            if amount is None:
                return None
            total += amount
            source = "catalog"
        return total, source

    def _price(self, provider: str, model: str) -> Price | None:
        for pattern, price in self._configured:
            if price.provider in (None, provider) and pattern.match(model):
                return price
        return None


def by_price(usage: Usage, price: Price) -> Decimal:
    """Dollars by one configured price."""
    long = min(usage.cache_write_1h or 0, usage.cache_write or 0)
    short = (usage.cache_write or 0) - long
    write = price.input if price.cache_write is None else price.cache_write
    tokens = (
        (usage.input, price.input),
        (usage.output, price.output),
        (usage.cache_read, price.input if price.cache_read is None else price.cache_read),
        (short, write),
        (long, write if price.cache_write_1h is None else price.cache_write_1h),
    )
    return price.request + sum(((count or 0) * rate for count, rate in tokens), ZERO) / MILLION


def by_catalog(usage: Usage, provider: str, model: str, at: float, base_url: str | None) -> Decimal | None:
    """Dollars by genai-prices; None where it has no price for the provider's model."""
    name = _catalog_provider(provider, base_url)
    if name is None:
        return None
    details = _catalog_details(usage)
    if not details and (rates := _rates(name, model, usage.tier, int(at // 3600))):
        return rates.price(_plain_counts(usage))
    counts = dict(zip(COUNTED, _plain_counts(usage), strict=True))
    for figures in ({**counts, **details}, counts):
        try:
            return _calculation(figures, name, model, usage.tier, at).total_price
        except ValueError:
            # Details that overlap without saying how (cached audio) cannot be priced; the sums can.
            continue
        except LookupError:
            return None
    return None


def _calculation(
    counts: dict[str, int], provider: str, model: str, tier: str | None, at: float
) -> PriceCalculation:
    """Raises LookupError for a model without a price, ValueError for counts that do not fit together."""
    # Its data takes longer to import than the rest of Detour, and only the ledger's thread needs it.
    import genai_prices

    return genai_prices.calc_price(
        genai_prices.Usage(**counts),
        model,
        provider_id=provider,
        genai_request_timestamp=datetime.fromtimestamp(at, UTC),
        price_context=_context(tier),
    )


@dataclass(frozen=True, slots=True)
class _Rates:
    """Dollars for one of each of `COUNTED`, by the size of the prompt."""

    starts: tuple[int, ...]
    """A prompt of more tokens than these costs the next of `bands`, as a whole."""
    bands: tuple[tuple[Decimal, ...], ...]

    def price(self, counts: tuple[int, ...]) -> Decimal:
        rates = self.bands[bisect_left(self.starts, counts[0]) if self.starts else 0]
        # Most exchanges have no cached tokens, and Decimals are slow.
        return sum([rate * count for rate, count in zip(rates, counts, strict=True) if count], ZERO)


@lru_cache(maxsize=2048)
def _rates(provider: str, model: str, tier: str | None, hour: int) -> _Rates | None:
    """What the catalogue would say to any plain counts, found out once.

    A whole calculation costs more than everything else that is done for an exchange, and prices change at
    most with the hour.
    """
    none = dict.fromkeys(COUNTED, 0)

    def price(**counts: int) -> Decimal:
        return _calculation({**none, **counts}, provider, model, tier, hour * 3600.0).total_price

    try:
        starts = _starts(_calculation(none, provider, model, tier, hour * 3600.0))
        bands = []
        for size in (0, *(start + 1 for start in starts)):
            base = price(input_tokens=size)
            fresh = price(input_tokens=size + 1) - base
            # Cached tokens are input tokens too, and are not priced again as such.
            cached = (
                price(input_tokens=size + 1, **{n: 1}) - base
                for n in ("cache_read_tokens", "cache_write_tokens")
            )
            read, write = (rate - fresh for rate in cached)
            bands.append((fresh, price(input_tokens=size, output_tokens=1) - base, read, write))
    except (ValueError, LookupError):
        return None
    return _Rates(starts, tuple(bands))


def _starts(calculation: PriceCalculation) -> tuple[int, ...]:
    """The prompt sizes above which other prices hold."""
    from genai_prices.types import TieredPrices

    prices = vars(calculation.model_price).values()
    return tuple(sorted({t.start for p in prices if isinstance(p, TieredPrices) for t in p.tiers}))


def _context(tier: str | None) -> dict[str, str] | None:
    if tier == "batch":
        return {"processing": "batch"}
    if tier == "fast":
        return {"speed": "fast"}
    return {"service_tier": tier} if tier else None


def _plain_counts(usage: Usage) -> tuple[int, int, int, int]:
    """In the order of `COUNTED`."""
    return usage.prompt or 0, usage.output or 0, usage.cache_read or 0, usage.cache_write or 0


def _catalog_details(usage: Usage) -> dict[str, Any]:
    if not (usage.cache_write_1h or usage.input_audio or usage.output_audio or usage.server_tools):
        return {}
    details = {
        "cache_write_1h_tokens": min(usage.cache_write_1h or 0, usage.cache_write or 0),
        "input_audio_tokens": usage.input_audio or 0,
        "output_audio_tokens": usage.output_audio or 0,
        "web_searches": usage.server_tools.get("web_search", 0),
    }
    return {name: count for name, count in details.items() if count}


@lru_cache(maxsize=256)
def _catalog_provider(provider: str, base_url: str | None) -> str | None:
    """The catalogue's id of a provider: by its name, else by where it lives. Never guessed from a model."""
    from genai_prices import data_snapshot

    snapshot = data_snapshot.get_snapshot()
    known = {p.id for p in snapshot.providers}
    name = CATALOG_NAMES.get(provider, provider)
    if name in known:
        return name
    if base_url:
        try:
            return snapshot.find_provider(None, None, base_url).id
        except LookupError:
            return None
    return None
