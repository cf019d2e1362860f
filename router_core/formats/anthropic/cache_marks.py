"""Cache marks of Anthropic's requests: ``cache_control`` on blocks (docs.anthropic.com, "Prompt caching")."""

from __future__ import annotations

from typing import Any, Final

MAX_MARKS: Final = 4
"""``cache_control`` blocks in one request."""


def marked(block: dict[str, Any], cache: str | None) -> dict[str, Any]:
    if cache:
        block["cache_control"] = (
            {"type": "ephemeral", "ttl": "1h"} if cache == "1h" else {"type": "ephemeral"}
        )
    return block


def limit_marks(
    document: dict[str, Any], system: list[dict[str, Any]], messages: list[dict[str, Any]]
) -> None:
    """Keeps the last marks that fit; without any, marks a conversation that will go on.

    Clients of other formats rely on caching by itself, which Anthropic does not do.
    """
    tools = document.get("tools") or []
    found = [block for block in (*tools, *system) if "cache_control" in block]
    for message in messages:
        found += [block for block in message["content"] if "cache_control" in block]
    for block in found[:-MAX_MARKS]:
        del block["cache_control"]
    if found or not (tools or len(messages) > 2):
        return
    prefix = system or tools
    if prefix:
        prefix[-1]["cache_control"] = {"type": "ephemeral"}
    last = messages[-1]["content"][-1]
    if last["type"] in ("text", "tool_result", "image", "document") and messages[-1]["role"] == "user":
        last["cache_control"] = {"type": "ephemeral"}
