"""Reads records back from their files, whole or in one line each."""

from __future__ import annotations

import base64
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson

from router_core.capture.record import FORMAT, VERSION, Frame, Hop, Opening, Received, Record, Sent
from router_core.exchange import Headers

MAX_FIRST: Final = 1 << 20
"""Bytes of a record's first line; a longer one is none of Detour's."""


class NotARecord(ValueError):
    """A file that is no record; the message says what it is instead, as far as that can be told."""


@dataclass(slots=True)
class Summary:
    """A record in one line, from its file's first and last lines."""

    opening: Opening
    path: Path
    size: int
    """Bytes of the file."""
    end: dict[str, Any] | None

    def values(self) -> dict[str, Any]:
        """Plain JSON values."""
        end = self.end or {}
        return {
            **asdict(self.opening),
            **{k: v for k, v in end.items() if k not in ("kind", "t") and v is not None},
            "seconds": end.get("t"),
            "finished": self.end is not None,
            "file": str(self.path),
            "size": self.size,
        }


def read(path: Path) -> Record:
    """The record in `path`. Raises NotARecord, OSError."""
    with _opened(path) as file:
        record = Record(_opening(file.readline(MAX_FIRST), path))
        reading = _Reading(record)
        for number, line in enumerate(file, 2):
            if not line.endswith(b"\n"):
                record.problems.append(f"line {number} was cut off")
                break
            try:
                reading.apply(orjson.loads(line))
            except (ValueError, KeyError, TypeError, IndexError) as error:
                record.problems.append(f"line {number}: {error}")
        reading.end()
    return record


def _opened(path: Path) -> BinaryIO:
    if path.exists() and not path.is_file():
        # To open a named pipe would wait for somebody who writes.
        raise NotARecord(f"{path}: it is no plain file")
    return path.open("rb")


def summarise(path: Path) -> Summary:
    """What `path` holds, without reading all of it. Raises NotARecord, OSError."""
    with _opened(path) as file:
        opening = _opening(file.readline(MAX_FIRST), path)
        size = file.seek(0, 2)
        file.seek(max(0, size - 16384))
        last = file.read().splitlines()[-1]
    end = None
    if last.startswith(b'{"kind":"end"'):
        try:
            end = orjson.loads(last)
        except ValueError:
            end = None
    return Summary(opening, path, size, end)


def _opening(line: bytes, path: Path) -> Opening:
    try:
        first = orjson.loads(line)
    except ValueError:
        first = None
    if not isinstance(first, dict) or first.get("format") != FORMAT:
        raise NotARecord(
            f"{path}: not a capture of Detour; bring other formats in with `detour capture import`"
        )
    if first.get("version") != VERSION:
        raise NotARecord(f"{path}: format version {first.get('version')}, this Detour reads {VERSION}")
    fields = Opening.__dataclass_fields__
    try:
        return Opening(**{k: v for k, v in first["exchange"].items() if k in fields})
    except (KeyError, TypeError, AttributeError):
        raise NotARecord(f"{path}: the first line lacks what every record begins with") from None


class _Reading:
    """A record whose lines are being read. Bodies are joined at the end: they may have thousands of parts."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._parts: dict[tuple[int, str], list[bytes]] = {}
        """Of each body, by the hop's number and the side."""
        self._ahead: dict[int, bytearray] = {}
        """What has come from each attempt and was not yet pointed to by a ``same`` line."""

    def apply(self, line: dict[str, Any]) -> None:
        """Adds one line."""
        record = self._record
        at, hop = float(line["t"]), record.hop(line.get("attempt", 0))
        match line["kind"]:
            case "request":
                hop.request = Sent(at, line["method"], line["url"], _headers(line), http=line.get("http"))
                hop.about.update(line.get("about", {}))
            case "response":
                hop.response = Received(at, line["status"], _headers(line), http=line.get("http"))
            case "body":
                self._body(at, hop, line)
            case "message":
                record.frames.append(
                    Frame(at, line.get("attempt", 0), line["from"] == "client", line["opcode"], _data(line))
                )
            case "timing":
                hop.timings[line["name"]] = at
            case "outcome":
                hop.about["outcome"] = {k: v for k, v in line.items() if k not in ("kind", "t", "attempt")}
            case "plan":
                record.plan = line["targets"]
            case "cut":
                record.problems.append(f"recording stopped {at:.3f} s after the beginning: {line['reason']}")
            case "end":
                record.end = line

    def end(self) -> None:
        """There are no more lines."""
        for (number, of), parts in self._parts.items():
            hop = self._record.hop(number)
            if message := hop.request if of == "request" else hop.response:
                message.body.data = b"".join(parts)

    def _body(self, at: float, hop: Hop, line: dict[str, Any]) -> None:
        message = hop.request if line["of"] == "request" else hop.response
        if message is None:
            raise ValueError("a body without its headers")
        if "unreadable" in line:
            message.body.unreadable = line["unreadable"]
            return
        chunks = [(float(t), int(n)) for t, n in line.get("chunks", ())]
        data = self._same(line["same"], chunks) if "same" in line else _data(line)
        if hop.number and line["of"] == "response":
            self._ahead.setdefault(hop.number, bytearray()).extend(data)
        self._parts.setdefault((hop.number, line["of"]), []).append(data)
        message.body.chunks += chunks or [(at, len(data))]

    def _same(self, source: int, chunks: list[tuple[float, int]]) -> bytes:
        """The bytes of another body that a ``same`` line points to."""
        if source == 0:
            return b"".join(self._parts.get((0, "request"), ()))
        if self._record.hop(source).response is None:
            raise ValueError(f"the answer of attempt {source} is missing")
        ahead = self._ahead.get(source, bytearray())
        size = sum(n for _, n in chunks)
        data = bytes(ahead[:size])
        del ahead[:size]
        return data


def _headers(line: dict[str, Any]) -> Headers:
    return [(str(k), str(v)) for k, v in line["headers"]]


def _data(line: dict[str, Any]) -> bytes:
    if "text" in line:
        return line["text"].encode()
    return base64.b64decode(line["base64"])
