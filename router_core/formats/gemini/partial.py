"""Function calls whose arguments are streamed (Vertex, ``streamFunctionCallArguments``)."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any, Final

from router_core.formats.gemini.fields import get

_STEP: Final = re.compile(r"""\.([^.\[\]]+)|\[(\d+)\]|\[['"](.*?)['"]\]""")
MAX_INDEX: Final = 10_000
"""The largest array index that a path may name."""


class PartialCall:
    """A call under way; whole calls are added at once."""

    __slots__ = ("arguments", "id", "name", "signature")

    def __init__(self, id: str, name: str):
        self.id = id
        self.name = name
        self.arguments: dict[str, Any] = {}
        self.signature: str | None = None

    def add(self, args: Any, partial: Any) -> None:
        """Adds whole arguments, and pieces: strings grow, other values are set."""
        if isinstance(args, dict):
            self.arguments.update(args)
        for piece in partial or ():
            if isinstance(piece, dict):
                self._set(str(get(piece, "jsonPath") or ""), piece)

    def _set(self, path: str, piece: dict[str, Any]) -> None:
        steps: list[str | int] = [
            int(number) if number else name or quoted for name, number, quoted in _STEP.findall(path)
        ]
        if not steps or any(isinstance(step, int) and step > MAX_INDEX for step in steps):
            return
        node: Any = self.arguments
        for step, following in pairwise(steps):
            node = _child(node, step, [] if isinstance(following, int) else {})
            if node is None:
                return
        last = steps[-1]
        text = get(piece, "stringValue")
        if isinstance(text, str):
            old = _child(node, last, "")
            _put(node, last, (old if isinstance(old, str) else "") + text)
            return
        for name in ("numberValue", "boolValue"):
            value = get(piece, name)
            if value is not None:
                whole = isinstance(value, float) and value.is_integer()
                _put(node, last, int(value) if whole else value)
                return
        _put(node, last, None)


def _child(node: Any, step: str | int, default: Any) -> Any:
    """What stands at `step`, which is `default` where nothing does; None where the path does not fit."""
    if isinstance(node, dict) and isinstance(step, str):
        return node.setdefault(step, default)
    if isinstance(node, list) and isinstance(step, int):
        while len(node) <= step:
            node.append(type(default)() if isinstance(default, dict | list) else default)
        return node[step]
    return None


def _put(node: Any, step: str | int, value: Any) -> None:
    if isinstance(node, dict) and isinstance(step, str):
        node[step] = value
    elif isinstance(node, list) and isinstance(step, int):
        _child(node, step, None)
        node[step] = value
