"""Reasoning as Anthropic's models take it: a budget on older ones, an effort on newer ones.

Sources: Anthropic "Extended thinking", "Adaptive thinking", "Effort".
"""

from __future__ import annotations

from typing import Any, Final

from router_core.formats import ir
from router_core.formats.anthropic.models import (
    HIDES_THINKING,
    THINKS_BY_ITSELF,
    binds_thinking,
    least_thinking,
)
from router_core.formats.context import Target
from router_core.formats.effort import from_budget, never_reasons, tokens, word

MIN_BUDGET: Final = 1024
DEFAULT_BUDGET: Final = 8192
"""Where the client wants reasoning and does not say how much."""
ADAPTIVE: Final = (4, 6)
"""The first version that decides by itself how much to think; `XHIGH` knows one effort more."""
XHIGH: Final = (4, 7)

BLOCK_BINDING: Final = "thinking-binding-controls-2026-08-01"
"""The beta in which a request says what becomes of thinking that does not fit its conversation."""
INTERLEAVED: Final = "interleaved-thinking-2025-05-14"
"""The beta in which models with a budget think between their tool calls too, as newer ones do by themselves."""
THOUGHTS: Final = frozenset({"thinking", "redacted_thinking"})
"""Types of blocks."""


def thinks(document: dict[str, Any], version: tuple[int, int] | None) -> bool:
    """Whether a model of `version` thinks before it answers a request."""
    thinking = document.get("thinking")
    if thinking is None:
        return version is not None and version >= THINKS_BY_ITSELF
    return thinking["type"] in ("enabled", "adaptive")


def forget_last_thoughts(messages: list[dict[str, Any]], target: Target) -> None:
    """Takes the thinking out of the model's last turn.

    "When thinking is disabled, an `assistant` message in the final position cannot contain `thinking`."
    """
    last = next((message for message in reversed(messages) if message["role"] == "assistant"), None)
    blocks = last["content"] if last else ""
    if last and isinstance(blocks, list) and any(block["type"] in THOUGHTS for block in blocks):
        last["content"] = [block for block in blocks if block["type"] not in THOUGHTS]
        target.note("reasoning: none is given back while the model is not to think")


def let_blocks_go(document: dict[str, Any], target: Target) -> None:
    """Has Anthropic drop thinking whose conversation looks different by now, instead of refusing the request.

    Clients of other formats change what was said before it (tools, reminders, summaries), which their own providers
    do not mind. Source: Anthropic, "Prefix checks on thinking blocks".
    """
    if "claude_api" not in target.quirks or not binds_thinking(target.model):
        return
    if not any(block["type"] in THOUGHTS for message in document["messages"] for block in _blocks(message)):
        return
    thinking = document.setdefault("thinking", {"type": "adaptive"})
    if thinking["type"] == "adaptive":
        thinking["block_binding"] = {"prefix_mismatch_behavior": "drop_block"}
        # The rule anthropic-betas-header makes a header of it.
        document.setdefault("betas", []).append(BLOCK_BINDING)


def write_thinking(
    document: dict[str, Any], request: ir.Request, target: Target, version: tuple[int, int] | None
) -> None:
    """Sets ``thinking`` and ``output_config.effort`` where the client asked for reasoning."""
    reasoning = request.reasoning
    if reasoning is None:
        return
    if reasoning.enabled is False or reasoning.effort == "none":
        if version is not None and version >= (3, 7):
            _think_least(document, target)
        return
    if never_reasons(target.model) or target.lacks("thinking"):
        target.drop("reasoning")
        return
    if document.get("tool_choice", {}).get("type") in ("any", "tool"):
        target.drop("reasoning")
        target.note("reasoning: Anthropic does not think when a tool is forced")
        return
    if version is not None and version >= ADAPTIVE:
        document["thinking"] = _adaptive(document, reasoning, version, target)
    elif budgeted := _budgeted(document, reasoning, target):
        document["thinking"] = budgeted
        if "tools" in document and "claude_api" in target.quirks:
            document.setdefault("betas", []).append(INTERLEAVED)


def _think_least(document: dict[str, Any], target: Target) -> None:
    type_ = least_thinking(target.model)
    if type_ is not None:
        document["thinking"] = {"type": type_}
    else:
        document.setdefault("output_config", {})["effort"] = "low"
        target.note_effort("none", "low")


def _adaptive(
    document: dict[str, Any], reasoning: ir.Reasoning, version: tuple[int, int], target: Target
) -> dict[str, Any]:
    effort = word(reasoning)
    if effort:
        given = {"minimal": "low", "xhigh": "xhigh" if version >= XHIGH else "high"}.get(effort, effort)
        target.note_effort(effort, given)
        document.setdefault("output_config", {})["effort"] = given
    if reasoning.show is False:
        return {"type": "adaptive", "display": "omitted"}
    return {"type": "adaptive", **({"display": "summarized"} if version >= HIDES_THINKING else {})}


def _budgeted(document: dict[str, Any], reasoning: ir.Reasoning, target: Target) -> dict[str, Any] | None:
    budget = tokens(reasoning)
    if budget is None or budget < 0:
        budget = DEFAULT_BUDGET
    limit: int = document["max_tokens"]
    if limit <= MIN_BUDGET:
        target.drop("reasoning")
        target.note(f"reasoning: max_tokens {limit} leaves no room for it")
        return None
    if loop_without_thinking(document["messages"]):
        target.drop("reasoning")
        target.note("reasoning: the tool calls under way were not made with Anthropic's thinking")
        return None
    # The answer itself needs room too.
    budget = max(MIN_BUDGET, min(budget, limit - max(1, limit // 5)))
    if reasoning.budget and budget != reasoning.budget and reasoning.budget > 0:
        target.note(f"reasoning: {from_budget(budget)} ({budget} tokens) fits into max_tokens")
    return {"type": "enabled", "budget_tokens": budget}


def loop_without_thinking(messages: list[Any]) -> bool:
    """Whether the last message answers calls in a loop where a turn does not begin with thinking that can be checked.

    With a thinking budget, Anthropic refuses such a request: a loop has thinking in all of its turns or in none.
    """
    place = len(messages) - 1
    while place > 0 and any(block.get("type") == "tool_result" for block in _blocks(messages[place])):
        first = next(iter(_blocks(messages[place - 1])), {})
        if not (first.get("data") if first.get("type") == "redacted_thinking" else "signature" in first):
            return True
        place -= 2
    return False


def _blocks(message: Any) -> list[dict[str, Any]]:
    content = message.get("content") if isinstance(message, dict) else None
    return [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []
