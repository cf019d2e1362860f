"""The thinking effort that a model's suffix or a target asks for, in the words of each format.

``gpt-5.4(high)``, ``claude-opus-4-6(8192)``, ``gemini-3-pro(none)``: it overrides what the body says. Where a
request is translated, the translation writes it instead.
"""

from __future__ import annotations

from typing import Any, Final

from router_core.formats import Format, Operation, effort
from router_core.formats.ir import Reasoning
from router_core.rewrite.context import Context
from router_core.rewrite.openai_reasoning import DIALECTS, EFFORT_FIELDS, write_effort
from router_core.rewrite.rule import Rule, When
from router_core.rewrite.trees import without

ADAPTIVE: Final = (4, 6)
"""The first Claude that is told an effort instead of a budget."""
MIN_BUDGET: Final = 1024

type Body = dict[str, Any]


def asked_effort(body: Body, context: Context) -> Body:
    reasoning = effort.parse(context.attempt.effort or "")
    if reasoning is None or context.format is not context.exchange.surface.format:
        return body
    match context.format:
        case Format.ANTHROPIC:
            return _anthropic(body, context.model, reasoning)
        case Format.OPENAI_CHAT:
            return _openai_chat(body, context, reasoning)
        case Format.OPENAI_RESPONSES:
            return _openai_responses(body, context.model, reasoning)
        case Format.GEMINI:
            return _gemini(body, context.model, reasoning)
    return body


def _anthropic(body: Body, model: str, reasoning: Reasoning) -> Body:
    output = without(body.get("output_config") or {}, "effort")
    rest = without(body, "thinking", "output_config") | ({"output_config": output} if output else {})
    if reasoning.enabled is False:
        return rest
    version = effort.claude_version(model)
    if version is not None and version >= ADAPTIVE:
        word = effort.word(reasoning)
        config = {"output_config": output | {"effort": "low" if word == "minimal" else word}} if word else {}
        return rest | {"thinking": {"type": "adaptive"}} | config
    budget = effort.tokens(reasoning)
    budget = effort.BUDGETS["medium"] if budget is None or budget < 0 else max(budget, MIN_BUDGET)
    limit = body.get("max_tokens")
    if type(limit) is int and limit <= budget:
        # The answer must fit on top of the thinking.
        rest = rest | {"max_tokens": budget + limit}
    return rest | {"thinking": {"type": "enabled", "budget_tokens": budget}}


def _openai_chat(body: Body, context: Context, reasoning: Reasoning) -> Body:
    rest = without(body, *EFFORT_FIELDS)
    word = effort.word(reasoning)
    if word is None:
        return rest
    return rest | write_effort(DIALECTS.get(context.among(DIALECTS) or "", "effort"), word, context.model)


def _openai_responses(body: Body, model: str, reasoning: Reasoning) -> Body:
    word = effort.word(reasoning)
    old = body.get("reasoning")
    kept = without(old, "effort") if isinstance(old, dict) else {}
    if word is not None:
        kept = kept | {"effort": effort.nearest(model, word)}
    return body | {"reasoning": kept} if kept else without(body, "reasoning")


def _gemini(body: Body, model: str, reasoning: Reasoning) -> Body:
    key = "generation_config" if "generation_config" in body else "generationConfig"
    config = body.get(key)
    config = config if isinstance(config, dict) else {}
    name = "thinking_config" if "thinking_config" in config else "thinkingConfig"
    old = config.get(name)
    kept = without(old if isinstance(old, dict) else {}, "thinkingLevel", "thinking_level", "thinkingBudget", "thinking_budget")  # fmt: skip
    version = effort.gemini_version(model)
    if version is not None and version >= (3, 0):
        word = effort.word(reasoning)
        level = {"none": "low", "minimal": "low", "medium": "high", "xhigh": "high", "max": "high"}.get(
            word or "", word
        )
        kept = kept | ({"thinkingLevel": level} if level else {})
    else:
        budget = effort.tokens(reasoning)
        kept = kept | {"thinkingBudget": -1 if budget is None else min(budget, 24576)}
    return body | {key: config | {name: kept}}


RULES: Final = (
    Rule(
        name="asked-effort",
        reason="A suffix such as `(high)`, `(8192)` or `(none)` of the model's name, or the target's own, says how much "
        "to think, and each format says it in another way.",
        source="docs/configuration.md; formats' references on reasoning effort and thinking budgets",
        when=When(surface=((None, Operation.GENERATE),)),
        request=asked_effort,
        reads=("output_config", "reasoning", "generationConfig", "generation_config"),
        own=True,
    ),
)
