"""Looks for a text in a record: in URLs, headers and bodies, and in what a stream says as a whole."""

from __future__ import annotations

from router_core.capture.conversation import read_body
from router_core.capture.record import Record
from router_core.formats import Format


def contains(record: Record, text: str) -> bool:
    """Whether `text` stands in `record`; capitals do not matter."""
    wanted = text.lower()
    data = wanted.encode()
    for hop in (record.client, *record.attempts):
        for message in (hop.request, hop.response):
            if message is None:
                continue
            if any(wanted in f"{name}: {value}".lower() for name, value in message.headers):
                return True
            if data in message.body.data.lower():
                return True
        if hop.request and wanted in hop.request.url.lower():
            return True
    return any(data in frame.data.lower() for frame in record.frames) or _said(record, wanted)


def _said(record: Record, wanted: str) -> bool:
    """A stream's words are cut into events; only the folded answer holds them in one piece."""
    response = record.client.response
    if response is None or not response.is_stream or record.opening.format not in set(Format):
        return False
    try:
        answer = read_body(Format(record.opening.format), response.body.data)
    except ValueError:
        return False
    return any(wanted in part.text.lower() for turn in answer.turns for part in turn.parts)
