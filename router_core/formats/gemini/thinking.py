"""How much a Gemini model is asked to think (ai.google.dev, "Gemini thinking")."""

from __future__ import annotations

from typing import Any, Final

from router_core.formats.context import Target
from router_core.formats.effort import never_reasons, tokens, word
from router_core.formats.ir import Request

_FLASH_LEVELS: Final = {"none": "minimal", "minimal": "minimal", "low": "low", "medium": "medium"}
_PRO_LEVELS: Final = {"none": "low", "minimal": "low", "low": "low", "medium": "medium"}


def write_thinking(request: Request, target: Target, version: tuple[int, int] | None) -> dict[str, Any]:
    """``thinkingConfig``: a level since Gemini 3, a budget before ("Gemini thinking")."""
    wanted = request.reasoning
    if wanted is None:
        return {}
    if never_reasons(target.model) or target.lacks("thinking"):
        target.drop("reasoning", wanted.enabled is not False)
        return {}
    config: dict[str, Any] = {}
    if wanted.show is not False and wanted.enabled is not False:
        config["includeThoughts"] = True
    effort = word(wanted)
    if version is not None and version >= (3, 0):
        if effort is not None:
            level = _level(target.model, version, effort)
            target.note_effort(effort, level)
            config["thinkingLevel"] = level.upper()
        return config
    budget = tokens(wanted)
    if budget is None:
        return config
    pro = "pro" in target.model
    most, least = (32768, 128) if pro else (24576, 0)
    config["thinkingBudget"] = budget if budget < 0 else max(least, min(budget, most))
    if budget == 0 and pro:
        target.note("reasoning: this model always thinks")
    return config


def _level(model: str, version: tuple[int, int], effort: str) -> str:
    if "flash" in model and (version < (3, 6) or "lite" in model):
        return _FLASH_LEVELS.get(effort, "high")
    if effort == "medium" and version == (3, 0):
        # The first Gemini 3 Pro knows low and high only.
        return "high"
    return _PRO_LEVELS.get(effort, "high")
