"""When a limit ends, from everything that providers send about it.

All results are seconds since the epoch. A value that is not in the future, not a number or absurdly far
away counts as not sent: what is left then is the caller's own backoff.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from router_core.formats.upstream_errors import UpstreamError
from router_core.times import date, duration, moment, number, server_now

type Scope = Literal["model", "credential"]

MAX_AHEAD: Final = 40 * 86400.0
"""No provider's window is longer than a month; what claims to be is a mistake in units."""

_WORDS: Final = {
    "second": 1.0,
    "sec": 1.0,
    "minute": 60.0,
    "min": 60.0,
    "hour": 3600.0,
    "hr": 3600.0,
    "day": 86400.0,
    "week": 604800.0,
}
_SPAN: Final = r"((?:\d+(?:\.\d+)?\s*(?:ns|us|µs|ms|s|m|h|d)(?![a-z])\s*)+)"
_AFTER: Final = re.compile(
    rf"(?:try again|retry|reset|resets|available|wait)\w*\s+(?:again\s+)?(?:(?:in|after|for)\s+)?(?:about\s+|~)?{_SPAN}"
)
_BARE_AFTER: Final = re.compile(rf"\bafter\s+{_SPAN}")
_AMOUNT: Final = r"(\d+(?:\.\d+)?)\s*(second|sec|minute|min|hour|hr|day|week)s?\b"
_AFTER_WORDS: Final = re.compile(
    r"(?:try again|retry|reset|resets|available|wait)\w*\s+(?:again\s+)?(?:in|after|for)?\s*(?:about\s+|~)?"
    rf"({_AMOUNT}(?:(?:,|\s|and)+{_AMOUNT})*)"
)
_BARE_MOMENT: Final = re.compile(r"limit reached\|(\d{10,13})\b")
_AT: Final = re.compile(
    r"(?:regain access|reset|resets|try again|available)\w*\s+(?:on|at|after)\s+"
    r"(\d{4}-\d{2}-\d{2})(?:[t ]+(?:at\s+)?(\d{2}:\d{2}(?::\d{2})?)(?:\.\d+)?)?\s*(z|utc|[+-]\d{2}:?\d{2})?"
)


@dataclass(frozen=True, slots=True)
class Reset:
    until: float
    """Seconds since the epoch."""
    source: str
    """The header or field that said so."""
    scope: Scope | None = None
    """What the limit covers where the provider says; None leaves it to the failure table."""


def read_reset(error: UpstreamError, now: float, provider: str = "") -> Reset | None:
    """When the limit behind `error` ends, or None where nothing usable was sent.

    Statements about this very refusal come first and the latest of them holds; the standing of quota
    windows counts next, where it says which window refused; free text is the last resort.
    """
    there = server_now(error.headers.get("date"), now)
    for readers in (*_ORDER, (lambda error, now: _text(error, now, _ZONES.get(provider, "+00:00")),)):
        found = _ahead((r for reader in readers for r in reader(error, there)), there, now)
        if found:
            latest = max(found, key=lambda r: r.until)
            scope = "credential" if any(r.scope == "credential" for r in found) else latest.scope
            return Reset(latest.until, latest.source, scope)
    return None


def _ahead(resets: Iterable[Reset], there: float, now: float) -> list[Reset]:
    """Those in the future by the server's clock, told by our own."""
    return [
        Reset(r.until + now - there, r.source, r.scope)
        for r in resets
        if there < r.until <= there + MAX_AHEAD
    ]


def retry_after(headers: Mapping[str, str], now: float) -> Reset | None:
    """``Retry-After`` (RFC 9110 10.2.3) and ``retry-after-ms`` (OpenAI, Azure) alone."""
    there = server_now(headers.get("date"), now)
    found = _ahead(_retry_after(UpstreamError(None, headers=headers), there), there, now)
    return max(found, key=lambda r: r.until, default=None)


def _retry_after(error: UpstreamError, now: float) -> Iterator[Reset]:
    # The milliseconds are the same statement, more precisely.
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):
        milliseconds = number(error.headers.get(name))
        if milliseconds is not None and milliseconds > 0:
            yield Reset(now + milliseconds / 1000, name)
            return
    value = error.headers.get("retry-after")
    if value is None:
        return
    # Some write a moment where the standard wants seconds, and proxies add a header of their own. Dates have commas.
    for each in (value, *value.split(",")):
        until = ratelimit_value(each, now)
        if until is not None:
            yield Reset(until, "retry-after")


BEYOND: Final = "overage"
"""Anthropic's name for paid use beyond the plan. Where it is switched off or spent it is ``rejected`` on every answer,
also while the plan has room, and its reset is the end of the month: it says nothing about the plan's own windows."""


def anthropic_windows(headers: Mapping[str, str]) -> dict[str, str]:
    """Status by window of ``anthropic-ratelimit-unified-{window}-status``; the window ``""`` is the whole."""
    found = {}
    for name, value in headers.items():
        match = re.fullmatch(r"anthropic-ratelimit-unified-(?:(.+)-)?status", name)
        if match and match[1] != BEYOND:
            found[match[1] or ""] = value.strip().lower()
    return found


def _anthropic(error: UpstreamError, now: float) -> Iterator[Reset]:
    """Anthropic's subscription windows, as observed from Claude Code's traffic.

    ``5h`` and ``7d`` are the account's; any other window (``7d_oi``, ``7d_opus``) belongs to a group of
    models. When such a window alone rejects, its reset is days away while other limits of the model may
    end sooner, so it only says that the account as a whole is well.
    """
    status = anthropic_windows(error.headers)
    if "" not in status and "allowed" not in (status.get("5h"), status.get("7d")):
        status[""] = "rejected"
    rejected = {w for w, s in status.items() if s == "rejected"}
    account = rejected & {"5h", "7d"}
    model_only = bool(rejected - {""}) and not account
    for window in rejected:
        if (window == "" or window not in ("5h", "7d")) and model_only:
            continue
        name = (
            f"anthropic-ratelimit-unified-{window}-reset" if window else "anthropic-ratelimit-unified-reset"
        )
        until = moment(error.headers.get(name))
        if until is not None:
            yield Reset(until, name, "credential")


def anthropic_scope(headers: Mapping[str, str]) -> Scope | None:
    """Whether the unified windows reject the account or only a group of models; None where they say nothing."""
    rejected = {w for w, s in anthropic_windows(headers).items() if s == "rejected"}
    if not rejected:
        return None
    return "credential" if rejected & {"5h", "7d"} or rejected == {""} else "model"


def codex_reset(headers: Mapping[str, str], prefix: str, now: float) -> float | None:
    """When the window whose headers begin with `prefix` (``x-codex-primary``) begins anew."""
    until = moment(headers.get(f"{prefix}-reset-at"))
    seconds = number(headers.get(f"{prefix}-reset-after-seconds"))
    # 0 and moments that are over stand where nothing is known.
    return now + seconds if seconds is not None and (until is None or until <= now) else until


def _codex_windows(error: UpstreamError, now: float) -> Iterator[Reset]:
    """``x-codex-{primary,secondary}-*`` of ChatGPT's backend: the account's windows, those that are used up."""
    for window in ("primary", "secondary"):
        prefix = f"x-codex-{window}"
        used = number(error.headers.get(f"{prefix}-used-percent"))
        if used is None or used < 100:
            continue
        until = codex_reset(error.headers, prefix, now)
        if until is not None:
            yield Reset(until, f"{prefix}-reset", "credential")


def _objects(document: Any, depth: int = 8) -> Iterator[dict[str, Any]]:
    if depth and isinstance(document, dict):
        yield document
        for key in ("error", "response", "detail", "details", "metadata", "body", "rate_limits"):
            yield from _objects(document.get(key), depth - 1)
    elif depth and isinstance(document, list):
        for item in document[:32]:
            yield from _objects(item, depth - 1)


def _body_fields(error: UpstreamError, now: float) -> Iterator[Reset]:
    """``resets_at`` and ``resets_in_seconds`` (Codex's usage_limit_reached), Google's RetryInfo and ErrorInfo."""
    for part in _objects(error.document):
        for key in ("resets_at", "reset_at", "resetsAt"):
            until = moment(part.get(key)) if key in part else None
            if until is not None and until > now:
                yield Reset(until, key)
                break
        else:
            for key in ("resets_in_seconds", "reset_after_seconds", "retry_after", "retry_after_seconds"):
                seconds = number(part.get(key))
                if seconds is not None:
                    yield Reset(now + seconds, key)
                    break
        for key in ("retryDelay", "quotaResetDelay"):
            value = part.get(key)
            if isinstance(value, dict):
                # google.protobuf.Duration by its fields.
                value = f"{value.get('seconds', 0)}s"
            seconds = duration(value) if isinstance(value, str) else None
            if seconds is not None:
                yield Reset(now + seconds, key)
        stamp = part.get("quotaResetTimeStamp")
        until = moment(stamp) if isinstance(stamp, str) else None
        if until is not None:
            yield Reset(until, "quotaResetTimeStamp")
        yield from _google_daily(part, now)


def _google_daily(part: dict[str, Any], now: float) -> Iterator[Reset]:
    """Google's requests per day end at midnight Pacific time, whatever the RetryInfo beside them says.

    https://ai.google.dev/gemini-api/docs/rate-limits
    """
    violations = part.get("violations")
    if not isinstance(violations, list):
        return
    if any(isinstance(v, dict) and "PerDay" in str(v.get("quotaId", "")) for v in violations):
        try:
            zone = ZoneInfo("America/Los_Angeles")
        except ZoneInfoNotFoundError:  # no time zone data on this system
            return
        tomorrow = datetime.fromtimestamp(now, zone).date() + timedelta(days=1)
        yield Reset(
            datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=zone).timestamp(), "quotaId PerDay"
        )


_THIRTY_DAYS: Final = 30 * 86400


def ratelimit_value(value: str, now: float) -> float | None:
    """``1s``, ``6m0s``, seconds, epoch seconds or milliseconds, or a date; numbers under 30 days are seconds."""
    seconds = duration(value)
    if seconds is not None:
        return now + seconds
    plain = number(value)
    if plain is not None and 0 <= plain < _THIRTY_DAYS:
        return now + plain
    return moment(value)


def _ratelimit_headers(error: UpstreamError, now: float) -> Iterator[Reset]:
    """``x-ratelimit-reset*`` and ``anthropic-ratelimit-*-reset``: windows with nothing remaining, all of them.

    Where no window says that it is empty, the one that resets first is the likeliest to have refused.
    """
    empty: list[Reset] = []
    others: list[Reset] = []
    for name, value in error.headers.items():
        match = re.fullmatch(r"(x-ratelimit|anthropic-ratelimit|ratelimit)(?:-(.+))?-reset(?:-(.+))?", name)
        if not match or "unified" in name:
            continue
        until = ratelimit_value(value, now)
        if until is None or not now < until <= now + MAX_AHEAD:
            continue
        remaining = number(error.headers.get(name.replace("reset", "remaining")))
        (empty if remaining is not None and remaining <= 0 else others).append(Reset(until, name))
    if empty:
        yield from empty
    elif others:
        yield min(others, key=lambda r: r.until)


_ZONES: Final = {"glm": "+08:00"}
"""Zones of the moments that a provider writes without one, where it is not UTC."""


def _text(error: UpstreamError, now: float, zone: str) -> Iterator[Reset]:
    """``Please try again in 7m59.184s``, ``reset after 1h2m3s``, ``try again in 3 days 4 hours``,
    ``regain access on 2026-01-01 at 00:00 UTC``, ``usage limit reached|1800000000``."""
    text = (error.message or error.text).lower()
    match = _AFTER.search(text)
    if match:
        seconds = duration(match[1])
        if seconds is not None:
            yield Reset(now + seconds, "text")
            return
    match = _AFTER_WORDS.search(text)
    if match:
        amounts = re.findall(_AMOUNT, match[1])
        yield Reset(now + sum(float(amount) * _WORDS[unit] for amount, unit in amounts), "text")
        return
    match = _BARE_MOMENT.search(text)
    until = moment(match[1]) if match else None
    if until is not None:
        yield Reset(until, "text")
        return
    match = _AT.search(text)
    if match is None and (bare := _BARE_AFTER.search(text)):
        seconds = duration(bare[1])
        if seconds is not None:
            yield Reset(now + seconds, "text")
    if match:
        stated = match[3].upper().replace("UTC", "Z").replace("Z", "+00:00") if match[3] else zone
        until = date(f"{match[1]}T{match[2] or '00:00'}{stated}")
        if until is not None:
            yield Reset(until, "text")


type _Reader = Callable[[UpstreamError, float], Iterator[Reset]]

_ORDER: Final[tuple[tuple[_Reader, ...], ...]] = (
    (_retry_after, _anthropic, _body_fields, _codex_windows),
    (_ratelimit_headers,),
)
