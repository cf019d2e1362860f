"""Output items of an answer that is being read, and how much of them has been passed on."""

from __future__ import annotations

from typing import Any

from router_core.formats import ir
from router_core.formats.ir import Format


class OpenPart:
    """A part under way, and how much of its text has been passed on."""

    __slots__ = ("index", "length", "section")

    def __init__(self, index: int):
        self.index = index
        self.length = 0
        self.section: Any = None


class OpenItem:
    __slots__ = ("call", "done", "parts", "raw", "thinking")

    def __init__(self) -> None:
        self.parts: dict[int, OpenPart] = {}
        """By ``content_index``."""
        self.thinking: OpenPart | None = None
        self.raw: bool | None = None
        """Whether the reasoning came as it was thought, not as a summary."""
        self.call: OpenPart | None = None
        self.done = False


def rest(part: OpenPart, text: Any) -> list[ir.Event]:
    """What of a final text no delta has said."""
    if not isinstance(text, str) or len(text) <= part.length:
        return []
    rest = text[part.length :]
    part.length = len(text)
    return [ir.Delta(part.index, rest)]


def citation(annotation: dict[str, Any]) -> ir.Citation:
    return ir.Citation(
        annotation.get("url"),
        annotation.get("title") or annotation.get("filename"),
        None,
        annotation.get("start_index"),
        annotation.get("end_index"),
        (Format.OPENAI_RESPONSES, annotation),
    )
