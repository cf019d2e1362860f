"""Thinking blocks that Claude would refuse.

https://docs.claude.com/en/docs/build-with-claude/extended-thinking
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from router_core.formats import Format
from router_core.formats.anthropic.thinking import THOUGHTS, loop_without_thinking
from router_core.formats.carried import budgeted
from router_core.json_document import Json
from router_core.rewrite.context import Context
from router_core.rewrite.paths import GONE
from router_core.rewrite.signatures import is_claude
from router_core.rewrite.trees import at, changed, without

CLAUDE: Final = "claude_api"
"""Quirk of providers that are Anthropic's own API, with all of its checks."""
AMP: Final = "amp_signatures"
"""Quirk of Amp's servers, which refuse thinking without a signature and take messages without content."""
UNSIGNED: Final = "unsigned_thinking"
"""Quirk of providers whose own thinking carries no signature."""

type Body = dict[str, Any]


def drop_unsigned_thinking(body: Body, context: Context) -> Body:
    if not (reads_claude(context) or AMP in context.provider.quirks) or UNSIGNED in context.provider.quirks:
        return body

    def unsigned(block: Json) -> bool:
        signature = block.get("signature")
        return not (isinstance(signature, str) and signature.strip())

    return _without_thinking(body, context, unsigned)


def echo_thinking(body: Body, context: Context) -> Body:
    thinking = body.get("thinking")
    if isinstance(thinking, dict) and thinking.get("type") == "disabled":
        return body

    def message(value: Json) -> Json:
        content = (
            value.get("content") if isinstance(value, dict) and value.get("role") == "assistant" else None
        )
        if not isinstance(content, list):
            return value
        types = {block.get("type") for block in content if isinstance(block, dict)}
        return (
            value if "tool_use" not in types or types & THOUGHTS else value | {"content": [_BLANK, *content]}
        )

    return at(body, "messages", message)


_BLANK: Final = {"type": "thinking", "thinking": " ", "signature": ""}


def unsign_tools(body: Body, context: Context) -> Body:
    if not reads_claude(context) or AMP in context.provider.quirks:
        return body
    blocks = context.blocks(body.get("messages"))
    if not any("signature" in block and block.get("type") == "tool_use" for _, block in blocks):
        return body

    def message(value: Json) -> Json:
        return at(value, "content", block) if isinstance(value, dict) else value

    def block(value: Json) -> Json:
        called = isinstance(value, dict) and value.get("type") == "tool_use"
        return without(value, "signature") if called else value

    return at(body, "messages", message)


def drop_foreign_thinking(body: Body, context: Context) -> Body:
    if not reads_claude(context) or AMP in context.provider.quirks:
        return body
    if context.exchange.surface.format is not Format.ANTHROPIC:
        # Translation gives each model back only what it made itself.
        return body

    def foreign(block: Json) -> bool:
        signature = block.get("signature")
        return isinstance(signature, str) and not is_claude(signature)

    return _without_thinking(body, context, foreign)


def reads_claude(context: Context) -> bool:
    """Whether a Claude model reads the request. Others with this format sign as they like, or not at all."""
    return CLAUDE in context.provider.quirks or "claude" in context.model.lower()


def _without_thinking(body: Body, context: Context, gone: Callable[[Json], bool]) -> Body:
    messages = body.get("messages")
    if not isinstance(messages, list):
        return body
    blocks = context.blocks(messages)
    if not any(role == "assistant" and _is_thinking(block) and gone(block) for role, block in blocks):
        return body
    last = messages[-1]

    def message(value: Json) -> Json:
        if not isinstance(value, dict) or value.get("role") != "assistant":
            return value
        kept = at(value, "content", lambda b: GONE if _is_thinking(b) and gone(b) else b)
        if (
            kept is not value
            and not kept["content"]
            and value is not last
            and CLAUDE in context.provider.quirks
        ):
            # "all messages must have non-empty content except for the optional final assistant message"
            return GONE
        return kept

    new = changed(messages, message)
    if new is messages or not new:
        return body
    if reads_claude(context) and budgeted(body.get("thinking")) and loop_without_thinking(new):
        # The calls under way were made without Claude's thinking, which it would miss.
        body = without(body, "thinking")
    return body | {"messages": new}


def _is_thinking(block: Json) -> bool:
    return isinstance(block, dict) and block.get("type") == "thinking"
