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


def surplus[Marked](
    system: list[Marked], tools: list[Marked], messages: list[Marked], further: int = 0
) -> list[Marked]:
    """Those of the marked blocks, each list in its order, whose marks are too many; `further` marks stay.

    The earliest go. The last of system and tools cover all that stands before them, so those go last.
    """
    order = [*system[:-1], *tools[:-1], *messages, *system[-1:], *tools[-1:]]
    return order[: max(0, len(order) + further - MAX_MARKS)]


def limit_marks(
    document: dict[str, Any], system: list[dict[str, Any]], messages: list[dict[str, Any]]
) -> None:
    """Keeps the marks that fit; without any, marks a conversation that will go on.

    Clients of other formats rely on caching by itself, which Anthropic does not do.
    """
    tools = document.get("tools") or []
    said = [block for message in messages for block in message["content"]]
    marks = [[block for block in blocks if "cache_control" in block] for blocks in (system, tools, said)]
    for block in surplus(marks[0], marks[1], marks[2]):
        del block["cache_control"]
    if any(marks) or not (tools or len(messages) > 2):
        return
    prefix = system or tools
    if prefix:
        prefix[-1]["cache_control"] = {"type": "ephemeral"}
    last = messages[-1]["content"][-1]
    if last["type"] in ("text", "tool_result", "image", "document") and messages[-1]["role"] == "user":
        last["cache_control"] = {"type": "ephemeral"}
