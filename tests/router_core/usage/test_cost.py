"""Costs by the provider's word, the configuration and the catalogue."""

from datetime import UTC, datetime
from decimal import Decimal

import genai_prices
import pytest

from router_core.config.schema import Price
from router_core.exchange import Usage
from router_core.usage.cost import Pricing
from tests.router_core.usage.exchanges import NOON

MILLION = 1_000_000


def cost(
    usage: Usage, provider: str, model: str | None, *prices: Price, **options
) -> tuple[Decimal, str] | None:
    found = Pricing(prices).cost(usage, provider, model, at=options.pop("at", NOON), **options)
    return (found.amount, found.source) if found else None


def test_the_catalog_knows_cache_prices() -> None:
    usage = Usage(input=MILLION, output=MILLION, cache_read=0, cache_write=0)
    assert cost(usage, "anthropic", "claude-3-5-haiku-20241022") == (Decimal("4.8"), "catalog")
    cached = Usage(input=0, output=0, cache_read=10_000, cache_write=10_000, cache_write_1h=4_000)
    # $0.30, $3.75 and $6 a million.
    assert cost(cached, "anthropic", "claude-sonnet-4-5") == (Decimal("0.0495"), "catalog")


@pytest.mark.parametrize(
    ("model", "usage", "ticks"),
    [
        # Recorded answers of xAI, which reports its own cost in ticks of 1e-10 dollars.
        ("grok-4-fast", Usage(input=9, cache_read=156, output=127, reasoning=125), 731000),
        ("grok-code-fast-1", Usage(input=274, cache_read=192, output=334, reasoning=266), 5596400),
        ("grok-3-mini", Usage(input=48, cache_read=283, output=343, reasoning=332), 2071250),
    ],
)
def test_the_catalog_agrees_with_what_xai_charged(model: str, usage: Usage, ticks: int) -> None:
    assert cost(usage, "xai", model) == (Decimal(ticks) / 10**10, "catalog")


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("anthropic", "claude-opus-4-5"),
        ("openai", "gpt-5.4"),
        ("deepseek", "deepseek-chat"),
        ("gemini", "gemini-2.5-pro"),
    ],
)
@pytest.mark.parametrize("size", [1000, 300_000])
def test_the_short_way_comes_to_the_same(provider: str, model: str, size: int) -> None:
    """Plain counts are priced by rates that were looked up once; tiers, by the whole calculation."""
    usage = Usage(input=size, output=77, cache_read=size // 3, cache_write=19)
    expected = genai_prices.calc_price(
        genai_prices.Usage(
            input_tokens=usage.prompt, output_tokens=77, cache_read_tokens=size // 3, cache_write_tokens=19
        ),
        model,
        provider_id={"gemini": "google"}.get(provider, provider),
        genai_request_timestamp=datetime.fromtimestamp(NOON, UTC),
    ).total_price
    assert cost(usage, provider, model) == (expected, "catalog")


def test_prices_have_a_history() -> None:
    usage = Usage(input=MILLION, output=0)
    before, after = (
        cost(usage, "deepseek", "deepseek-chat", at=at) for at in (1_735_700_000.0, 1_740_000_000.0)
    )
    assert before and after and before != after


@pytest.mark.parametrize(
    ("provider", "model"),
    [("codex", "gpt-5-codex"), ("gemini", "gemini-2.5-flash"), ("glm", "glm-4.7"), ("kimi", "kimi-k2.5")],
)
def test_detours_provider_names_are_found(provider: str, model: str) -> None:
    assert cost(Usage(input=1000, output=1000), provider, model)


def test_a_provider_is_known_by_its_address_too() -> None:
    usage = Usage(input=MILLION, output=0)
    assert cost(usage, "my-claude", "claude-sonnet-4-5", base_url="https://api.anthropic.com")
    assert cost(usage, "my-claude", "claude-sonnet-4-5", base_url="http://127.0.0.1:8000/v1") is None


def test_unknown_stays_unknown() -> None:
    usage = Usage(input=10, output=10)
    assert cost(usage, "local-vllm", "gpt-5") is None
    assert cost(usage, "anthropic", "claude-of-tomorrow") is None
    assert cost(usage, "anthropic", None) is None
    assert cost(Usage(), "anthropic", "claude-sonnet-4-5") is None


def test_the_providers_own_figure_goes_first() -> None:
    usage = Usage(input=10, output=10, cost=Decimal("0.42"))
    price = Price(model="*", input=Decimal(1), output=Decimal(1))
    assert cost(usage, "openrouter", "anything", price) == (Decimal("0.42"), "provider")


def test_a_configured_price_goes_before_the_catalog() -> None:
    general = Price(model="*", input=Decimal(1), output=Decimal(2))
    special = Price(
        model="glm-*",
        provider="glm",
        input=Decimal("0.6"),
        output=Decimal("2.2"),
        cache_read=Decimal("0.1"),
        cache_write=Decimal(1),
        cache_write_1h=Decimal(2),
        request=Decimal("0.01"),
    )
    usage = Usage(input=100, output=10, cache_read=1000, cache_write=50, cache_write_1h=20)
    expected = (
        Decimal("0.01") + Decimal("60") / MILLION + 22 / Decimal(MILLION) + Decimal(100 + 30 + 40) / MILLION
    )
    assert cost(usage, "glm", "glm-4.7", special, general) == (expected, "configured")
    assert cost(usage, "other", "glm-4.7", special, general) == (Decimal(1170) / MILLION, "configured")


def test_an_advisor_is_priced_by_its_own_model() -> None:
    advisor = Usage(input=MILLION, output=0)
    usage = Usage(input=MILLION, output=0, others={"claude-opus-4-5": advisor})
    assert cost(usage, "anthropic", "claude-sonnet-4-5", at=1_765_000_000.0)
    unknown = Usage(input=MILLION, output=0, others={"unheard-of": advisor})
    assert cost(unknown, "anthropic", "claude-sonnet-4-5") is None


def test_cached_audio_falls_back_to_the_sums() -> None:
    usage = Usage(input=800, output=10, cache_read=200, input_audio=500)
    assert cost(usage, "gemini", "gemini-2.5-flash")


def test_a_sum_that_nobody_is_asked_for_is_unknown() -> None:
    """It would not fit into the ledger's columns either."""
    mistaken = Pricing([Price.model_validate({"model": "m", "input": "1e15", "output": 1})])
    assert mistaken.cost(Usage(input=10**9), "p", "m", at=0) is None
    assert mistaken.cost(Usage(input=0, output=1), "p", "m", at=0) is not None
    assert mistaken.cost(Usage(cost=Decimal(10) ** 12), "p", "m", at=0) is None


def test_subscriptions_cost_notionally() -> None:
    found = Pricing().cost(
        Usage(input=1000, output=200), "anthropic", "claude-sonnet-4-5", at=NOON, subscription=True
    )
    assert found and found.notional
    assert found.nano == 6_000_000
