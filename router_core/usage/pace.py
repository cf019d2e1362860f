"""How fast an answer comes while it comes: an estimate, since most upstreams report tokens only at the end.

The text in the pieces of a stream is counted, at four characters a token. It is only counted while somebody
looks (`router_core.usage.activity.Activity.watched`).
"""

from __future__ import annotations

import re
from typing import Final

from router_core.formats import Format

CHARACTERS: Final = 4.0
"""Of a token, roughly, in the languages that models mostly write."""
WINDOW: Final = 3.0
"""Seconds; the pace is that of the last one or two windows."""
SOONEST: Final = 0.5
"""Seconds of looking before anything is said."""

_STRING: Final = rb'\s*:\s*"((?:[^"\\]|\\.)*)"'
_TEXT: Final[dict[Format, re.Pattern[bytes]]] = {
    Format.ANTHROPIC: re.compile(rb'"(?:text|thinking|partial_json)"' + _STRING),
    Format.OPENAI_CHAT: re.compile(rb'"(?:content|reasoning_content|reasoning|refusal|arguments)"' + _STRING),
    # The events that are over repeat all of their text under other names.
    Format.OPENAI_RESPONSES: re.compile(rb'"delta"' + _STRING),
    Format.GEMINI: re.compile(rb'"text"' + _STRING),
    Format.OLLAMA: re.compile(rb'"(?:content|thinking)"' + _STRING),
}


class Pace:
    """Of one exchange. `now` is in monotonic seconds."""

    __slots__ = ("_before", "_begun", "_characters", "_text")

    def __init__(self, format: Format, now: float) -> None:
        self._text = _TEXT[format]
        self._begun = now
        self._characters = 0
        self._before: tuple[float, int] | None = None
        """When the window before began, and what it held."""

    def feed(self, data: bytes, now: float) -> None:
        """Takes a piece of the stream, decoded."""
        if now - self._begun > WINDOW:
            self._before = (self._begun, self._characters)
            self._begun, self._characters = now, 0
        self._characters += sum(map(len, self._text.findall(data)))

    def tokens_per_second(self, now: float) -> float | None:
        """None as long as too little was seen."""
        begun, characters = self._before or (self._begun, 0)
        if now - begun < SOONEST:
            return None
        return round((characters + self._characters) / CHARACTERS / (now - begun), 1)
