"""Answers for Amp, whose interface crashes on blocks without a signature. https://ampcode.com"""

from __future__ import annotations

from typing import Final

from router_core.formats import Format, Operation
from router_core.json_document import Json
from router_core.rewrite.context import Context
from router_core.rewrite.rule import Rule, When
from router_core.rewrite.suppression import for_amp
from router_core.rewrite.trees import at


def sign_empty(value: Json, context: Context) -> Json:
    """``signature: ""`` in tool_use and thinking blocks that have none."""
    if not isinstance(value, dict):
        return value
    value = at(value, "content", _signed)
    block = value.get("content_block")
    signed = _signed(block)
    return value if signed is block else value | {"content_block": signed}


def _signed(block: Json) -> Json:
    if isinstance(block, dict) and block.get("type") in ("tool_use", "thinking") and "signature" not in block:
        return block | {"signature": ""}
    return block


RULES: Final = (
    Rule(
        name="amp-empty-signatures",
        reason='Amp\'s interface crashes on tool_use and thinking blocks without `signature`; `""` will do.',
        source="CLIProxyAPI internal/api/modules/amp/response_rewriter.go at 8122b9fe4^",
        when=When(surface=((Format.ANTHROPIC, Operation.GENERATE),)),
        answer=sign_empty,
        event=sign_empty,
        armed=for_amp,
        own=True,
        needles=(b'"tool_use"', b'"thinking"'),
    ),
)
