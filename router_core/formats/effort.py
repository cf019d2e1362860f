"""Reasoning effort as a word and as a budget of tokens, and what the name of a model says about both.

The words are OpenAI's and Anthropic's (none, minimal, low, medium, high, xhigh, max); the budgets are
Anthropic's ``budget_tokens`` and Gemini's ``thinkingBudget``. Going there and back keeps the word.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from router_core.formats.ir import Reasoning

BUDGETS: Final = {
    "none": 0,
    "minimal": 512,
    "low": 1024,
    "medium": 8192,
    "high": 24576,
    "xhigh": 32768,
    "max": 128_000,
}
_CEILINGS: Final = (
    (0, "none"),
    (512, "minimal"),
    (4096, "low"),
    (16384, "medium"),
    (32000, "high"),
    (64000, "xhigh"),
)


def from_budget(budget: int) -> str | None:
    """The word for a budget; None for -1, which leaves it to the model."""
    if budget < 0:
        return None
    return next((word for ceiling, word in _CEILINGS if budget <= ceiling), "max")


def parse(value: str) -> Reasoning | None:
    """What a model suffix or a target asks for: a word, a number of tokens, ``auto``, ``none``."""
    value = value.strip().lower()
    if value in ("auto", "-1"):
        return Reasoning(enabled=True, budget=-1, adaptive=True)
    if value in ("none", "0", "off"):
        return Reasoning(enabled=False, effort="none", budget=0)
    if value in BUDGETS:
        return Reasoning(enabled=True, effort=value)
    if value.isdigit():
        return Reasoning(enabled=True, budget=int(value))
    return None


def word(reasoning: Reasoning) -> str | None:
    """The effort that `reasoning` amounts to; None where the model decides."""
    if reasoning.enabled is False:
        return "none"
    if reasoning.effort:
        return reasoning.effort
    return from_budget(reasoning.budget) if reasoning.budget is not None else None


def tokens(reasoning: Reasoning) -> int | None:
    """The budget that `reasoning` amounts to; -1 or None where the model decides."""
    if reasoning.enabled is False:
        return 0
    if reasoning.budget is not None:
        return reasoning.budget
    return BUDGETS.get(reasoning.effort) if reasoning.effort else None


_CLAUDE: Final = re.compile(
    r"claude-(?:(?P<family>[a-z]+)-)?(?P<major>\d{1,2})(?:[-.](?P<minor>\d{1,2}))?(?![\d])(?:-(?P<old>[a-z]+))?"
)


def claude_version(model: str) -> tuple[int, int] | None:
    """(4, 5) of ``claude-sonnet-4-5-20250929``; None for a model that is no Claude."""
    match = _CLAUDE.search(model.lower())
    return (int(match["major"]), int(match["minor"] or 0)) if match else None


def claude_family(model: str) -> str | None:
    """``sonnet`` of ``claude-sonnet-4-5-20250929``; None for names that do not begin so."""
    match = _CLAUDE.search(model.lower())
    return match["family"] if match else None


_GEMINI: Final = re.compile(r"gemini-(\d+)(?:[.-](\d+))?")


def gemini_version(model: str) -> tuple[int, int] | None:
    """(2, 5) of ``gemini-2.5-flash``; None for other models."""
    match = _GEMINI.search(model.lower())
    return (int(match[1]), int(match[2] or 0)) if match else None


_GPT: Final = re.compile(r"(?:^|/)gpt-(\d)(?:\.(\d))?")


def gpt_version(model: str) -> tuple[int, int] | None:
    """(5, 4) of ``gpt-5.4-mini``; None for other models."""
    match = _GPT.search(model.lower())
    return (int(match[1]), int(match[2] or 0)) if match else None


_OPENAI: Final = re.compile(r"(?:^|/)(?:gpt-(?!oss)|o\d|chatgpt|codex)")
_OPENAI_REASONING: Final = re.compile(r"(?:^|/)(?:o\d|gpt-(?:[5-9]|\d\d)(?!.*-chat)|codex)")
_NO_REASONING: Final = re.compile(
    r"(?:^|/)(?:gpt-[34]|chatgpt-|gpt-5.*-chat|claude-[12]|claude-instant|claude-3(?:-5|-opus|-sonnet|-haiku)"
    r"|gemini-(?:1|2\.0)|llama-?[1-3]|mistral-|mixtral|command-|codestral|qwen2)"
)


def is_openai(model: str) -> bool:
    """Whether the name is of a model that OpenAI itself serves (gpt-oss is open-weight)."""
    return bool(_OPENAI.search(model.lower()))


def is_openai_reasoning(model: str) -> bool:
    return bool(_OPENAI_REASONING.search(model.lower()))


SAMPLING: Final = ("temperature", "top_p")


def fixes_sampling(model: str, effort: str | None) -> bool:
    """Whether OpenAI's `model` takes no other `SAMPLING` than its own: it does where it is told not to reason."""
    return is_openai_reasoning(model) and effort != "none"


def never_reasons(model: str) -> bool:
    """Whether the name is of a model known to reject reasoning parameters; an unknown one may reason."""
    return bool(_NO_REASONING.search(model.lower()))


_EFFORTS: Final[tuple[tuple[re.Pattern[str], tuple[str, ...]], ...]] = (
    (re.compile(r"(?:^|/)gpt-5\.1-codex-max"), ("none", "low", "medium", "high", "xhigh")),
    (re.compile(r"(?:^|/)gpt-5\.1"), ("none", "low", "medium", "high")),
    (re.compile(r"(?:^|/)gpt-5(?:-|$)"), ("minimal", "low", "medium", "high")),
    (re.compile(r"(?:^|/)gpt-(?:6-astra|6\.\d|[7-9])"), ("low", "medium", "high", "xhigh", "max")),
    (re.compile(r"(?:^|/)gpt-(?:5\.[6-9]|6)"), ("none", "low", "medium", "high", "xhigh", "max")),
    (re.compile(r"(?:^|/)gpt-5\.[2-5]"), ("none", "low", "medium", "high", "xhigh")),
    (re.compile(r"(?:^|/)o\d"), ("low", "medium", "high")),
    (re.compile(r""), ("low", "medium", "high")),
)
"""The first row that matches a model names the efforts that it takes (OpenAI: "Reasoning effort")."""

_ORDER: Final = tuple(BUDGETS)


def efforts(model: str) -> tuple[str, ...]:
    """The efforts that an OpenAI-style `model` takes, the weakest first."""
    return next(taken for pattern, taken in _EFFORTS if pattern.search(model.lower()))


CHAT_LACKS: Final = frozenset({"max"})
"""Efforts that OpenAI has in the Responses API only."""


def nearest(model: str, effort: str, lacking: Collection[str] = ()) -> str:
    """The nearest effort that an OpenAI-style `model` takes, the weaker one of two equally near."""
    allowed = [level for level in efforts(model) if level not in lacking]
    if effort in allowed or effort not in BUDGETS:
        return effort
    rank = _ORDER.index(effort)
    return min(allowed, key=lambda word: (abs(_ORDER.index(word) - rank), _ORDER.index(word)))
