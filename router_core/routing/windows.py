"""Quota windows: how much of an allowance is used, and when it begins anew.

Two sources. What providers reveal in the headers of every answer (`read_windows`) is a snapshot, replaced
by the next. What a person sets (``limits`` of a credential or client key) is counted here, in windows that
`bounds` places on the calendar.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from typing import Final

from router_core.config.schema import QuotaLimit
from router_core.exchange import Headers
from router_core.routing.resets import BEYOND, MAX_AHEAD, codex_reset, ratelimit_value
from router_core.times import moment, number, server_now

FIVE_HOURS: Final = 5 * 3600.0
MAX_WINDOWS: Final = 16
"""Windows of one answer; names come from header names."""
MAX_KNOWN: Final = 64
"""Windows of one credential, with all of its models."""


@dataclass(frozen=True, slots=True)
class Window:
    name: str
    """``5h``, ``7d``, ``primary``, ``tokens`` ..., or of a limit ``day tokens``."""
    used: float
    """Share, 0 to 1; above 1 where the provider lets one overdraw."""
    reset: float | None = None
    """Seconds since the epoch."""
    source: str = ""
    """The header, or ``limits``."""
    allowed: bool = False
    """The provider says that requests go through whatever the share (overdraft, extra usage)."""
    shared: bool = True
    """Covers all models of the credential."""
    model: str | None = None
    """The model that was asked for where it covers single ones, as `key_of` in `cooldown` names it."""

    def of(self, model: str) -> Window:
        """This window of single models as `model` met it."""
        return replace(self, name=f"{self.name} of {model}" if model else self.name, model=model)

    def closed(self, reserve: float, now: float) -> bool:
        """Whether what may be used is used."""
        if self.reset is None or self.reset <= now or self.name == BEYOND:
            return False
        return self.used >= 1 - reserve and not (self.allowed and reserve == 0)


_UNIFIED: Final = re.compile(r"anthropic-ratelimit-unified-(.+)-utilization")
_CODEX: Final = re.compile(r"x-codex-(primary|secondary)-used-percent")
_LIMIT: Final = re.compile(
    r"(anthropic-ratelimit|x-ratelimit|ratelimit)(?:-(?P<before>.+))?-remaining(?:-(?P<after>.+))?"
)


def read_windows(headers: Headers, now: float) -> list[Window]:
    """The windows that an answer's headers reveal; empty for most providers. `now` is the wall clock."""
    known = {n: v for name, v in headers if "ratelimit" in (n := name.lower()) or n.startswith("x-codex-")}
    if not known:
        return []
    there = server_now(next((v for name, v in headers if name.lower() == "date"), None), now)
    found = []
    for name, value in known.items():
        window = (
            _unified(name, value, known, there)
            or _codex(name, value, known, there)
            or _remaining(name, value, known, there)
        )
        if window is not None:
            reset = None if window.reset is None else window.reset + now - there
            found.append(replace(window, reset=reset))
    return found[:MAX_WINDOWS]


def _unified(name: str, value: str, headers: Mapping[str, str], now: float) -> Window | None:
    """Anthropic's subscription windows (observed from Claude Code's traffic): utilization is a share."""
    match = _UNIFIED.fullmatch(name)
    used = number(value)
    if not match or used is None or used < 0:
        return None
    prefix = name.removesuffix("utilization")
    status = headers.get(f"{prefix}status", "").lower()
    reset = _ahead(moment(headers.get(f"{prefix}reset")), now)
    allowed = status.startswith("allowed") or _goes_beyond(headers)
    return Window(match[1], used, reset, name, allowed, match[1] in ("5h", "7d", BEYOND))


def _goes_beyond(headers: Mapping[str, str]) -> bool:
    """The plan's window may be used up: requests go through all the same, and are paid for apart."""
    whole, beyond = (
        headers.get(f"anthropic-ratelimit-unified-{name}status", "").lower() for name in ("", f"{BEYOND}-")
    )
    return whole.startswith("allowed") and beyond.startswith("allowed")


def _codex(name: str, value: str, headers: Mapping[str, str], now: float) -> Window | None:
    match = _CODEX.fullmatch(name)
    percent = number(value)
    if not match or percent is None or percent < 0:
        return None
    prefix = name.removesuffix("used-percent")
    reset = _ahead(codex_reset(headers, prefix.removesuffix("-"), now), now)
    return Window(match[1], percent / 100, reset, name)


def _remaining(name: str, value: str, headers: Mapping[str, str], now: float) -> Window | None:
    """``x-ratelimit-{limit,remaining,reset}-{requests,tokens}`` and Anthropic's for keys: limits of single models."""
    match = _LIMIT.fullmatch(name)
    remaining = number(value)
    limit = number(headers.get(name.replace("remaining", "limit")))
    if match and remaining is not None and remaining <= 0 and not limit:
        # Used up, whatever of.
        limit = 1.0
    if not match or remaining is None or not limit or limit <= 0:
        return None
    reset = ratelimit_value(headers.get(name.replace("remaining", "reset"), ""), now)
    label = match["before"] or match["after"] or "requests"
    used = min(1.0, max(0.0, 1 - remaining / limit))
    return Window(label, used, _ahead(reset, now), name, shared=False)


def laid_over(known: Mapping[str, Window], news: Iterable[Window], now: float) -> dict[str, Window]:
    """`known` windows of a credential by name with `news` over them; without those that are over, and not too many."""
    found = {**known, **{w.name: w for w in news}}
    kept = sorted(
        (w for w in found.values() if w.reset is None or w.reset > now),
        key=lambda w: (w.model is None, w.reset or 0),
    )
    return {w.name: w for w in kept[-MAX_KNOWN:]}


def _ahead(reset: float | None, now: float) -> float | None:
    return reset if reset is not None and now < reset <= now + MAX_AHEAD else None


def parse_time_of_day(text: str) -> time:
    """``HH:MM``. Raises ValueError with the remedy."""
    try:
        if not re.fullmatch(r"\d\d:\d\d", text):
            raise ValueError
        return time.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a time of day; write HH:MM") from None


def bounds(limit: QuotaLimit, now: float) -> tuple[float, float]:
    """Start and end of the window of `limit` that holds `now`, in seconds since the epoch, by local time.

    A ``5h`` window starts with its first request; days, weeks (from Monday) and months start at
    ``reset_at``, or midnight.
    """
    if limit.window == "5h":
        return now, now + FIVE_HOURS
    at = parse_time_of_day(limit.reset_at) if limit.reset_at else time()
    # The hours before the time of day still belong to the day before.
    here = datetime.fromtimestamp(now)
    day = here.date() if here.time() >= at else here.date() - timedelta(days=1)
    if limit.window == "day":
        first, last = day, day + timedelta(days=1)
    elif limit.window == "week":
        first = day - timedelta(days=day.weekday())
        last = first + timedelta(days=7)
    else:
        first = day.replace(day=1)
        last = (first + timedelta(days=32)).replace(day=1)
    return datetime.combine(first, at).timestamp(), datetime.combine(last, at).timestamp()


@dataclass(slots=True)
class Count:
    """What is used of one limit in its running window."""

    start: float
    end: float
    tokens: int = 0
    requests: int = 0


def key_of(limit: QuotaLimit) -> str:
    """Names a limit's window, whatever its figures: raising a limit keeps what was counted."""
    return f"{limit.window}@{(limit.reset_at or '').replace(':', '')}"


class Quotas:
    """Counts for the limits of credentials (``credential:ID``) and client keys (``client:NAME``)."""

    def __init__(
        self,
        limits: Mapping[str, tuple[QuotaLimit, ...]],
        wall: Callable[[], float],
        changed: Callable[[str, str, Count, int, int], None] = lambda *_: None,
        previous: Quotas | None = None,
    ):
        self.limits = {owner: each for owner, each in limits.items() if each}
        self._wall, self._changed = wall, changed
        self._counts: dict[tuple[str, str], Count] = {}
        if previous is not None:
            kept = {(o, key_of(limit)) for o, each in self.limits.items() for limit in each}
            self._counts = {k: c for k, c in previous._counts.items() if k in kept}

    def charge(self, owner: str, *, tokens: int = 0, requests: int = 0) -> None:
        """`owner` has used that much."""
        for key in {key_of(limit): limit for limit in self.limits.get(owner, ())}.items():
            count = self._count(owner, key[1], start=True)
            assert count is not None
            count.tokens += tokens
            count.requests += requests
            self._changed(owner, key[0], count, tokens, requests)

    def adopt(self, owner: str, key: str, count: Count) -> None:
        """What all processes together, or this one before a restart, have counted."""
        if count.end <= self._wall() or all(key_of(limit) != key for limit in self.limits.get(owner, ())):
            return
        old = self._counts.get((owner, key))
        if old is not None and old.end == count.end:
            # Sums only grow: the smaller one is the older one, which has been overtaken on its way.
            count.tokens, count.requests = max(count.tokens, old.tokens), max(count.requests, old.requests)
        self._counts[owner, key] = count

    def closed(self, owner: str, reserve: float = 0.0) -> tuple[float, str] | None:
        """(end in seconds since the epoch, in words) of the last to end of the limits that are used up."""
        found: tuple[float, str] | None = None
        for limit in self.limits.get(owner, ()):
            count = self._count(owner, limit)
            if count is None:
                continue
            for unit, most, used in (
                ("tokens", limit.tokens, count.tokens),
                ("requests", limit.requests, count.requests),
            ):
                if (
                    most is not None
                    and used >= most * (1 - reserve)
                    and (found is None or count.end > found[0])
                ):
                    found = (count.end, f"{used} of {most} {unit} per {limit.window} are used")
        return found

    def windows(self, owner: str) -> list[Window]:
        """The limits of `owner` as windows."""
        found = []
        for limit in self.limits.get(owner, ()):
            count = self._count(owner, limit)
            for unit, most in (("tokens", limit.tokens), ("requests", limit.requests)):
                if most is not None:
                    used = getattr(count, unit) / most if count else 0.0
                    found.append(
                        Window(f"{limit.window} {unit}", used, count.end if count else None, "limits")
                    )
        return found

    def items(self) -> Iterable[tuple[str, str, Count]]:
        return [(owner, key, count) for (owner, key), count in self._counts.items()]

    def _count(self, owner: str, limit: QuotaLimit, *, start: bool = False) -> Count | None:
        key = (owner, key_of(limit))
        count = self._counts.get(key)
        now = self._wall()
        if count is not None and now >= count.end:
            del self._counts[key]
            count = None
        if count is None and start:
            count = self._counts[key] = Count(*bounds(limit, now))
        return count
