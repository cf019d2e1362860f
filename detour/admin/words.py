"""Figures, times and states as people read them; the templates' filters."""

from __future__ import annotations

import math
import time

from router_core.routing.status import describe
from router_core.usage.question import Row


def count(value: float | None) -> str:
    """``950``, ``12.3k``, ``4.56M``; a dash where nothing is known."""
    if value is None:
        return "–"
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            return f"{value / (1e3 if letter == 'k' else size):.3g}{letter}"
    return f"{value:g}"


def dollars(value: float | None) -> str:
    """``$12.34``, ``$0.0042``; ``unknown`` where it is."""
    if value is None:
        return "unknown"
    if value == 0:
        return "$0"
    return f"${value:,.2f}" if value >= 1 else f"${value:.4f}"


def cost(row: Row) -> str:
    """What is owed, with a plus where some of it is not known."""
    return dollars(row.cost) + ("+" if row.unpriced and row.cost is not None else "")


def milliseconds(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.0f} ms" if value < 1000 else f"{value / 1000:.1f} s"


def clock(seconds: float | None) -> str:
    """Local date and time."""
    if not seconds:
        return "–"
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def time_of_day(seconds: float | None) -> str:
    """Local time, for where the date goes without saying."""
    return time.strftime("%H:%M:%S", time.localtime(seconds)) if seconds else "–"


def sentence(text: str) -> str:
    """`text` with a full stop, if it has none."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def iso(seconds: float) -> str:
    """For the datetime attribute of ``<time>``."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def left(until: float | None) -> str:
    """``12 min`` until a time in seconds since the epoch."""
    if until is None:
        return "–"
    seconds = until - time.time()
    return describe(seconds) if seconds > 0 else "now"


def age(seconds: float) -> str:
    return describe(max(1, seconds))


def percent(share: float) -> str:
    return f"{math.floor(share * 100)} %"


def hundredths(share: float) -> int:
    """A share as a whole number of hundredths, at most all of them."""
    return max(0, min(100, round(share * 100)))


FILTERS = {
    "count": count,
    "dollars": dollars,
    "cost": cost,
    "milliseconds": milliseconds,
    "clock": clock,
    "hundredths": hundredths,
    "iso": iso,
    "sentence": sentence,
    "time_of_day": time_of_day,
    "left": left,
    "age": age,
    "percent": percent,
}
