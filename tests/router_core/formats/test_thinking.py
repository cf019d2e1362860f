"""Effort and budget between the formats, as far as each model takes them."""

from typing import Any

import pytest

from router_core.formats import Format, carrier, effort, ir
from router_core.providers.model import ModelInfo
from tests.router_core.formats.translated import MINIMAL, asks

A, C, R, G = Format.ANTHROPIC, Format.OPENAI_CHAT, Format.OPENAI_RESPONSES, Format.GEMINI
CHAT_HIGH = {**MINIMAL[C], "max_tokens": 64000, "reasoning_effort": "high"}


def thinks(budget: int) -> dict[str, Any]:
    return {**MINIMAL[A], "max_tokens": 64000, "thinking": {"type": "enabled", "budget_tokens": budget}}


@pytest.mark.parametrize("word", effort.BUDGETS)
def test_words_survive_the_way_through_a_budget(word: str) -> None:
    assert effort.from_budget(effort.BUDGETS[word]) == word


@pytest.mark.parametrize(
    ("model", "thinking", "config"),
    [
        ("claude-sonnet-4-5", {"type": "enabled", "budget_tokens": 24576}, None),
        ("claude-opus-4-6", {"type": "adaptive"}, {"effort": "high"}),
        ("us.anthropic.claude-opus-4-8-v1:0", {"type": "adaptive"}, {"effort": "high"}),
        ("glm-4.7", {"type": "enabled", "budget_tokens": 24576}, None),
        ("claude-3-5-sonnet-20241022", None, None),
    ],
)
def test_claude(model: str, thinking: Any, config: Any) -> None:
    document = asks(C, A, CHAT_HIGH, model=model).document
    assert document.get("thinking") == thinking
    assert document.get("output_config") == config


def test_claude_has_no_room_or_no_leave_to_think() -> None:
    small = asks(C, A, {**CHAT_HIGH, "max_tokens": 1000}, model="claude-sonnet-4-5")
    assert "thinking" not in small.document
    assert "reasoning" in small.dropped()
    fitting = asks(C, A, {**CHAT_HIGH, "max_tokens": 10000}, model="claude-sonnet-4-5").document
    assert 1024 <= fitting["thinking"]["budget_tokens"] < 10000
    tool = {"type": "function", "function": {"name": "f"}}
    forced = asks(C, A, {**CHAT_HIGH, "tools": [tool], "tool_choice": "required"}, model="claude-sonnet-4-5")
    assert "thinking" not in forced.document
    unable = asks(C, A, CHAT_HIGH, model_info=ModelInfo("m", capabilities=frozenset({"tools"})))
    assert "thinking" not in unable.document


@pytest.mark.parametrize(
    ("model", "budget", "word"),
    [
        ("gpt-5.2", 8192, "medium"),
        ("gpt-5.2", 60000, "xhigh"),
        ("gpt-5.1", 60000, "high"),
        ("gpt-5", 300, "minimal"),
        ("o3", 300, "low"),
        ("kimi-k2", 100_000, "high"),
        ("gpt-4o", 8192, None),
    ],
)
def test_openai_models_get_the_nearest_effort(model: str, budget: int, word: str | None) -> None:
    assert asks(A, C, thinks(budget), model=model).document.get("reasoning_effort") == word
    reasoning = asks(A, R, thinks(budget), model=model).document.get("reasoning")
    assert (reasoning or {}).get("effort") == word


def test_responses_return_encrypted_reasoning_only_where_there_is_any() -> None:
    assert asks(A, R, MINIMAL[A], model="gpt-5.2").document["include"] == ["reasoning.encrypted_content"]
    assert "include" not in asks(A, R, MINIMAL[A], model="gpt-4o").document


@pytest.mark.parametrize(
    ("model", "config"),
    [
        ("gemini-2.5-flash", {"includeThoughts": True, "thinkingBudget": 24576}),
        ("gemini-2.5-pro", {"includeThoughts": True, "thinkingBudget": 24576}),
        ("gemini-3-pro-preview", {"includeThoughts": True, "thinkingLevel": "HIGH"}),
        ("gemini-2.0-flash", None),
    ],
)
def test_gemini(model: str, config: Any) -> None:
    document = asks(C, G, CHAT_HIGH, model=model).document
    assert document["generationConfig"].get("thinkingConfig") == config


def test_thinking_switched_off() -> None:
    off = {**MINIMAL[A], "thinking": {"type": "disabled"}}
    assert asks(A, C, off, model="gpt-5.2").document["reasoning_effort"] == "none"
    assert asks(A, C, off, model="gpt-5").document["reasoning_effort"] == "minimal"
    assert "reasoning_effort" not in asks(A, C, off, model="kimi-k2").document
    flash = asks(A, G, off, model="gemini-2.5-flash").document
    assert flash["generationConfig"]["thinkingConfig"] == {"thinkingBudget": 0}
    none = {**MINIMAL[C], "reasoning_effort": "none"}
    assert asks(C, A, none, model="claude-opus-4-6").document["thinking"] == {"type": "disabled"}
    context = asks(A, C, off).context
    assert context.hide_reasoning and not context.carry_reasoning


@pytest.mark.parametrize(
    ("asked", "thinking"),
    [
        ("2048", {"type": "enabled", "budget_tokens": 2048}),
        ("low", {"type": "enabled", "budget_tokens": 1024}),
        ("none", {"type": "disabled"}),
        ("auto", {"type": "enabled", "budget_tokens": 8192}),
    ],
)
def test_a_suffix_of_the_model_overrides_the_request(asked: str, thinking: Any) -> None:
    document = asks(C, A, CHAT_HIGH, model="claude-sonnet-4-5", effort=asked).document
    assert document["thinking"] == thinking


@pytest.mark.parametrize(
    "fields",
    [
        {"reasoning": {"effort": "high"}},
        {"reasoning": {"max_tokens": 24576}},
        {"thinking": {"type": "enabled", "budget_tokens": 24576}},
        {"enable_thinking": True, "thinking_budget": 24576},
    ],
)
def test_dialects_of_chat_hosts(fields: dict[str, Any]) -> None:
    document = asks(C, A, {**MINIMAL[C], "max_tokens": 64000, **fields}, model="claude-sonnet-4-5").document
    assert document["thinking"] == {"type": "enabled", "budget_tokens": 24576}


@pytest.mark.parametrize(("first", "thinks"), [("EpAB", True), (None, False)])
def test_a_loop_of_calls_has_thinking_in_all_of_its_turns_or_in_none(first: str | None, thinks: bool) -> None:
    """The first turn of the loop is of another model where `first` is None; the second is Claude's."""
    contents: list[dict[str, Any]] = [{"role": "user", "parts": [{"text": "Look."}]}]
    for number, proof in enumerate((first, "EpCD")):
        call: dict[str, Any] = {"functionCall": {"name": "look", "args": {}, "id": f"toolu_{number}"}}
        if proof:
            signature = ir.Signature(A, proof, model="claude-sonnet-4-5")
            call["thoughtSignature"] = carrier.pack(signature, "Hm.")
        result = {"functionResponse": {"name": "look", "id": f"toolu_{number}", "response": {"output": "x"}}}
        contents += [{"role": "model", "parts": [call]}, {"role": "user", "parts": [result]}]
    config = {"thinkingConfig": {"thinkingBudget": 8192}, "maxOutputTokens": 16000}
    document = {"contents": contents, "generationConfig": config}
    translated = asks(G, A, document, model="claude-sonnet-4-5")
    assert ("thinking" in translated.document) is thinks
