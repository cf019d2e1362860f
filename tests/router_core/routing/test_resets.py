"""When limits end, in every way in which providers say it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, strategies as st

from router_core.exchange import Outcome
from router_core.formats.upstream_errors import read_error
from router_core.routing.resets import MAX_AHEAD, read_reset
from router_core.times import date, duration, moment, number
from tests.router_core.routing.build import EPOCH

NOW = int(EPOCH)


def reset(body: Any = None, **headers: str) -> tuple[float, str] | None:
    """(seconds from now, source)"""
    known = [(name.replace("_", "-"), value) for name, value in headers.items()]
    data = body if isinstance(body, bytes) else orjson.dumps(body) if body is not None else b""
    found = read_reset(read_error(Outcome("headers", 429, known, data)), EPOCH)
    return (round(found.until - EPOCH, 3), found.source) if found else None


@pytest.mark.parametrize(
    ("headers", "seconds", "source"),
    [
        ({"retry_after": "30"}, 30, "retry-after"),
        ({"retry_after": "1.5"}, 1.5, "retry-after"),
        ({"retry_after": "Fri, 15 Jan 2027 08:02:00 GMT"}, 120, "retry-after"),
        ({"retry_after": "20s"}, 20, "retry-after"),
        ({"retry_after": str(NOW + 45)}, 45, "retry-after"),
        ({"retry_after": str((NOW + 45) * 1000)}, 45, "retry-after"),
        ({"retry_after_ms": "1500", "retry_after": "2"}, 1.5, "retry-after-ms"),
        ({"x_ms_retry_after_ms": "250"}, 0.25, "x-ms-retry-after-ms"),
        ({"retry_after_ms": "0", "retry_after": "2"}, 2, "retry-after"),
        ({"retry_after_ms": "-1", "retry_after": "2"}, 2, "retry-after"),
        ({"retry_after": "Friday, 15-Jan-27 08:02:00 GMT"}, 120, "retry-after"),
        ({"retry_after": "Fri Jan 15 08:02:00 2027"}, 120, "retry-after"),
        ({"retry_after": "120, 60"}, 120, "retry-after"),
        ({"retry_after": "-30", "x_ratelimit_reset": "60"}, 60, "x-ratelimit-reset"),
        ({"x_codex_primary_used_percent": "100", "x_codex_primary_reset_at": "0", "x_codex_primary_reset_after_seconds": "90"}, 90, "x-codex-primary-reset"),
        ({"x_codex_primary_used_percent": "100", "x_codex_primary_reset_after_seconds": "90"}, 90, "x-codex-primary-reset"),
        ({"x_codex_secondary_used_percent": "100.0", "x_codex_secondary_reset_at": str(NOW + 70)}, 70, "x-codex-secondary-reset"),
        ({"x_ratelimit_reset_requests": "6m0s", "x_ratelimit_reset_tokens": "1s"}, 1, "x-ratelimit-reset-tokens"),
        (
            {"x_ratelimit_reset_requests": "6m0s", "x_ratelimit_remaining_requests": "0", "x_ratelimit_reset_tokens": "1s", "x_ratelimit_remaining_tokens": "5"},
            360,
            "x-ratelimit-reset-requests",
        ),
        ({"x_ratelimit_reset": "60"}, 60, "x-ratelimit-reset"),
        ({"x_ratelimit_reset": str(NOW + 60)}, 60, "x-ratelimit-reset"),
        ({"x_ratelimit_reset": str((NOW + 60) * 1000)}, 60, "x-ratelimit-reset"),
        (
            {"anthropic_ratelimit_requests_remaining": "0", "anthropic_ratelimit_requests_reset": "2027-01-15T08:00:25Z"},
            25,
            "anthropic-ratelimit-requests-reset",
        ),
    ],
)  # fmt: skip
def test_headers(headers: dict[str, str], seconds: float, source: str) -> None:
    assert reset(None, **headers) == (seconds, source)


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        ({"error": {"type": "usage_limit_reached", "resets_at": NOW + 3600}}, 3600),
        ({"error": {"type": "usage_limit_reached", "resets_in_seconds": 1800}}, 1800),
        ({"error": {"resets_at": NOW + 60, "resets_in_seconds": 999}}, 60),
        ({"error": {"resets_at": 0, "resets_in_seconds": 999}}, 999),
        ({"error": {"resets_at": None, "resets_in_seconds": "999"}}, 999),
        ({"error": {"resets_at": -1, "message": "try again in 9s"}}, 9),
        ({"error": {"details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.4s"}]}}, 34.4),
        ([{"error": {"details": [{"retryDelay": "3.5s"}]}}], 3.5),
        ({"error": {"details": [{"retryDelay": {"seconds": 34, "nanos": 5}}]}}, 34),
        ({"error": {"details": [{"reason": "RATE_LIMIT_EXCEEDED", "metadata": {"quotaResetDelay": "1h2m3s"}}]}}, 3723),
        ({"error": {"details": [{"metadata": {"quotaResetTimeStamp": "2027-01-15T09:00:00Z"}}]}}, 3600),
        # Requests per day begin anew at midnight Pacific time.
        ({"error": {"details": [{"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}, {"retryDelay": "34s"}]}}, 86400),
        ({"error": {"details": [{"violations": [{"quotaId": "GenerateRequestsPerMinute"}]}, {"retryDelay": "34s"}]}}, 34),
        ({"error": {"code": 429, "metadata": {"headers": {"X-RateLimit-Reset": str((NOW + 50) * 1000)}}}}, 50),
        ({"error": {"message": "Please try again in 7m59.184s."}}, 479.184),
        ({"error": {"message": "Please try again in 20s. Contact us"}}, 20),
        ({"error": {"message": "Rate limit reached, try again in 6ms"}}, 0.006),
        ({"error": {"message": "Your quota will reset after 1h2m3s."}}, 3723),
        ({"error": {"message": "retry after 5 seconds"}}, 5),
        ({"error": {"message": "Please wait 3 minutes"}}, 180),
        ({"error": {"message": "Please wait 12s before the next request"}}, 12),
        ({"error": {"message": "Requests are accepted after 1h2m3s"}}, 3723),
        ({"error": {"message": "Your limit resets in 2 hrs 5 mins"}}, 7500),
        ({"error": {"message": "try again in 1 week"}}, 604800),
        ({"error": {"message": "You will regain access on 2027-01-16 at 00:00 UTC."}}, 57600),
        ({"error": {"message": "You've hit your usage limit. Try again in 3 days 4 hours 5 minutes."}}, 3 * 86400 + 4 * 3600 + 300),
        ({"error": {"message": "try again in 1 hour, 2 minutes and 3 seconds"}}, 3723),
        ({"error": {"message": f"Claude AI usage limit reached|{NOW + 77}"}}, 77),
        (b"slow down, retry after 9s", 9),
        ({"detail": {"resets_in_seconds": 11}}, 11),
        ({"response": {"error": {"resets_in_seconds": 12}}}, 12),
    ],
)  # fmt: skip
def test_bodies(body: Any, seconds: float) -> None:
    found = reset(body)
    assert found is not None
    assert found[0] == pytest.approx(seconds, abs=0.01)


def test_the_latest_of_what_speaks_about_the_refusal_holds() -> None:
    assert reset({"error": {"resets_in_seconds": 500}}, retry_after="20") == (500, "resets_in_seconds")
    assert reset({"error": {"message": "try again in 900s"}}, retry_after="20") == (20, "retry-after")


def test_moments_are_meant_by_the_servers_clock() -> None:
    """The machine's own clock may be hours off."""
    later = {"date": "Fri, 15 Jan 2027 11:00:00 GMT"}
    assert reset(None, retry_after="Fri, 15 Jan 2027 11:02:00 GMT", **later) == (120, "retry-after")
    assert reset({"error": {"resets_at": NOW + 3 * 3600 + 50}}, **later) == (50, "resets_at")
    # It is over there, though not here.
    assert reset(None, retry_after="Fri, 15 Jan 2027 10:00:00 GMT", **later) is None
    # Spans are the same by all clocks, and a few seconds are the way of the answer.
    assert reset(None, retry_after="30", **later) == (30, "retry-after")
    assert reset({"error": {"resets_at": NOW + 60}}, date="Fri, 15 Jan 2027 08:00:07 GMT") == (
        60,
        "resets_at",
    )


def test_a_moment_without_a_zone_is_the_providers() -> None:
    body = orjson.dumps(
        {"error": {"code": "1308", "message": "Your limit will reset at 2027-01-15 17:00:00"}}
    )
    error = read_error(Outcome("headers", 429, [], body))
    found = {provider: read_reset(error, EPOCH, provider) for provider in ("glm", "other")}
    assert {p: r and r.until - EPOCH for p, r in found.items()} == {"glm": 3600, "other": 9 * 3600}


@pytest.mark.parametrize(
    "value",
    ["0", "-5", "soon", "", "nan", "inf", str(NOW), "99999999999999999999", "Thu, 01 Jan 1970 00:00:00 GMT"],
)
def test_values_that_mean_no_future_moment_count_as_not_sent(value: str) -> None:
    assert reset(None, retry_after=value) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("3.5s", 3.5), ("1h2m3s", 3723), ("17ms", 0.017), ("6m0s", 360), ("2d", 172800), ("5 m", 300)],
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "s", "5 parsecs", "5s later", "1h and 2m"])
def test_what_is_no_duration(text: str) -> None:
    assert duration(text) is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (1_800_000_000, 1_800_000_000),
        (1_800_000_000_000, 1_800_000_000),
        ("1800000000.5", 1_800_000_000.5),
        ("2027-01-15T08:00:00Z", 1_800_000_000),
        ("2027-01-15T09:00:00+01:00", 1_800_000_000),
        ("Fri, 15 Jan 2027 08:00:00 GMT", 1_800_000_000),
        (True, None),
        (None, None),
        ("yesterday", None),
        ([], None),
    ],
)
def test_moments(value: object, seconds: float | None) -> None:
    assert moment(value) == seconds


@given(st.text(max_size=40))
def test_any_text_can_be_read(text: str) -> None:
    for found in (duration(text), moment(text), date(text), number(text)):
        assert found is None or isinstance(found, float)
    found_reset = reset({"error": {"message": text}}, retry_after=text)
    assert found_reset is None or 0 < found_reset[0] <= MAX_AHEAD
