"""Secrets that stand on another line than what tells of them, so that the lines must be looked at together."""

from __future__ import annotations

from router_core.capture import patterns
from router_core.capture.detector import Detector
from router_core.capture.spans import LOGIN, Place


def unfinished(data: bytes, end: int, place: Place, detector: Detector) -> int | None:
    """Where in ``data[:end]``, whole lines, something begins whose secret is on the lines that follow.

    A private key, a field of a multipart form, a list of JSON, or a key of JSON without its value.
    """
    found = [_private_key(data, end), _key(data, end, place, detector)]
    if place.multipart:
        found.append(_field(data, end, detector))
    return min((begin for begin in found if begin is not None), default=None)


def _private_key(data: bytes, end: int) -> int | None:
    begin = data.rfind(b"-----BEGIN", 0, end)
    if begin < 0 or patterns.PEM_MARK not in data[begin:end] or b"-----END" in data[begin:end]:
        return None
    return begin


def _field(data: bytes, end: int, detector: Detector) -> int | None:
    begin = data.lower().rfind(patterns.FIELD_MARK, 0, end)
    if begin < 0:
        return None
    field = patterns.FORM_FIELD.search(data, begin, end)
    if field is None:
        # Its headers go on, unless it is a file without a name.
        blank = data.find(b"\n\r\n", begin, end) >= 0 or data.find(b"\n\n", begin, end) >= 0
        return None if blank else begin
    return begin if field.end() == end and detector.kind(field["name"], LOGIN) else None


def _key(data: bytes, end: int, place: Place, detector: Detector) -> int | None:
    bracket = data.rfind(b"[", 0, end)
    if bracket >= 0 and data.find(b"]", bracket, end) < 0:
        name_end = data.rfind(b'"', 0, bracket)
    elif data[max(0, end - 64) : end].rstrip()[-1:] in (b":", b'"'):
        name_end = data.rfind(b'"', 0, end)
    else:
        return None
    begin = data.rfind(b'"', 0, name_end) if name_end > 0 else -1
    key = patterns.OPEN_KEY.match(data, begin, end) if begin >= 0 else None
    if key and (detector.kind(key["name"], place) or detector.kind_of_many(key["name"])):
        return begin
    return None
