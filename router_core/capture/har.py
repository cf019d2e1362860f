"""HTTP Archive 1.2 (http://www.softwareishard.com/blog/har-12-spec/), both ways.

One entry for each exchange as the client saw it, or for each hop. Members that begin with an underscore are
extensions, as the specification allows: ``_webSocketMessages`` is Chrome's, ``_detour`` and ``_chunks`` ours.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from router_core.capture.portable import query
from router_core.capture.record import Body, Frame, Hop, Opening, Received, Record, Sent
from router_core.exchange import Headers
from router_core.identity import new_id


class NotHar(ValueError):
    """The document is no HAR; the message says what is missing."""


def archive(records: Iterable[Record], version: str, attempts: bool = False) -> dict[str, Any]:
    """A HAR of `records`; with `attempts` also of what went upstream."""
    entries = []
    for record in records:
        hops = [record.client, *(record.attempts if attempts else ())]
        entries += [_entry(record, hop) for hop in hops if hop.request]
    return {
        "log": {
            "version": "1.2",
            "creator": {"name": "Detour", "version": version},
            "pages": [],
            "entries": entries,
        }
    }


def _entry(record: Record, hop: Hop) -> dict[str, Any]:
    request, response = hop.request, hop.response
    assert request
    ended = _ended(record, hop)
    wait = (response.at - request.at) if response else ended - request.at
    receive = ended - response.at if response else 0.0
    timings = {
        "blocked": -1,
        "dns": -1,
        "connect": _between(hop.timings, "connecting", "connected"),
        "send": 0,
        "wait": _ms(wait),
        "receive": _ms(receive),
        "ssl": _between(hop.timings, "connected", "tls"),
    }
    entry: dict[str, Any] = {
        "startedDateTime": datetime.fromtimestamp(record.opening.created + request.at, UTC).isoformat(),
        "time": round(timings["wait"] + timings["receive"] + max(0.0, timings["connect"]), 3),
        "request": {
            "method": request.method,
            "url": request.url,
            "httpVersion": request.http or "HTTP/1.1",
            "cookies": _cookies(request.headers, "cookie"),
            "headers": _pairs(request.headers),
            "queryString": [{"name": k, "value": v} for k, v in query(request.url)],
            "headersSize": -1,
            "bodySize": len(request.body.data),
        },
        "response": _response(response, record),
        "cache": {},
        "timings": timings,
        "_detour": {
            "id": record.id,
            "hop": hop.number,
            "client": record.opening.tool or record.opening.client,
            "provider": hop.about.get("provider") or (record.end or {}).get("provider"),
            "model": record.opening.model,
        },
    }
    if request.body.data:
        entry["request"]["postData"] = {
            "mimeType": request.header("content-type"),
            **_post_data(request.body.data),
        }
    if response and len(response.body.chunks) > 1:
        entry["_chunks"] = [[round(at - response.at, 6), size] for at, size in response.body.chunks]
    if messages := [f for f in record.frames if f.number == hop.number]:
        entry["_resourceType"] = "websocket"
        entry["_webSocketMessages"] = [_message(record, frame) for frame in messages]
    return entry


def _response(response: Received | None, record: Record) -> dict[str, Any]:
    if response is None:
        error = (record.end or {}).get("error") or "no answer was recorded"
        response = Received(0.0, 0)
    else:
        error = None
    found: dict[str, Any] = {
        "status": response.status,
        "statusText": _phrase(response.status),
        "httpVersion": response.http or "HTTP/1.1",
        "cookies": _cookies(response.headers, "set-cookie"),
        "headers": _pairs(response.headers),
        "content": {
            "size": len(response.body.data),
            "mimeType": response.header("content-type") or "x-unknown",
            **_content(response.body.data),
        },
        "redirectURL": response.header("location"),
        "headersSize": -1,
        "bodySize": len(response.body.data),
    }
    return {**found, "_error": error} if error else found


def _message(record: Record, frame: Frame) -> dict[str, Any]:
    text = frame.opcode == "text"
    return {
        "type": "send" if frame.from_client else "receive",
        "time": record.opening.created + frame.at,
        "opcode": 1 if text else 2,
        "data": frame.data.decode("utf-8", "replace") if text else base64.b64encode(frame.data).decode(),
    }


def _ended(record: Record, hop: Hop) -> float:
    """Seconds at which the last of a hop's bytes came."""
    times = [frame.at for frame in record.frames if frame.number == hop.number]
    for message in (hop.request, hop.response):
        if message:
            times += [message.at, *(at for at, _ in message.body.chunks[-1:])]
    return max(times, default=0.0)


def _between(timings: dict[str, float], begin: str, end: str) -> float:
    return _ms(timings[end] - timings[begin]) if begin in timings and end in timings else -1


def _ms(seconds: float) -> float:
    return round(max(0.0, seconds) * 1000, 3)


def _pairs(headers: Headers) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in headers]


def _cookies(headers: Headers, name: str) -> list[dict[str, str]]:
    cookies: list[dict[str, str]] = []
    for key, value in headers:
        if key.lower() == name:
            pairs = [value.partition(";")[0]] if name == "set-cookie" else value.split("; ")
            cookies += ({"name": k, "value": v} for k, _, v in (pair.partition("=") for pair in pairs))
    return cookies


def _post_data(data: bytes) -> dict[str, Any]:
    content = _content(data)
    # HAR has no encoding for what was posted; the comment is for people.
    return {"text": content["text"], **({"comment": "base64"} if "encoding" in content else {})}


def _content(data: bytes) -> dict[str, str]:
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"text": base64.b64encode(data).decode(), "encoding": "base64"}


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


# -- reading ------------------------------------------------------------------------------------------


def read(data: bytes) -> tuple[list[Record], list[str]]:
    """The exchanges of a HAR, and what could not be read. Tools leave out much of what they should write.

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
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            problems.append(f"entry {number}: {type(error).__name__}: {error}")
    return records, problems


def _record(entry: dict[str, Any]) -> Record:
    asked, answered = entry["request"], entry.get("response") or {}
    created = _time(entry.get("startedDateTime"))
    request = Sent(
        0.0,
        str(asked.get("method") or "GET"),
        str(asked["url"]),
        _headers(asked.get("headers")),
        http=asked.get("httpVersion"),
    )
    _fill(request.body, 0.0, _posted(asked.get("postData") or {}))
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
        response = Received(at, status, _headers(answered.get("headers")), http=answered.get("httpVersion"))
        body = _decoded(answered.get("content") or {})
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
        return str(post["text"]).encode("utf-8", "surrogateescape")
    pairs = [
        f"{p.get('name', '')}={p.get('value', '')}" for p in post.get("params") or () if isinstance(p, dict)
    ]
    return "&".join(pairs).encode()


def _decoded(content: dict[str, Any]) -> bytes:
    text = content.get("text") or ""
    return (
        _base64(text) if content.get("encoding") == "base64" else str(text).encode("utf-8", "surrogateescape")
    )


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error as error:
        raise ValueError(f"bad base64: {error}") from None


def _frame(message: dict[str, Any], created: float) -> Frame:
    text = message.get("opcode", 1) == 1
    data = str(message.get("data", ""))
    at = float(message.get("time") or created) - created
    return Frame(
        max(0.0, at),
        0,
        message.get("type") == "send",
        "text" if text else "binary",
        data.encode() if text else _base64(data),
    )


def _headers(found: Any) -> Headers:
    """``[{name, value}]``, or pairs as Slack writes them. HTTP/2's pseudo headers are no headers."""
    headers: Headers = []
    for header in found or ():
        name, value = (
            (header["name"], header.get("value")) if isinstance(header, dict) else (header[0], header[1])
        )
        if not str(name).startswith(":"):
            headers.append((str(name), "" if value is None else str(value)))
    return headers


def _time(text: Any) -> float:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return datetime.now(UTC).timestamp()
