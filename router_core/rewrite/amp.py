"""Answers for Amp, whose interface crashes on blocks without a signature. https://ampcode.com"""

from __future__ import annotations

from typing import Any, Final

from router_core.formats import Format, Operation
from router_core.json_document import Json
from router_core.rewrite.context import Context
from router_core.rewrite.rule import DROPPED, Rule, When
from router_core.rewrite.trees import at, objects

SUPPRESS: Final = "suppress-thinking"
_THINKING: Final = ("thinking", "redacted_thinking")


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


def suppress_in_body(value: Json, context: Context) -> Json:
    """Without thinking where a tool is used."""
    if not isinstance(value, dict):
        return value
    blocks = objects(value.get("content"))
    if not any(b.get("type") == "tool_use" for b in blocks) or not any(
        b.get("type") in _THINKING for b in blocks
    ):
        return value
    kept = [b for b in value["content"] if not (isinstance(b, dict) and b.get("type") in _THINKING)]
    return value | {"content": kept}


def suppress_in_stream(value: Json, context: Context) -> Json:
    """Without thinking blocks, from start to stop; the blocks behind them move up.

    They have to: Anthropic's SDKs keep blocks in a list and look them up by index.
    """
    kind = value.get("type")
    if kind == "message_start":
        context.state.pop(SUPPRESS, None)
        return value
    index = value.get("index")
    if kind != "content_block_start" and SUPPRESS not in context.state:
        return value
    if type(index) is not int or kind not in (
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
    ):
        return value
    gone: set[int] = context.state.setdefault(SUPPRESS, set())
    if kind == "content_block_start":
        block: dict[str, Any] = value["content_block"]
        gone.discard(index)
        if block.get("type") in _THINKING:
            gone.add(index)
    if index in gone:
        return DROPPED
    before = sum(1 for i in gone if i < index)
    return value | {"index": index - before} if before else value


def _is_near_thinking(raw: bytes, context: Context) -> bool:
    # What follows a block that went must move up.
    return b"thinking" in raw or b"message_start" in raw or bool(context.state.get(SUPPRESS))


def _for_amp(context: Context) -> bool:
    surface = context.exchange.surface
    provider = surface.provider
    return context.exchange.client.tool == "amp" or (
        provider is not None and "amp_signatures" in provider.quirks
    )


_ANTHROPIC: Final = ((Format.ANTHROPIC, Operation.GENERATE),)

RULES: Final = (
    Rule(
        name=SUPPRESS,
        reason="Amp cannot show thinking beside a tool's use: in a body thinking goes where a tool is used, in a stream "
        "always. Other clients get it by a rule of the user's with `action: suppress-thinking`.",
        source="CLIProxyAPI internal/api/modules/amp/response_rewriter.go at 8122b9fe4^",
        when=When(surface=_ANTHROPIC),
        answer=suppress_in_body,
        event=suppress_in_stream,
        armed=_for_amp,
        own=True,
        whole=True,
        concerns=_is_near_thinking,
    ),
    Rule(
        name="amp-empty-signatures",
        reason='Amp\'s interface crashes on tool_use and thinking blocks without `signature`; `""` will do.',
        source="CLIProxyAPI internal/api/modules/amp/response_rewriter.go at 8122b9fe4^",
        when=When(surface=_ANTHROPIC),
        answer=sign_empty,
        event=sign_empty,
        armed=_for_amp,
        own=True,
        needles=(b'"tool_use"', b'"thinking"'),
    ),
)
