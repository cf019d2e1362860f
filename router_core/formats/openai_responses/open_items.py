"""Output items of an answer that is being read, and how much of them has been passed on."""

from __future__ import annotations

from io import StringIO
from typing import Any

import orjson

from router_core.formats import ir
from router_core.formats.ir import Format


class OpenPart:
    """A part under way, and how much of its text has been passed on."""

    __slots__ = ("index", "instead", "length", "passed", "section", "whole")

    def __init__(self, index: int):
        self.index = index
        self.length = 0
        self.section: Any = None
        self.passed = StringIO()
        """The arguments of a call that have been passed on."""
        self.instead: str | None = None
        """The whole arguments, where the deltas said something else."""
        self.whole = False
        """The upstream has said it in one piece."""


class OpenItem:
    __slots__ = ("call", "done", "gap", "parts", "raw", "thinking")

    def __init__(self) -> None:
        self.parts: dict[int, OpenPart] = {}
        """By ``content_index``."""
        self.thinking: OpenPart | None = None
        self.raw: bool | None = None
        """Whether the reasoning came as it was thought, not as a summary."""
        self.call: OpenPart | None = None
        self.done = False
        self.gap = False
        """Events are missing: what comes in pieces is not passed on, but what is said of the whole."""

    @property
    def unsaid(self) -> bool:
        """Whether a part is missing something that was not said again. Reasoning may lack something."""
        said = [*self.parts.values(), *([self.call] if self.call else [])]
        return self.gap and any(not part.whole for part in said)

    def open_parts(self) -> list[OpenPart]:
        return [*self.parts.values(), *(part for part in (self.thinking, self.call) if part)]

    def ends(self) -> list[ir.Event]:
        return [ir.PartEnd(part.index, instead=part.instead) for part in self.open_parts()]


def rest(part: OpenPart, text: Any) -> list[ir.Event]:
    """What of a final text no delta has said."""
    part.whole = part.whole or isinstance(text, str)
    if not isinstance(text, str) or len(text) <= part.length:
        return []
    rest = text[part.length :]
    part.length = len(text)
    return [ir.Delta(part.index, rest)]


def rest_of_call(part: OpenPart, text: Any) -> list[ir.Event]:
    """What of a call's final arguments no delta has said; where the deltas said something else, its end tells."""
    if not isinstance(text, str) or not text:
        return []
    part.whole = True
    passed = part.passed.getvalue()
    if text.startswith(passed):
        rest = text[len(passed) :]
        part.passed.write(rest)
        return [ir.Delta(part.index, rest)] if rest else []
    part.instead = None if _same_value(passed, text) else text
    return []


def _same_value(one: str, other: str) -> bool:
    try:
        return bool(orjson.loads(one) == orjson.loads(other))
    except ValueError:
        return False


def citation(annotation: dict[str, Any]) -> ir.Citation:
    return ir.Citation(
        annotation.get("url"),
        annotation.get("title") or annotation.get("filename"),
        None,
        annotation.get("start_index"),
        annotation.get("end_index"),
        (Format.OPENAI_RESPONSES, annotation),
    )
