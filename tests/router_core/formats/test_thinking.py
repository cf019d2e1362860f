"""Effort and budget between the formats, as far as each model takes them."""

import json
from typing import Any

import pytest

from router_core.exchange import Attempt
from router_core.formats import PATHS, Format, carrier, effort, ir
from router_core.formats.translator import FormatTranslator
from router_core.prepare import Outgoing, prepare
from router_core.providers.model import Endpoint, ModelInfo, Provider
from router_core.rewrite import catalogue
from router_core.rewrite.rules import Rules
from tests.router_core.formats.conformity import assert_conforms
from tests.router_core.formats.invariants import assert_holds
from tests.router_core.formats.translated import MINIMAL, asks
from tests.router_core.wire import exchange

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
        (
            "us.anthropic.claude-opus-4-8-v1:0",
            {"type": "adaptive", "display": "summarized"},
            {"effort": "high"},
        ),
        ("glm-4.7", {"type": "enabled", "budget_tokens": 24576}, None),
        ("claude-3-5-sonnet-20241022", None, None),
    ],
)
def test_claude(model: str, thinking: Any, config: Any) -> None:
    document = asks(C, A, CHAT_HIGH, model=model).document
    assert document.get("thinking") == thinking
    assert document.get("output_config") == config


@pytest.mark.parametrize(
    ("upstream", "model", "asked", "given"),
    [
        (A, "claude-opus-4-6", "xhigh", "high is the nearest to xhigh"),
        (R, "gpt-5.1", "max", "high is the nearest to max"),
        (R, "gpt-6.1-sol", "none", "low is the least"),
        (G, "gemini-3-pro-preview", "medium", "high is the nearest to medium"),
        (G, "gemini-3-pro-preview", "none", "low is the least"),
        (G, "gemini-3-pro-preview", "high", None),
        (A, "claude-opus-4-8", "xhigh", None),
    ],
)
def test_another_effort_than_was_asked_for_is_noted(
    upstream: Format, model: str, asked: str, given: str | None
) -> None:
    notes = asks(C, upstream, {**CHAT_HIGH, "reasoning_effort": asked}, model=model).notes
    assert notes == ([f"reasoning: {given} that {model} takes"] if given else [])


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
        ("gpt-5.6-sol", 60000, "xhigh"),
        ("gpt-6.1-sol", 0, "low"),
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


def _thought(origin: Format, upstream_model: str) -> dict[str, Any]:
    """What a Gemini client gives back of a turn that another model spent on thinking alone."""
    signature = ir.Signature(origin, "EpAB", id="rs_1", model=upstream_model)
    return {"text": "", "thoughtSignature": carrier.pack(signature, "Hm.")}


@pytest.mark.parametrize(("upstream", "model"), [(A, "claude-sonnet-4-5"), (R, "gpt-5.2")])
@pytest.mark.parametrize("said", [[], [{"text": "So."}]])
def test_reasoning_that_nothing_follows_is_left_out(upstream: Format, model: str, said: list[Any]) -> None:
    spent = {"role": "model", "parts": [*said, _thought(upstream, model)]}
    asked = [{"role": "user", "parts": [{"text": text}]} for text in ("One?", "Two?")]
    config = {"thinkingConfig": {"thinkingBudget": 8192}, "maxOutputTokens": 16000}
    document = {"contents": [asked[0], spent, asked[1]], "generationConfig": config}
    translated = asks(G, upstream, document, model=model)
    assert "EpAB" not in str(translated.document)
    assert translated.notes == ["reasoning that led to nothing is left out"]
    assert_holds(upstream, translated.document)


@pytest.mark.parametrize(("effort", "kept"), [("high", True), (None, False)])
def test_claude_gets_its_last_thoughts_back_only_while_it_thinks(effort: str | None, kept: bool) -> None:
    call = {"id": "toolu_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    signature = carrier.pack(ir.Signature(A, "EpAB", model="claude-sonnet-4-5"))
    detail = {"type": "reasoning.text", "text": "Hm.", "signature": signature, "index": 0}
    said = {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_details": [detail]}
    result = {"role": "tool", "tool_call_id": "toolu_1", "content": "x"}
    document = {"messages": [*MINIMAL[C]["messages"], said, result], "max_tokens": 64000}
    if effort:
        document["reasoning_effort"] = effort
    translated = asks(C, A, document, model="claude-sonnet-4-5")
    assert ("EpAB" in str(translated.document)) is kept
    assert ("thinking" in translated.document) is kept


@pytest.mark.parametrize(
    ("model", "thinking", "effort"),
    [
        ("claude-opus-4-6", {"type": "disabled"}, None),
        ("claude-opus-5", {"type": "disabled"}, None),
        ("claude-haiku-5-5", {"type": "disabled"}, None),
        ("claude-sonnet-5-5", {"type": "between_tools"}, None),
        ("claude-opus-5-5", None, "low"),
        ("claude-fable-5", None, "low"),
    ],
)
def test_claude_is_kept_from_thinking_as_far_as_it_can_be(model: str, thinking: Any, effort: Any) -> None:
    document = asks(C, A, {**MINIMAL[C], "reasoning_effort": "none"}, model=model).document
    assert document.get("thinking") == thinking
    assert document.get("output_config", {}).get("effort") == effort
    assert_conforms(A, document)


@pytest.mark.parametrize(
    ("model", "display"),
    [("claude-opus-4-6", None), ("claude-opus-4-7", "summarized"), ("claude-sonnet-5-5", "summarized")],
)
def test_claude_shows_its_thinking_to_clients_that_look_for_it(model: str, display: str | None) -> None:
    document = asks(C, A, CHAT_HIGH, model=model).document
    assert document["thinking"] == {"type": "adaptive", **({"display": display} if display else {})}


@pytest.mark.parametrize(
    ("model", "forced"),
    [
        ("claude-opus-5", True),
        ("claude-haiku-5-5", True),
        ("claude-sonnet-5-5", False),
        ("claude-fable-5-1", False),
    ],
)
@pytest.mark.parametrize("one", [True, False])
def test_a_tool_is_forced_or_asked_for_in_words(model: str, forced: bool, one: bool) -> None:
    function = {"name": "look", "parameters": {"type": "object", "properties": {}}}
    choice = {"type": "function", "function": {"name": "look"}} if one else "required"
    document = {
        **MINIMAL[C],
        "tools": [{"type": "function", "function": function}],
        "tool_choice": choice,
        "parallel_tool_calls": False,
        "reasoning_effort": "high",
    }
    translated = asks(C, A, document, model=model)
    written = translated.document
    if forced:
        assert written["tool_choice"]["type"] == ("tool" if one else "any")
        return
    assert written["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    assert ("the tool look" if one else "one of your tools") in written["system"][-1]["text"]
    assert translated.notes == ["tool choice: asked for in words"]
    assert written["thinking"]["type"] == "adaptive"


@pytest.mark.parametrize(
    ("maker", "reader", "kept"),
    [
        ("claude-sonnet-4-5", "claude-opus-4-6", True),
        ("claude-sonnet-5-5", "claude-sonnet-5-5", True),
        ("claude-sonnet-4-5", "claude-opus-5-5", False),
        ("minimax-m2", "claude-opus-4-6", False),
    ],
)
def test_thinking_goes_back_to_models_that_take_it(maker: str, reader: str, kept: bool) -> None:
    said = {"role": "model", "parts": [_thought(A, maker), {"text": "So."}]}
    asked = [{"role": "user", "parts": [{"text": text}]} for text in ("One?", "Two?")]
    document = {
        "contents": [asked[0], said, asked[1]],
        "generationConfig": {"thinkingConfig": {"thinkingLevel": "HIGH"}},
    }
    assert ("EpAB" in str(asks(G, A, document, model=reader).document)) is kept


@pytest.mark.parametrize(
    ("model", "chat", "responses"), [("gpt-6-sol", "xhigh", "max"), ("gpt-5.5", "xhigh", "xhigh")]
)
def test_openai_has_its_highest_effort_in_responses(model: str, chat: str, responses: str) -> None:
    assert asks(A, C, thinks(128_000), model=model).document["reasoning_effort"] == chat
    assert asks(A, R, thinks(128_000), model=model).document["reasoning"]["effort"] == responses


@pytest.mark.parametrize(
    ("model", "quirks", "effort"),
    [
        ("gpt-5.6-terra", {"openai_reasoning"}, "none"),
        ("gpt-6.1-sol", {"openai_reasoning"}, None),
        ("gpt-5.2", {"openai_reasoning"}, "medium"),
        ("openai/gpt-5.6-terra", set(), "medium"),
    ],
)
def test_openais_own_chat_takes_no_reasoning_beside_tools(
    model: str, quirks: set[str], effort: str | None
) -> None:
    tools = [{"name": "look", "input_schema": {"type": "object"}}]
    document = {**thinks(8192), "tools": tools}
    translated = asks(A, C, document, model=model, quirks=frozenset(quirks))
    assert translated.document.get("reasoning_effort") == effort
    assert bool(translated.notes) is (effort == "none")


@pytest.mark.parametrize(
    ("model", "level"),
    [
        ("gemini-3-flash-preview", "MINIMAL"),
        ("gemini-3.5-flash-lite", "MINIMAL"),
        ("gemini-3.8-flash", "LOW"),
    ],
)
def test_the_least_level_of_gemini(model: str, level: str) -> None:
    document = asks(C, G, {**MINIMAL[C], "reasoning_effort": "minimal"}, model=model).document
    assert document["generationConfig"]["thinkingConfig"]["thinkingLevel"] == level


@pytest.mark.parametrize(("model", "fixed"), [("gemini-3.1-pro-preview", False), ("gemini-3.8-flash", True)])
def test_newer_geminis_sample_as_they_like_and_end_with_the_user(model: str, fixed: bool) -> None:
    said = [{"role": "user", "content": "List them."}, {"role": "assistant", "content": "1. "}]
    sampling = {"temperature": 0.2, "top_p": 0.9, "presence_penalty": 0.1, "seed": 7}
    translated = asks(C, G, {"messages": said, **sampling}, model=model)
    config = translated.document["generationConfig"]
    assert translated.document["contents"][-1]["role"] == ("user" if fixed else "model")
    assert config["seed"] == 7
    if fixed:
        assert set(config) == {"seed"}
        assert translated.dropped() == ["temperature", "top_p", "presence_penalty"]
    else:
        assert set(config) == {"temperature", "topP", "seed"}
        assert translated.dropped() == ["presence_penalty"]


@pytest.mark.parametrize(
    ("model", "quirks", "bound"),
    [
        ("claude-sonnet-5-5", {"claude_api"}, True),
        ("claude-opus-4-8", {"claude_api"}, False),
        ("claude-sonnet-5-5", set(), False),
    ],
)
def test_thinking_that_fits_no_longer_is_dropped_by_anthropic(
    model: str, quirks: set[str], bound: bool
) -> None:
    said = {"role": "model", "parts": [_thought(A, model), {"text": "So."}]}
    asked = [{"role": "user", "parts": [{"text": text}]} for text in ("One?", "Two?")]
    document = {"contents": [asked[0], said, asked[1]]}
    written = asks(G, A, document, model=model, quirks=frozenset(quirks)).document
    assert ("betas" in written) is bound
    assert ("block_binding" in written.get("thinking", {})) is bound
    first = asks(G, A, {"contents": asked[:1]}, model=model, quirks=frozenset(quirks)).document
    assert "thinking" not in first


@pytest.mark.parametrize(
    ("model", "quirks", "tools", "asked"),
    [
        ("claude-opus-4-5", {"claude_api"}, True, True),
        ("claude-opus-4-5", {"claude_api"}, False, False),
        ("claude-opus-4-5", set(), True, False),
        # It thinks between its calls by itself.
        ("claude-opus-4-6", {"claude_api"}, True, False),
    ],
)
def test_claude_thinks_between_its_calls(model: str, quirks: set[str], tools: bool, asked: bool) -> None:
    function = {"name": "f", "parameters": {"type": "object"}}
    document: dict[str, Any] = {
        "reasoning_effort": "medium",
        "messages": [{"role": "user", "content": "Look."}],
        **({"tools": [{"type": "function", "function": function}]} if tools else {}),
    }
    written = asks(C, A, document, model=model, quirks=frozenset(quirks)).document
    assert ("interleaved-thinking-2025-05-14" in written.get("betas", [])) is asked
    assert written["thinking"]["type"] in ("enabled", "adaptive")


def test_a_beta_of_a_translated_request_is_a_header() -> None:
    said = {"role": "model", "parts": [_thought(A, "claude-opus-5-5"), {"text": "So."}]}
    asked = [{"role": "user", "parts": [{"text": text}]} for text in ("One?", "Two?")]
    body = json.dumps({"contents": [asked[0], said, asked[1]]}).encode()
    endpoint = Endpoint(A, "https://api.anthropic.com", "", tuple(PATHS[A]))
    upstream = Provider("anthropic", "Anthropic", (), (endpoint,), (), (), quirks=frozenset({"claude_api"}))
    attempt = Attempt(1, upstream, endpoint, "claude-opus-5-5", "c")
    asking = exchange(G, body, path="/v1beta/models/m:generateContent")
    out = prepare(asking, attempt, Rules(catalogue.BUILT_IN, translator=FormatTranslator()))
    assert isinstance(out, Outgoing)
    assert dict(out.headers)["anthropic-beta"] == "thinking-binding-controls-2026-08-01"
    sent = json.loads(out.body)
    assert "betas" not in sent
    assert sent["thinking"]["block_binding"] == {"prefix_mismatch_behavior": "drop_block"}
