"""A conversation as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from router_core.capture.conversation import Conversation
from router_core.capture.turns import Part

LONG: Final = 4000
"""Characters of one part that are shown unless everything is asked for."""


def render(conversation: Conversation, limit: int | None = LONG) -> str:
    """`conversation` as text; parts of more than `limit` characters are folded, None shows all."""
    lines: list[str] = []
    if conversation.settings:
        lines += [f"{name}: {value}" for name, value in conversation.settings]
    if conversation.tools:
        lines.append(f"tools ({len(conversation.tools)}): {', '.join(conversation.tools)}")
    for turn in conversation.turns:
        lines += ["", f"[{turn.role}]"]
        for part in turn.parts:
            lines += _indented(_label(part), part.text, limit)
    if conversation.usage:
        lines += ["", "usage: " + ", ".join(f"{name} {value}" for name, value in conversation.usage)]
    return "\n".join(lines).strip("\n") + "\n"


def _label(part: Part) -> str:
    match part.kind:
        case "text":
            return ""
        case "call":
            return f"-> {part.name} "
        case "result":
            return f"<- {part.name} "
        case kind:
            return f"({kind}{' ' + part.name if part.name else ''}) "


def _indented(label: str, text: str, limit: int | None) -> Iterable[str]:
    if limit is not None and len(text) > limit:
        half = limit // 2
        text = f"{text[:half]}\n... {len(text) - 2 * half} characters ...\n{text[-half:]}"
    first, *rest = (label + text).splitlines() or [label]
    return [f"  {first}", *(f"  {line}" for line in rest)]
