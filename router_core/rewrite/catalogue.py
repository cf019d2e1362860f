"""All built-in rules in the order in which they run; ``docs/rewrites.md`` is generated from this."""

from __future__ import annotations

from typing import Final

from router_core.rewrite import answers
from router_core.rewrite.rule import Rule

BUILT_IN: Final[tuple[Rule, ...]] = (*answers.RULES,)
BY_NAME: Final[dict[str, Rule]] = {rule.name: rule for rule in BUILT_IN}
