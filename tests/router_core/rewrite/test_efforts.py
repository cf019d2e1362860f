"""The effort that a model's suffix asks for, in the words of each format."""

from __future__ import annotations

from typing import Any

import pytest

from router_core.formats import Format
from tests.router_core.rewrite.cases import Case

A, C, R, G = Format.ANTHROPIC, Format.OPENAI_CHAT, Format.OPENAI_RESPONSES, Format.GEMINI
OLD, NEW = "claude-sonnet-4-5", "claude-opus-4-6"


def case(format: Format, model: str, effort: str, before: dict[str, Any], after: dict[str, Any] | None, provider: str | None = None) -> Case:  # fmt: skip
    return Case(
        "asked-effort",
        f"{model}({effort})",
        before,
        after,
        format,
        model=model,
        effort=effort,
        provider=provider,
    )


CASES = [
    case(A, OLD, "8192", {"max_tokens": 16000}, {"max_tokens": 16000, "thinking": {"type": "enabled", "budget_tokens": 8192}}),
    case(A, OLD, "high", {"max_tokens": 4000}, {"max_tokens": 28576, "thinking": {"type": "enabled", "budget_tokens": 24576}}),
    case(A, OLD, "100", {"max_tokens": 4000}, {"max_tokens": 4000, "thinking": {"type": "enabled", "budget_tokens": 1024}}),
    case(A, OLD, "none", {"max_tokens": 5, "thinking": {"type": "enabled", "budget_tokens": 2000}}, {"max_tokens": 5}),
    case(A, NEW, "high", {"max_tokens": 5, "output_config": {"format": {}}},
         {"max_tokens": 5, "output_config": {"format": {}, "effort": "high"}, "thinking": {"type": "adaptive"}}),
    case(C, "gpt-5", "minimal", {"messages": []}, {"messages": [], "reasoning_effort": "minimal"}),
    case(C, "o3", "none", {"messages": [], "reasoning_effort": "high"}, {"messages": [], "reasoning_effort": "low"}),
    case(C, "glm-4.7", "none", {"messages": []}, {"messages": [], "thinking": {"type": "disabled"}}, "glm"),
    case(C, "m", "high", {"messages": []}, {"messages": [], "reasoning": {"effort": "high"}}, "openrouter"),
    case(R, "gpt-5.4", "xhigh", {"reasoning": {"summary": "auto"}}, {"reasoning": {"summary": "auto", "effort": "xhigh"}}),
    case(R, "gpt-5.4", "auto", {"reasoning": {"effort": "low"}}, {}),
    case(G, "gemini-2.5-pro", "low", {"contents": []}, {"contents": [], "generationConfig": {"thinkingConfig": {"thinkingBudget": 1024}}}),
    case(G, "gemini-3-pro", "high", {"generationConfig": {"thinkingConfig": {"thinkingBudget": 5, "includeThoughts": True}}},
         {"generationConfig": {"thinkingConfig": {"includeThoughts": True, "thinkingLevel": "high"}}}),
    case(C, "gpt-5", "nonsense", {"messages": []}, None),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_wire(case: Case) -> None:
    case.check(order=False)
