"""Recorded exchanges for the API and the pages: what stands in the records, which are redacted already."""

from __future__ import annotations

from dataclasses import asdict
from itertools import islice
from typing import Any, Final

import orjson

from detour.admin.answers import Missing
from router_core.capture import diff, timeline
from router_core.capture.conversation import Conversation, read_body, read_request
from router_core.capture.folder import Folders, NoSuchRecord, Unreadable, find, summaries
from router_core.capture.reader import NotARecord, read
from router_core.capture.record import Hop, Record
from router_core.formats import Format

MAX_TEXT: Final = 20_000
"""Characters of one part of a conversation, or of one side of a change."""
MAX_CHANGES: Final = 500
MAX_MOMENTS: Final = 2000


def listed(folders: Folders, limit: int) -> list[dict[str, Any]]:
    """The newest records in one line each; files that are none are named with the reason."""
    found = []
    for summary in islice(summaries(folders), limit):
        if isinstance(summary, Unreadable):
            found.append({"id": summary.path.stem, "problem": summary.why})
        else:
            values = summary.values()
            values.pop("file")
            found.append(values)
    return found


def shown(folders: Folders, id: str) -> dict[str, Any]:
    """One record for reading. Raises Missing."""
    record = _record(folders, id)
    return {
        "opening": asdict(record.opening),
        "status": record.status,
        "end": record.end,
        "plan": record.plan,
        "problems": record.problems,
        "client": _hop(record.client),
        "attempts": [_hop(hop) for hop in record.attempts],
        "conversation": _conversation(record),
        "request_changes": _changes(record, "requests"),
        "response_changes": _changes(record, "responses"),
        "timeline": _timeline(record),
    }


def compared(folders: Folders, id: str, other: str) -> dict[str, Any]:
    """How the record `other` differs from `id` on the clients' side. Raises Missing."""
    one, two = _record(folders, id), _record(folders, other)
    return {
        "other": two.id,
        "requests": _told(diff.requests(one.client.request, two.client.request)),
        "responses": _told(diff.responses(one.client.response, two.client.response)),
    }


def _record(folders: Folders, id: str) -> Record:
    if "/" in id or "\\" in id:
        raise Missing(f"There is no record {id!r}.")
    try:
        return read(find(folders, id))
    except NoSuchRecord as problem:
        raise Missing(str(problem)) from None
    except (NotARecord, OSError) as problem:
        raise Missing(f"The record {id!r} cannot be read: {problem}") from None


def _hop(hop: Hop) -> dict[str, Any]:
    found: dict[str, Any] = {"number": hop.number, "about": hop.about, "timings": hop.timings}
    if sent := hop.request:
        found["request"] = {
            "method": sent.method,
            "url": sent.url,
            "headers": sent.headers,
            "body": _text(sent.body.data),
        }
    if received := hop.response:
        found["response"] = {
            "status": received.status,
            "headers": received.headers,
            "body": _text(received.body.data),
        }
    return found


def _conversation(record: Record) -> dict[str, Any] | None:
    """What the client said and what it got, as a person reads it; None where its format is not known."""
    if record.opening.format is None or record.client.request is None:
        return None
    try:
        format = Format(record.opening.format)
        asked = read_request(format, orjson.loads(record.client.request.body.data))
    except ValueError:
        return None
    answer = None
    if record.client.response is not None:
        try:
            answer = read_body(format, record.client.response.body.data)
        except ValueError:
            answer = None
    return {"request": _turns(asked), "answer": _turns(answer) if answer else None}


def _turns(conversation: Conversation) -> dict[str, Any]:
    document = asdict(conversation)
    for turn in document["turns"]:
        for part in turn["parts"]:
            part["text"] = _cut(part["text"])
    return document


def _changes(record: Record, side: str) -> list[dict[str, Any]]:
    """What Detour changed between the client's hop and the last attempt's."""
    upstream = record.upstream
    if upstream is None:
        return []
    if side == "requests":
        return _told(diff.requests(record.client.request, upstream.request))
    return _told(diff.responses(upstream.response, record.client.response))


def _told(changes: list[diff.Change]) -> list[dict[str, Any]]:
    return [
        {"where": c.where, "kind": c.kind, "before": _side(c.before), "after": _side(c.after)}
        for c in changes[:MAX_CHANGES]
    ]


def _timeline(record: Record) -> list[dict[str, Any]]:
    if record.frames:
        moments = timeline.of_frames(record, 0)
    elif record.client.response is not None and record.client.response.is_stream:
        moments = timeline.of_body(record.client.response.body, record.client.response.at)
    else:
        return []
    return [asdict(moment) | {"gist": moment.gist[:200]} for moment in moments[:MAX_MOMENTS]]


def _side(value: Any) -> str | None:
    if value is None:
        return None
    return _cut(value if isinstance(value, str) else orjson.dumps(value, default=str).decode())


def _text(data: bytes) -> str:
    return _cut(data.decode("utf-8", "replace"))


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}\n... {len(text) - MAX_TEXT} characters more"
