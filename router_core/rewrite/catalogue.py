"""All built-in rules in the order in which they run; ``docs/rewrites.md`` is generated from this."""

from __future__ import annotations

from typing import Final

from router_core.rewrite import (
    amp,
    answers,
    anthropic,
    carried,
    efforts,
    gemini,
    models,
    moved,
    openai_chat,
    openai_responses,
    openrouter,
    suppression,
)
from router_core.rewrite.rule import Rule

BUILT_IN: Final[tuple[Rule, ...]] = (
    *gemini.ENVELOPES,
    *carried.RULES,
    *moved.RULES,
    *efforts.RULES,
    *anthropic.RULES,
    *openai_chat.RULES,
    *openrouter.RULES,
    *openai_responses.RULES,
    *gemini.RULES,
    *answers.RULES,
    *models.RULES,
    *suppression.RULES,
    *amp.RULES,
)
DOCUMENTED: Final = (models.TRANSLATION, *BUILT_IN, models.NAME_MODEL)
FIXED: Final = frozenset({models.TRANSLATION.name, models.NAME_MODEL.name})
BY_NAME: Final[dict[str, Rule]] = {rule.name: rule for rule in BUILT_IN}
