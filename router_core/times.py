"""Moments and spans of time as providers write them."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

_UNITS: Final = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ns|us|µs|ms|s|m|h|d)(?![a-z])")


def duration(text: str) -> float | None:
    """Seconds of ``3.5s``, ``1h2m3s``, ``7m59.184s``, ``17ms`` (Go and protobuf notation), or None."""
    text = text.strip().lower()
    parts = _PART.findall(text)
    if not parts or _PART.sub("", text).strip():
        return None
    return sum(float(n) * _UNITS[u] for n, u in parts)


def moment(value: object) -> float | None:
    """The epoch second of a Unix time (seconds or milliseconds) or an RFC 3339 or HTTP date, or None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        text = value.strip()
        try:
            value = float(text)
        except ValueError:
            return date(text)
    if not isinstance(value, int | float) or value != value:
        return None
    # Epoch milliseconds: 10^11 s is the year 5138, 10^11 ms is 1973.
    return value / 1000 if value > 1e11 else float(value)


def date(text: str) -> float | None:
    """The epoch second of an RFC 3339 or HTTP date; without a zone it is UTC."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        try:
            parsed = parsedate_to_datetime(text)
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    try:
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def server_now(date_header: str | None, now: float) -> float:
    """The present by the clock of a server that sent ``Date``; `now` where it agrees or sent none.

    What a server names as a moment is meant by its own clock.
    """
    there = date(date_header) if date_header else None
    # The header has whole seconds, and the answer was under way for some.
    return there if there is not None and abs(there - now) > CLOCKS_DIFFER else now


CLOCKS_DIFFER: Final = 30.0
"""Seconds from which two clocks are said to differ."""


def number(value: object) -> float | None:
    """A finite number, also as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        found = float(value)
    except ValueError:
        return None
    return found if math.isfinite(found) else None
