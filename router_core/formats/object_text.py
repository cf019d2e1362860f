"""The JSON text of one object, checked while it comes in pieces.

Every piece goes on as far as it is certain to be JSON (RFC 8259), so what was passed on is always the beginning of
an object. Time and memory do not depend on how much came before.
"""

from __future__ import annotations

import re
from typing import Final

MAX_WORD: Final = 4096
"""Characters of a number or literal, which waits for its end."""

_STRING: Final = re.compile(r'[^"\\\x00-\x1f]*+')
_ESCAPE: Final = re.compile(
    r'\\(?:["\\/bfnrt]|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u(?![dD][89a-fA-F])[0-9a-fA-F]{4})'
)
_HALF_PAIR: Final = re.compile(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_CUT_ESCAPE: Final = re.compile(
    r"\\(?:u[0-9a-fA-F]{0,3})?|\\u[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u(?:[dD](?:[c-fC-F][0-9a-fA-F]?)?)?)?)?"
)
_SPACE: Final = re.compile(r"[ \t\n\r]*+")
_WORD: Final = re.compile(r"[-+.0-9a-zA-Z]++")
_SCALAR: Final = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?|true|false|null", re.ASCII)
_CONTROLS: Final = {chr(n): f"\\u{n:04x}" for n in range(0x20)} | {"\n": "\\n", "\r": "\\r", "\t": "\\t"}

_KEYS: Final = frozenset({"key", "key or }"})
_VALUES: Final = frozenset({"value", "value or ]"})


class Damaged(ValueError):
    """The text is not the JSON of one object, whatever may follow."""


class ObjectText:
    """What is wrong in one way only is put right: bare control characters in strings are escaped, halves of
    surrogate pairs replaced, as most parsers take neither. Brackets that close nothing, and the last piece
    once more, are left out behind the object."""

    __slots__ = ("_expected", "_in_string", "_last", "_open", "_rest")

    def __init__(self) -> None:
        self._expected = "{"
        """What may come next; "" after the object."""
        self._open: list[str] = []
        """The brackets that wait for their ends."""
        self._in_string = False
        self._rest = ""
        """The beginning of an escape or word, which waits for its end."""
        self._last = ""
        """The piece that the object ended in."""

    @property
    def begun(self) -> bool:
        return self._expected != "{"

    @property
    def complete(self) -> bool:
        return not self._expected

    def feed(self, piece: str) -> str:
        """What of the text may be passed on with `piece`. Raises Damaged."""
        if self._in_string and not self._rest and _STRING.fullmatch(piece):
            return piece
        if not self._expected:
            self._after(piece)
            return ""
        text, self._rest = self._rest + piece, ""
        passed: list[str] = []
        position = 0
        while position < len(text):
            if self._in_string:
                position = self._string(text, position, passed)
            elif not self._expected:
                self._last = piece
                self._after(text[position:])
                break
            else:
                position = self._structure(text, position, passed)
        if not self._expected:
            self._last = piece
        return "".join(passed)

    def _after(self, text: str) -> None:
        if text != self._last and text.strip(" \t\n\r}]"):
            raise Damaged("text after the object")

    def _string(self, text: str, position: int, passed: list[str]) -> int:
        match = _STRING.match(text, position)
        assert match
        end = match.end()
        passed.append(text[position:end])
        if end == len(text):
            return end
        found = text[end]
        if found == '"':
            passed.append('"')
            self._in_string = False
            self._expected = ":" if self._expected in _KEYS else self._next()
            return end + 1
        if found != "\\":
            passed.append(_CONTROLS[found])
            return end + 1
        if escape := _ESCAPE.match(text, end):
            passed.append(escape[0])
            return escape.end()
        if _CUT_ESCAPE.fullmatch(text, end):
            self._rest = text[end:]
            return len(text)
        if half := _HALF_PAIR.match(text, end):
            passed.append("\\ufffd")
            return half.end()
        raise Damaged("an unknown escape in a string")

    def _structure(self, text: str, position: int, passed: list[str]) -> int:
        match = _SPACE.match(text, position)
        assert match
        # What stands before the object may be all there is, which is no object.
        space = match[0] if self.begun else ""
        position = match.end()
        if position == len(text):
            passed.append(space)
            return position
        found, expected = text[position], self._expected
        if found == '"' and (expected in _KEYS or expected in _VALUES):
            self._in_string = True
        elif found in "{[" and (expected in _VALUES or found == expected):
            self._open.append(found)
            self._expected = "key or }" if found == "{" else "value or ]"
        elif found == ":" and expected == ":":
            self._expected = "value"
        elif found in "}]" and found == expected[-1]:
            self._open.pop()
            self._expected = self._next()
        elif found == "," and expected[0] == ",":
            self._expected = "key" if self._open[-1] == "{" else "value"
        else:
            passed.append(space)
            return self._word(text, position, passed)
        passed.append(space + found)
        return position + 1

    def _word(self, text: str, position: int, passed: list[str]) -> int:
        word = _WORD.match(text, position)
        if word is None or self._expected not in _VALUES or len(word[0]) > MAX_WORD:
            raise Damaged(f"{self._expected} expected")
        if word.end() == len(text):
            self._rest = word[0]
        elif _SCALAR.fullmatch(word[0]):
            passed.append(word[0])
            self._expected = self._next()
        else:
            raise Damaged("neither a number nor true, false or null")
        return word.end()

    def _next(self) -> str:
        """What is expected after a value."""
        return (", or }" if self._open[-1] == "{" else ", or ]") if self._open else ""
