"""What can be asked of the ledger, and the rows of the answer. `router_core.usage.report` answers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any, Final

from router_core.usage.columns import DIMENSIONS, SESSION_DIMENSIONS

GROUPS: Final = ("day", "hour", "month", *DIMENSIONS, "session")
"""What a report can be grouped by; at most one of day, hour and month."""

MAX_ROWS: Final = 10_000
FIRST_DAY: Final = date(1970, 1, 2)
"""Midnight of it is after the epoch, in every zone of the world."""
LAST_DAY: Final = date(2999, 12, 31)


class QuestionError(ValueError):
    """The question makes no sense; the message says why."""


@dataclass(frozen=True, slots=True)
class Question:
    by: tuple[str, ...] = ()
    since: date | None = None
    until: date | None = None
    """The last day that counts."""
    where: Mapping[str, str] | None = None
    """Dimension (or session) to the value that it must have."""
    limit: int = MAX_ROWS

    def __post_init__(self) -> None:
        for name in self.by:
            if name not in GROUPS:
                raise QuestionError(f"usage cannot be grouped by {name!r}; choose from {', '.join(GROUPS)}")
        for name in self.where or {}:
            if name not in (*DIMENSIONS, "session"):
                raise QuestionError(f"usage cannot be selected by {name!r}")
        if any("\0" in value for value in (self.where or {}).values()):
            # Which PostgreSQL cannot even be asked for.
            raise QuestionError("no name holds a NUL character")
        if self.since and self.until and self.since > self.until:
            raise QuestionError(f"the first day, {self.since}, is after the last, {self.until}")
        if sum(name in ("day", "hour", "month") for name in self.by) > 1:
            raise QuestionError("usage is grouped by one of day, hour and month, not by two of them")
        if self.session is None and "session" in self.by:
            known = ("day", "month", "session", *SESSION_DIMENSIONS)
            if beyond := [name for name in (*self.by, *(self.where or {})) if name not in known]:
                raise QuestionError(
                    f"name one session to see it by {beyond[0]}; all sessions are kept by {', '.join(known)}"
                )

    @property
    def session(self) -> str | None:
        """The one session that is asked about."""
        return (self.where or {}).get("session")


def grouping(texts: Iterable[str]) -> tuple[str, ...]:
    """The names in texts like ``provider,model``, each once."""
    names = (name.strip() for text in texts for name in text.split(","))
    return tuple(dict.fromkeys(name for name in names if name))


def period_asked(since: str | None, until: str | None, today: date) -> tuple[date, date]:
    """First and last day as they were asked for; without, the last 30 days. Raises QuestionError."""
    last = day_asked(until, today) if until else today
    return day_asked(since, today) if since else last - timedelta(days=29), last


def day_asked(text: str, today: date) -> date:
    """The day of ``2026-03-01``, ``today``, ``yesterday``, or ``7d``, the first of the last seven. Raises QuestionError."""
    if match := re.fullmatch(r"([0-9]{1,4})d", text):
        return today - timedelta(days=max(0, int(match[1]) - 1))
    if text in ("today", "yesterday"):
        return today - timedelta(days=text == "yesterday")
    try:
        return _within(date.fromisoformat(text))
    except ValueError:
        raise QuestionError(f"{text!r} is not a day; write 2026-03-01, 7d, today or yesterday") from None


def month_asked(text: str) -> date:
    """The first day of ``2026-03``. Raises QuestionError."""
    try:
        return _within(date.fromisoformat(f"{text}-01"))
    except ValueError:
        raise QuestionError(f"{text!r} is not a month; write it as 2026-03") from None


def _within(day: date) -> date:
    if not FIRST_DAY <= day <= LAST_DAY:
        raise ValueError("no ledger can hold it")
    return day


@dataclass(frozen=True, slots=True)
class Row:
    group: dict[str, str]
    """The value of each name in `Question.by`; hours as ISO 8601 with the local offset."""
    requests: int
    errors: int
    cancelled: int
    refused: int
    failed_attempts: int
    input: int
    output: int
    reasoning: int
    cache_read: int
    cache_write: int
    cache_write_1h: int
    server_tools: int
    cost: float | None
    """US dollars that are owed; None where nothing of it is known."""
    notional: float
    """US dollars that subscriptions covered."""
    unpriced: int
    """Exchanges whose cost is unknown."""
    duration_ms: int
    tokens_per_second: float | None
    first_byte_ms: dict[str, int] | None = None
    """``p50``, ``p90`` and ``p99``, by the hour only: the upper edge of the bucket that holds each."""

    @property
    def tokens(self) -> int:
        return self.input + self.cache_read + self.cache_write + self.output

    def document(self) -> dict[str, Any]:
        """The row as JSON values, its group first."""
        values = asdict(self)
        return {**values.pop("group"), "tokens": self.tokens, **values}
