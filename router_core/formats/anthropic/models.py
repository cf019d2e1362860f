"""What Claude's models refuse or do by themselves, by family and first version.

Sources: Anthropic, migration guides of Opus 5.5, Sonnet 5.5 and Fable 5.1; "Thinking"; "Models overview".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from router_core.formats.effort import claude_family, claude_version

type Version = tuple[int, int]

THINKS_BY_ITSELF: Final[Version] = (5, 0)
"""The first version that thinks where a request says nothing about it."""
HIDES_THINKING: Final[Version] = (4, 7)
"""The first version that shows no thinking where a request says nothing about it."""

_FORCES_NO_TOOL: Final = {"opus": (5, 5), "sonnet": (5, 5), "fable": (5, 1), "mythos": (5, 1)}
_ALWAYS_THINKS: Final = {"opus": (5, 5), "fable": (5, 0), "mythos": (5, 0)}
_THINKS_BETWEEN_TOOLS: Final = {"sonnet": (5, 5)}
_BINDS_THINKING: Final = {
    "opus": (5, 5),
    "sonnet": (5, 5),
    "haiku": (5, 5),
    "fable": (5, 1),
    "mythos": (5, 1),
}
_OUTPUT_LIMITS: Final = (((4, 0), 32_000), ((3, 7), 32_000), ((3, 5), 8192), ((0, 0), 4096))
"""Version to a limit that all its models accept."""
UNKNOWN_LIMIT: Final = 8192
"""``max_tokens`` for a model of which nothing is known; the field is required."""


def output_limit(model: str) -> int:
    """``max_tokens`` where the client gives none."""
    version = claude_version(model)
    if version is None:
        return UNKNOWN_LIMIT
    return next(tokens for at_least, tokens in _OUTPUT_LIMITS if version >= at_least)


def takes_forced_tools(model: str) -> bool:
    """Whether ``tool_choice`` may be ``any`` or ``tool``."""
    return not _since(_FORCES_NO_TOOL, model)


def least_thinking(model: str) -> str | None:
    """The ``thinking.type`` with which it thinks least; None where it always thinks."""
    if _since(_ALWAYS_THINKS, model):
        return None
    return "between_tools" if _since(_THINKS_BETWEEN_TOOLS, model) else "disabled"


def binds_thinking(model: str) -> bool:
    """Whether it takes thinking back from no other model, other Claudes included."""
    return _since(_BINDS_THINKING, model)


def _since(first: Mapping[str, Version], model: str) -> bool:
    version, least = claude_version(model), first.get(claude_family(model) or "")
    return version is not None and least is not None and version >= least
