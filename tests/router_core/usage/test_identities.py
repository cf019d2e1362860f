"""Usage objects as providers write them, brought to one identity."""

from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from router_core.exchange import Usage
from router_core.formats import Format
from router_core.usage.columns import TOKENS
from router_core.usage.identities import IDENTITIES, MAX_TOKENS, add

# One exchange: 3 fresh, 1111 read from and 418 written to a cache (100 for an hour), 40 out of which 15 thinking.
SAME = {
    Format.ANTHROPIC: {
        "input_tokens": 3,
        "cache_read_input_tokens": 1111,
        "cache_creation_input_tokens": 418,
        "cache_creation": {"ephemeral_5m_input_tokens": 318, "ephemeral_1h_input_tokens": 100},
        "output_tokens": 40,
        "output_tokens_details": {"thinking_tokens": 15},
    },
    Format.OPENAI_CHAT: {
        "prompt_tokens": 1532,
        "completion_tokens": 40,
        "total_tokens": 1572,
        "prompt_tokens_details": {"cached_tokens": 1111, "cache_write_tokens": 418},
        "completion_tokens_details": {"reasoning_tokens": 15},
    },
    Format.OPENAI_RESPONSES: {
        "input_tokens": 1532,
        "output_tokens": 40,
        "total_tokens": 1572,
        "input_tokens_details": {"cached_tokens": 1111, "cache_write_tokens": 418},
        "output_tokens_details": {"reasoning_tokens": 15},
    },
}


@pytest.mark.parametrize("format", SAME)
def test_one_exchange_counts_the_same_in_every_format(format: Format) -> None:
    usage = IDENTITIES[format](SAME[format])
    assert (usage.input, usage.cache_read, usage.cache_write) == (3, 1111, 418)
    assert (usage.output, usage.reasoning, usage.prompt) == (40, 15, 1532)
    assert usage.notes == ()


def test_gemini_leaves_thoughts_out_of_candidates_and_tool_prompts_out_of_the_prompt() -> None:
    raw = {
        "promptTokenCount": 3520,
        "cachedContentTokenCount": 3512,
        "toolUsePromptTokenCount": 96,
        "candidatesTokenCount": 55,
        "thoughtsTokenCount": 32,
        "totalTokenCount": 3703,
    }
    usage = IDENTITIES[Format.GEMINI](raw)
    assert usage == Usage(input=104, cache_read=3512, output=87, reasoning=32)
    assert (usage.prompt or 0) + (usage.output or 0) == raw["totalTokenCount"]


def test_gemini_without_candidates_count() -> None:
    spent_on_thinking = {"promptTokenCount": 8, "totalTokenCount": 25, "thoughtsTokenCount": 17}
    assert IDENTITIES[Format.GEMINI](spent_on_thinking) == Usage(input=8, output=17, reasoning=17)
    blocked = {"promptTokenCount": 12, "totalTokenCount": 12}
    assert IDENTITIES[Format.GEMINI](blocked) == Usage(input=12, output=0)


@pytest.mark.parametrize(
    ("raw", "output", "reasoning"),
    [
        # xAI counts reasoning beside the completion: 331 + 11 + 271 = 613.
        ({"prompt_tokens": 331, "completion_tokens": 11, "total_tokens": 613, "reasoning": 271}, 282, 271),
        # Gemini's compatible surface does not name its 62 thoughts: 35 + 12, total 109.
        ({"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 109}, 74, 62),
        # Vercel's gateway names more reasoning than output, and its total leaves it out.
        ({"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11, "reasoning": 25}, 27, 25),
        # OpenAI counts reasoning within the completion.
        ({"prompt_tokens": 8, "completion_tokens": 271, "total_tokens": 279, "reasoning": 192}, 271, 192),
    ],
)
def test_reasoning_is_part_of_the_output(raw: dict, output: int, reasoning: int) -> None:
    if "reasoning" in raw:
        raw = {**raw, "completion_tokens_details": {"reasoning_tokens": raw["reasoning"]}}
    usage = IDENTITIES[Format.OPENAI_CHAT](raw)
    assert (usage.output, usage.reasoning) == (output, reasoning)


@pytest.mark.parametrize(
    "caches",
    [
        {"prompt_tokens_details": {"cached_tokens": 320}},
        {"prompt_cache_hit_tokens": 320, "prompt_cache_miss_tokens": 19},
        {"cached_tokens": 320},
        {"num_cached_tokens": 320},
    ],
    ids=["openai", "deepseek", "moonshot", "mistral"],
)
def test_cached_tokens_are_a_part_of_the_prompt(caches: dict) -> None:
    usage = IDENTITIES[Format.OPENAI_CHAT]({"prompt_tokens": 339, "completion_tokens": 92, **caches})
    assert (usage.input, usage.cache_read) == (19, 320)


def test_anthropic_bills_compaction_and_advisor_beside_the_totals() -> None:
    raw = {
        "input_tokens": 682,
        "output_tokens": 100,
        "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 0},
        "iterations": [
            {"type": "compaction", "input_tokens": 60385, "output_tokens": 592},
            {"type": "message", "input_tokens": 682, "output_tokens": 100},
            {"type": "advisor_message", "model": "claude-opus-5", "input_tokens": 900, "output_tokens": 50},
        ],
    }
    usage = IDENTITIES[Format.ANTHROPIC](raw)
    assert (usage.input, usage.output) == (61067, 692)
    assert usage.server_tools == {"web_search": 2}
    assert usage.others == {"claude-opus-5": Usage(input=900, output=50)}


@pytest.mark.parametrize(
    ("raw", "cost"),
    [
        (
            {"cost": 8.725e-05, "is_byok": False, "cost_details": {"upstream_inference_cost": 8.725e-05}},
            "0.00008725",
        ),
        # With the user's own key OpenRouter's cost is its fee; the upstream bills the rest.
        ({"cost": 0.0005, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.01}}, "0.0105"),
        ({"cost": 0, "cost_details": {"upstream_inference_cost": 0.01}}, "0.01"),
        ({"cost": 0.0000702, "cost_details": {"upstream_inference_cost": None}}, "0.0000702"),
        ({"cost_in_usd_ticks": 2071250}, "0.000207125"),
        ({"cost": {"total_cost": 0.006, "currency": "USD"}}, "0.006"),
        ({"cost": "0.000764"}, "0.000764"),
    ],
)
def test_cost_as_reported(raw: dict, cost: str) -> None:
    usage = IDENTITIES[Format.OPENAI_CHAT]({"prompt_tokens": 1, "completion_tokens": 1, **raw})
    assert usage.cost == Decimal(cost)


@pytest.mark.parametrize("figure", [-1, 10**18, "12", True, 1.5, float("nan"), [], {}])
def test_an_absurd_figure_is_rejected_and_noted(figure: object) -> None:
    usage = IDENTITIES[Format.ANTHROPIC]({"input_tokens": figure, "output_tokens": 7})
    assert (usage.input, usage.output) == (None, 7)
    assert [note.partition(":")[0] for note in usage.notes] == ["input_tokens"]


@pytest.mark.parametrize("cost", [-0.1, 1e9, "much", float("inf"), True])
def test_an_absurd_cost_is_rejected_and_noted(cost: object) -> None:
    usage = IDENTITIES[Format.OPENAI_CHAT]({"prompt_tokens": 1, "completion_tokens": 1, "cost": cost})
    assert usage.cost is None
    assert usage.notes


def test_caches_larger_than_the_prompt_stand_beside_it() -> None:
    usage = IDENTITIES[Format.OPENAI_CHAT](
        {"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 500}}
    )
    assert (usage.input, usage.cache_read) == (10, 500)
    assert usage.notes == ("prompt: smaller than its cached parts",)


def test_add_keeps_unknown_apart_from_zero() -> None:
    total = Usage(input=1)
    add(total, Usage(input=2, output=0, server_tools={"web_search": 1}))
    assert (total.input, total.output, total.reasoning) == (3, 0, None)
    assert total.server_tools == {"web_search": 1}


names = st.sampled_from(
    sorted({key for raw in SAME.values() for key in raw} | {"promptTokenCount", "cost", "iterations"})
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=6,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(format=st.sampled_from(list(IDENTITIES)), raw=st.dictionaries(names, values, max_size=8))
def test_any_object_gives_counts_within_bounds(format: Format, raw: dict) -> None:
    usage = IDENTITIES[format](raw)
    for name in TOKENS:
        value = getattr(usage, name)
        assert value is None or 0 <= value <= 10 * MAX_TOKENS
    assert usage.cost is None or usage.cost >= 0
