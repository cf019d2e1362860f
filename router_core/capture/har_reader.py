"""Reads HTTP Archives, of browsers and other tools: they leave out much of what they should write."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

from router_core.capture.record import Body, Frame, Hop, Opening, Received, Record, Sent
from router_core.exchange import Headers
from router_core.identity import new_id


class NotHar(ValueError):
    """The document is no HAR; the message says what is missing."""


def read(data: bytes) -> tuple[list[Record], list[str]]:
    """The exchanges of a HAR, and what could not be read.

    Raises NotHar where there are no entries at all.
    """
    try:
        document = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise NotHar(f"not JSON: {error}") from None
    log = document.get("log") if isinstance(document, dict) else None
    entries = log.get("entries") if isinstance(log, dict) else None
    if not isinstance(entries, list):
        raise NotHar("no log.entries: not a HAR")
    records: list[Record] = []
    problems: list[str] = []
    for number, entry in enumerate(entries):
        try:
            records.append(_record(entry))
        except ValueError as error:
            problems.append(f"entry {number}: {error}")
        except (KeyError, TypeError, AttributeError) as error:
            problems.append(f"entry {number}: it is not built as HAR 1.2 wants it ({error})")
    return records, problems


def _record(entry: dict[str, Any]) -> Record:
    asked, answered = entry["request"], entry.get("response") or {}
    created, url, posted = _time(entry.get("startedDateTime")), asked["url"], asked.get("postData") or {}
    if not isinstance(url, str) or not url:
        raise ValueError("its request has no url")
    headers = _headers(asked.get("headers"), posted)
    request = Sent(0.0, str(asked.get("method") or "GET"), url, headers, http=asked.get("httpVersion"))
    _fill(request.body, 0.0, _posted(posted))
    record = Record(Opening(new_id(), created, request.method, request.url, via="import"), Hop(0, request))
    timings = entry.get("timings") or {}
    waited = sum(
        t
        for k in ("blocked", "dns", "connect", "send", "wait")
        if isinstance(t := timings.get(k), int | float) and t > 0
    )
    total = entry.get("time") if isinstance(entry.get("time"), int | float) else waited
    at, ended = waited / 1000, max(float(total or 0), waited) / 1000
    status = int(answered.get("status") or 0)
    if status:
        content = answered.get("content") or {}
        headers = _headers(answered.get("headers"), content)
        response = Received(at, status, headers, http=answered.get("httpVersion"))
        body = _decoded(content)
        chunks = [(at + float(t), int(n)) for t, n in entry.get("_chunks") or ()]
        if sum(n for _, n in chunks) == len(body) and chunks:
            response.body.add(body, chunks)
        else:
            _fill(response.body, ended, body)
        record.client.response = response
    for message in entry.get("_webSocketMessages") or ():
        record.frames.append(_frame(message, created))
        record.opening.websocket = True
    record.end = {"kind": "end", "t": ended, "status": status or None, "error": answered.get("_error")}
    return record


def _fill(body: Body, at: float, data: bytes) -> None:
    if data:
        body.add(data, [(at, len(data))])


def _posted(post: dict[str, Any]) -> bytes:
    if post.get("comment") == "base64":
        return _base64(post.get("text") or "")
    if post.get("text"):
        return _bytes(str(post["text"]))
    pairs = [
        f"{p.get('name', '')}={p.get('value', '')}" for p in post.get("params") or () if isinstance(p, dict)
    ]
    return _bytes("&".join(pairs))


def _decoded(content: dict[str, Any]) -> bytes:
    text = str(content.get("text") or "")
    return _base64(text) if content.get("encoding") == "base64" else _bytes(text)


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError:
        # Some tools say so of plain text.
        return _bytes(text)


def _bytes(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        # A browser may cut a text between the halves of a character.
        return text.encode("utf-8", "replace")


def _frame(message: dict[str, Any], created: float) -> Frame:
    text = message.get("opcode", 1) == 1
    data = str(message.get("data", ""))
    at = float(message.get("time") or created) - created
    return Frame(
        max(0.0, at),
        0,
        message.get("type") == "send",
        "text" if text else "binary",
        _bytes(data) if text else _base64(data),
    )


def _headers(found: Any, body: Any) -> Headers:
    """``[{name, value}]``, or pairs as Slack writes them. HTTP/2's pseudo headers are no headers.

    The type of `body`, by which secrets in forms are told, stands in for a content-type that was left out.
    """
    headers: Headers = []
    for header in found or ():
        name, value = (
            (header["name"], header.get("value")) if isinstance(header, dict) else (header[0], header[1])
        )
        if not str(name).startswith(":"):
            headers.append((str(name), "" if value is None else str(value)))
    kind = body.get("mimeType") if isinstance(body, dict) else None
    if kind and not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("content-type", str(kind)))
    return headers


def _time(text: Any) -> float:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return datetime.now(UTC).timestamp()
