"""What the messages of a Responses WebSocket say about the account behind it.

A session stays with its account: after the handshake nothing can be sent elsewhere. So a message that
refuses the account ends the session, silently as far as the client is concerned, which reconnects and gets
another one. What the request did wrong is for the client to see.

Source: Codex CLI (``codex-rs/core``, Responses over WebSocket), whose server messages are the events of the
Responses API plus ``codex.rate_limits`` and ``{"type": "error", "status", "error", "headers"}``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from router_core.exchange import Headers, Outcome
from router_core.routing.windows import Window
from router_core.sse import Event
from router_core.times import moment, number
from router_core.verdict import FailureKind

MAX_ERROR: Final = 64 << 10
_ENDS: Final = frozenset({"response.completed", "response.incomplete", "response.done", "response.cancelled"})
_ERRORS: Final = frozenset({"error", "response.failed"})
_HINT: Final = (b'"error"', b'"codex.rate_limits"', b'"response.')
_SHOWN: Final = frozenset({FailureKind.CLIENT_FAULT, FailureKind.REQUEST_MISS, FailureKind.SUCCESS})


@dataclass(frozen=True, slots=True)
class Message:
    """What a server message means for routing."""

    type: str = ""
    outcome: Outcome | None = None
    """Of the response that it ends, well or not; None while it goes on."""
    windows: tuple[Window, ...] = ()
    """The account's quota."""
    response_id: str | None = None
    """Of a response that begins or ends; follow-ups name it."""


def read_message(message: Event, now: float) -> Message:
    """Reads one message of the server; `now` is the wall clock. Takes any bytes and never raises."""
    if not any(hint in message.raw for hint in _HINT):
        return Message()
    try:
        event: Any = message.document
    except ValueError:
        return Message()
    kind = event.get("type") if isinstance(event, dict) else None
    if not isinstance(kind, str):
        return Message()
    response = event.get("response")
    found = response.get("id") if isinstance(response, dict) else None
    response_id = found if isinstance(found, str) and found else None
    if kind in _ERRORS:
        return Message(kind, _failed(event, message.raw), response_id=response_id)
    if kind in _ENDS:
        return Message(kind, Outcome("done", 200, response_id=response_id), response_id=response_id)
    if kind == "codex.rate_limits":
        return Message(kind, windows=_limits(event.get("rate_limits"), now))
    return Message(kind, response_id=response_id)


def reconnects(kind: FailureKind) -> bool:
    """Whether a failure ends the session, so that the client reconnects and is routed anew."""
    return kind not in _SHOWN


def _failed(event: dict[str, Any], data: bytes) -> Outcome:
    headers = event.get("headers")
    known: Headers = []
    if isinstance(headers, dict):
        known = [(str(k), str(v)) for k, v in headers.items() if isinstance(v, str | int | float)]
    return Outcome("body", 200, known, data[:MAX_ERROR] if len(data) > MAX_ERROR else data)


def _limits(limits: Any, now: float) -> tuple[Window, ...]:
    """``{"primary": {"used_percent", "window_minutes", "reset_at" | "resets_in_seconds"}, "secondary": ...}``"""
    found = []
    for name in ("primary", "secondary"):
        window = limits.get(name) if isinstance(limits, dict) else None
        used = number(window.get("used_percent")) if isinstance(window, dict) else None
        if window is None or used is None or used < 0:
            continue
        reset = moment(window.get("reset_at", window.get("resets_at")))
        for key in ("resets_in_seconds", "reset_after_seconds"):
            seconds = number(window.get(key))
            if (reset is None or reset <= now) and seconds is not None and seconds >= 0:
                reset = now + seconds
        found.append(Window(name, used / 100, reset, "codex.rate_limits"))
    return tuple(found)


def handshake_refused(status: int | None) -> bool:
    """Whether an upstream's answer to a handshake says that it has no WebSockets here, so HTTP should serve."""
    return status in (404, 405, 426, 501)
