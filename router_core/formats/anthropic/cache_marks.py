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
    document: dict[str, Any],
    system: list[dict[str, Any]],
    messages: list[dict[str, Any]],
    marks: list[dict[str, Any]],
) -> None:
    """Keeps the marks that fit; without any, marks a conversation that will go on.

    `marks` are the marked blocks of the messages in their order.

    Clients of other formats rely on caching by itself, which Anthropic does not do.
    """
    tools = document.get("tools") or []
    before = [[block for block in blocks if "cache_control" in block] for blocks in (system, tools)]
    for block in surplus(before[0], before[1], marks):
        del block["cache_control"]
    if any(before) or marks or not (tools or len(messages) > 2):
        return
    prefix = system or tools
    if prefix:
        prefix[-1]["cache_control"] = {"type": "ephemeral"}
    last = messages[-1]
    if last["role"] == "user":
        if type(last["content"]) is str:
            last["content"] = [{"type": "text", "text": last["content"]}]
        if last["content"][-1]["type"] in ("text", "tool_result", "image", "document"):
            last["content"][-1]["cache_control"] = {"type": "ephemeral"}
