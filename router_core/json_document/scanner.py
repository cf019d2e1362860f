"""Finds where the values of a JSON text end, at the speed of C."""

from __future__ import annotations

from collections.abc import Callable
from json.scanner import c_make_scanner  # type: ignore[attr-defined]
from types import SimpleNamespace
from typing import Final

import orjson

from router_core.json_document.container import skip_space
from router_core.json_document.text import Json

GONE: Final = object()
"""In the place of a value that is not there."""


class Scanner:
    """Skips values at the speed of C.

    A value's bytes are mostly what orjson would write for it, which is a comparison; where the text is
    spaced or escaped in another way, the standard library's scanner finds the end.
    """

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._compact = True
        self._scan: Callable[[str, int], tuple[Json, int]] | None = None
        self._text = ""

    def skip(self, position: int, value: Json = GONE) -> int:
        """The offset behind the value at `position`, which `value` is likely to be."""
        if self._compact and value is not GONE:
            try:
                guess = orjson.dumps(value)
            except TypeError:
                guess = b"\0"
            end = position + len(guess)
            if self._body.startswith(guess, position) and self._body[end] in b",]} \t\r\n":
                return end
            # Only a container or a string shows how the text is written: 1.0 and 1e0 are the same number.
            self._compact = not isinstance(value, dict | list | str)
        return self._skip(position)

    def skip_items(self, position: int, values: list[Json]) -> int:
        """The offset behind the last of `values`, items that follow each other from `position` on."""
        body = self._body
        if self._compact:
            try:
                guess = orjson.dumps(values)
            except TypeError:
                guess = b""
            end = position + len(guess) - 2
            if guess and body.startswith(guess[1:-1], position) and body[end] in b",]":
                return end
        for value in values[:-1]:
            position = skip_space(body, self.skip(position, value))
            if body[position] != 0x2C:
                raise IndexError
            position = skip_space(body, position + 1)
        return self.skip(position, values[-1])

    def _skip(self, position: int) -> int:
        if self._scan is None:
            # One character for each byte, so that offsets are the same; the values do not matter.
            self._text = self._body.decode("latin-1")
            self._scan = c_make_scanner(_SCANNING)
        return self._scan(self._text, position)[1]


_SCANNING: Final = SimpleNamespace(
    strict=False,
    object_hook=None,
    object_pairs_hook=None,
    # Never raises, where int() refuses many digits.
    parse_float=len,
    parse_int=len,
    parse_constant=len,
    memo={},
)
