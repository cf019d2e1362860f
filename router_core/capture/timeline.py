"""A stream as it arrived: event by event, with the gaps between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import orjson

from router_core.capture.record import Body, Record
from router_core.sse import Event, EventReader

_GIST: Final = (
    "text",
    "thinking",
    "partial_json",
    "delta",
    "content",
    "reasoning_content",
    "reasoning",
    "arguments",
    "message",
)
"""Keys whose strings say what an event is about, in this order."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Something arrived."""

    at: float
    """Seconds since the exchange began, of the piece that completed it."""
    gap: float
    """Seconds since the moment before."""
    size: int
    name: str
    gist: str


def events(body: Body) -> list[tuple[float, Event]]:
    """The events of a stream's body, each with the arrival of its last byte."""
    reader = EventReader()
    found: list[tuple[float, Event]] = []
    at = 0.0
    for at, data in body.pieces():
        found += ((at, event) for event in reader.feed(data))
    return found + [(at, event) for event in reader.close()]


def of_body(body: Body, begin: float) -> list[Moment]:
    """The timeline of a stream; `begin` is when its headers came."""
    moments: list[Moment] = []
    for at, event in events(body):
        name, gist = _describe(event)
        moments.append(Moment(at, at - begin, len(event.raw), name, gist))
        begin = at
    return moments


def of_frames(record: Record, number: int) -> list[Moment]:
    """The timeline of the WebSocket messages on one hop."""
    moments: list[Moment] = []
    last = 0.0
    for frame in record.messages(number):
        name, gist = _of_json(frame.data)
        arrow = "-> " if frame.from_client else "<- "
        moments.append(
            Moment(frame.at, frame.at - last, len(frame.data), arrow + (name or frame.opcode), gist)
        )
        last = frame.at
    return moments


def _describe(event: Event) -> tuple[str, str]:
    if event.data is None:
        return "(comment)", event.raw.decode("utf-8", "replace").strip()
    name, gist = _of_json(event.data)
    return event.name or name or "(event)", gist


def _of_json(data: bytes) -> tuple[str, str]:
    """(type, gist) of a JSON message, or ("", text)."""
    try:
        document = orjson.loads(data)
    except ValueError:
        return "", data.decode("utf-8", "replace")
    kind = document.get("type") if isinstance(document, dict) else None
    return str(kind or ""), gist(document)


def gist(document: Any) -> str:
    """What a JSON message is about, in its own words; empty where nothing says it."""
    return _find(document, 0) or ""


def _find(value: Any, depth: int) -> str | None:
    """The first string under one of the keys of `_GIST`; the search goes down, not too far."""
    if depth > 5:
        return None
    if isinstance(value, dict):
        for key in _GIST:
            if isinstance(value.get(key), str) and value[key]:
                return value[key]
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            if isinstance(item, dict | list) and (found := _find(item, depth + 1)) is not None:
                return found
    return None
