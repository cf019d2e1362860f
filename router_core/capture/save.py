"""Writes a whole record at once: what was imported, replayed or copied passes the same redaction."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from router_core.capture.file import RecordFile
from router_core.capture.folder import Folders
from router_core.capture.record import Hop, Record
from router_core.capture.redaction import Redactor
from router_core.capture.sheet import Sheet

END_OF_TIME: Final = 253_402_300_800
"""Seconds from the epoch to the year 10000, for which no calendar has a name."""


def save(record: Record, folders: Folders, redactor: Redactor) -> Path:
    """The file that `record` now stands in. Raises OSError, ValueError for an impossible id."""
    if not 0 <= record.opening.created < END_OF_TIME:
        record.opening.created = time.time()  # files of other tools hold anything
    provider = (record.end or {}).get("provider") or record.opening.provider
    path = folders.record(record.id, record.opening.created, provider)
    sheet = Sheet(record.opening, RecordFile(path), redactor)
    for hop in (record.client, *record.attempts):
        _hop(sheet, hop)
    for frame in record.frames:
        sheet.message(frame.at, frame.number, frame.from_client, frame.opcode, frame.data)
    if record.plan:
        sheet.plan(0.0, record.plan)
    end = dict(record.end or {})
    at = float(end.pop("t", 0.0))
    end.pop("kind", None)
    sheet.end(at, end)
    sheet.flush()
    return path


def _hop(sheet: Sheet, hop: Hop) -> None:
    request, response = hop.request, hop.response
    if request:
        about = {k: v for k, v in hop.about.items() if k != "outcome"}
        body = request.body.data
        sheet.request(
            request.at, hop.number, request.method, request.url, request.headers, body, about, encoded=False
        )
    for name, at in hop.timings.items():
        sheet.timing(at, hop.number, name)
    if response:
        url = request.url if request else ""
        sheet.response(response.at, hop.number, response.status, response.headers, url, encoded=False)
        for at, data in response.body.pieces():
            sheet.data(at, hop.number, data)
    if outcome := hop.about.get("outcome"):
        sheet.outcome(0.0, hop.number, outcome)
