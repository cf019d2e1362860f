"""What ``sequence_number`` tells of a stream: events that came before, and gaps where events are missing."""

from __future__ import annotations

from typing import Any, Final

RECENT: Final = 64
"""Events that are remembered by their numbers, to know them when they come again."""
TRUSTED: Final = 2
"""Events in unbroken order after which a gap means something: some hosts count in ways of their own."""


class Numbering:
    def __init__(self) -> None:
        self._tells = True
        """Whether different events have different numbers."""
        self._recent: dict[int, dict[str, Any]] = {}
        self._next: int | None = None
        self._in_order = 0
        self.gap = False
        """Whether events are missing between the last one and those before it."""

    def repeats(self, event: dict[str, Any]) -> bool:
        """Whether `event` came before; if not, `gap` is about it."""
        self.gap = False
        number = event.get("sequence_number")
        if not self._tells or not isinstance(number, int):
            return False
        before = self._recent.get(number)
        if before is None:
            self._count(number)
            self._recent[number] = event
            if len(self._recent) > RECENT:
                del self._recent[next(iter(self._recent))]
            return False
        if before == event:
            return True
        self._tells = False
        self._recent.clear()
        return False

    def _count(self, number: int) -> None:
        expected, self._next = self._next, max(number + 1, self._next or 0)
        if expected is None or number == expected:
            self._in_order += 1
        elif number > expected:
            self.gap = self._in_order >= TRUSTED
            self._in_order = min(self._in_order, TRUSTED)
