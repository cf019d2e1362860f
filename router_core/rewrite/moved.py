"""What a conversation leaves behind when it moves from one account to another."""

from __future__ import annotations

from typing import Final

from router_core.json_document import Json
from router_core.rewrite.context import Context
from router_core.rewrite.rule import Rule
from router_core.routing.continuity import without_state


def leave_state(body: Json, context: Context) -> Json:
    return without_state(body, context.attempt.endpoint.format) if context.attempt.drop_state else body


RULES: Final = (
    Rule(
        name="state-of-another-account",
        reason="Signed thinking and encrypted reasoning are refused by every account but the one that made them, so a "
        "conversation that fails over leaves them behind.",
        source="router_core/routing/continuity.py lists what each format carries",
        request=leave_state,
    ),
)
