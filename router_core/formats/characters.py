"""Texts whose characters are whole: some hosts cut surrogate pairs in two, which many clients' parsers refuse."""

from __future__ import annotations

import re
from typing import Final

from router_core.formats import ir

_HALF: Final = re.compile("[\ud800-\udfff]")
_REPLACEMENT: Final = "\ufffd"


class WholeCharacters:
    """Keeps the first half of a pair for the delta that brings the other; a half without another is U+FFFD."""

    def __init__(self) -> None:
        self._halves: dict[int, str] = {}

    def push(self, event: ir.Event) -> list[ir.Event]:
        if type(event) is ir.Delta:
            if not self._halves and (event.text.isascii() or not _HALF.search(event.text)):
                return [event]
            return self._joined(event)
        if type(event) is ir.PartEnd and self._halves.pop(event.index, ""):
            return [ir.Delta(event.index, _REPLACEMENT), event]
        return [event]

    def _joined(self, event: ir.Delta) -> list[ir.Event]:
        text = self._halves.pop(event.index, "") + event.text
        if "\ud800" <= text[-1:] <= "\udbff":
            self._halves[event.index] = text[-1]
            text = text[:-1]
        if _HALF.search(text):
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return [ir.Delta(event.index, text)] if text else []
