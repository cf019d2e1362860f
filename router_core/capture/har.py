"""Writes HTTP Archive 1.2 (http://www.softwareishard.com/blog/har-12-spec/); `har_reader` reads it.

One entry for each exchange as the client saw it, or for each hop. Members that begin with an underscore are
extensions, as the specification allows: ``_webSocketMessages`` is Chrome's, ``_detour`` and ``_chunks`` ours.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from router_core.capture.portable import query
from router_core.capture.record import Frame, Hop, Received, Record
from router_core.exchange import Headers


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
