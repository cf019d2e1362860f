"""Writes one record: bodies decoded and redacted, one line of JSON for each thing that happened.

Everything here runs in the writer's thread. `Sheet` methods take seconds since the exchange began; `number`
is the hop's: 0 for the client's, else the attempt's.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from router_core.capture.body_lines import BodyLines, content, seconds, stamped
from router_core.capture.chunks import Chunk, ChunkRedactor
from router_core.capture.file import RecordFile
from router_core.capture.mirror import Mirror
from router_core.capture.record import FORMAT, VERSION, Opening
from router_core.capture.redaction import Redactor
from router_core.capture.spans import BODY, Place, place_of
from router_core.exchange import Headers

MAX_RECORD: Final = 256 << 20
"""Bytes of one record's file; what comes after is not recorded."""


class Sheet:
    """The record of one exchange, from its first line to its last."""

    def __init__(self, opening: Opening, file: RecordFile, redactor: Redactor) -> None:
        self.opening = opening
        self.file = file
        self.size = 0
        self.redactor = redactor
        self._stopped = False
        self._lines: list[bytes] = []
        self._bodies: dict[tuple[int, str], BodyLines] = {}
        self._mirror: Mirror | None = None
        self._mirrored = 0
        self._encoding = ""
        self._answered = False
        self._latest = b""
        exchange = self._clean(opening.values())
        exchange["url"] = redactor.url(opening.url)
        self._write({"format": FORMAT, "version": VERSION, "exchange": exchange})

    # -- what happens ---------------------------------------------------------------------------------

    def request(
        self,
        at: float,
        number: int,
        method: str,
        url: str,
        headers: Headers,
        body: bytes | None,
        about: dict[str, Any],
        encoded: bool = True,
    ) -> None:
        """A request went over hop `number`; None for a body that follows in pieces, or is the client's.

        `encoded` is False where the body has been decoded, whatever its headers say.
        """
        line: dict[str, Any] = {"kind": "request", "t": seconds(at), **_number(number)}
        line |= {"method": method, "url": self.redactor.url(url), "headers": self.redactor.headers(headers)}
        self._write({**line, "about": self._clean(about)} if about else line)
        encoding = _header(headers, "content-encoding") if encoded else "identity"
        lines = BodyLines(
            self.redactor, self._place(url, headers), encoding, {**_number(number), "of": "request"}
        )
        if body is None:
            self._bodies[number, "request"] = lines
        elif body:
            lines.add(at, body)
            self._write_all(lines.close(at))

    def same_request(self, at: float, number: int) -> None:
        """The body of attempt `number` is the client's."""
        self._bodies.pop((number, "request"), None)
        self._write({"kind": "body", "t": seconds(at), "attempt": number, "of": "request", "same": 0})

    def request_data(self, at: float, number: int, data: bytes) -> None:
        """A piece of a request's body that is passed on as it comes."""
        if body := self._bodies.get((number, "request")):
            body.add(at, data)

    def response(
        self, at: float, number: int, status: int, headers: Headers, url: str, encoded: bool = True
    ) -> None:
        """The headers of an answer came over hop `number`; `url` is its request's."""
        self._write(
            {
                "kind": "response",
                "t": seconds(at),
                **_number(number),
                "status": status,
                "headers": self.redactor.headers(headers),
            }
        )
        encoding = _header(headers, "content-encoding") if encoded else "identity"
        body = BodyLines(
            self.redactor, self._place(url, headers), encoding, {**_number(number), "of": "response"}
        )
        self._bodies[number, "response"] = body
        if number == 0:
            self._answered = True
            if self._mirror and encoding != self._encoding:
                self._mirror.broken = True
        elif not self._answered:
            self._encoding = encoding
            self._mirror, self._mirrored = Mirror(body.finished), number

    def data(self, at: float, number: int, data: bytes) -> None:
        """A piece of an answer's body came over hop `number`."""
        body = self._bodies.get((number, "response"))
        if body is None:
            return
        if number:
            self._latest = data
            if self._mirror and number == self._mirrored:
                self._mirror.upstream(data)
            body.add(at, data)
        elif not (self._mirror and self._mirror.client((at, data))):
            self._leave_mirror(body)
            body.add(at, data)

    def passed(self, number: int, chunks: list[Chunk], echoes: list[float]) -> None:
        """Pieces of an answer's body came over hop `number`, and each went to the client at its time in
        `echoes`, before the next one came."""
        upstream, mirror = self._bodies.get((number, "response")), self._mirror
        if upstream and mirror and mirror.level and number == self._mirrored and self._answered:
            self._latest = chunks[-1][1]
            upstream.extend(chunks)
            mirror.passed([(at, data) for at, (_, data) in zip(echoes, chunks, strict=True)])
        else:
            for (at, data), echo in zip(chunks, echoes, strict=True):
                self.data(at, number, data)
                self.echo(echo)

    def echo(self, at: float) -> None:
        """The client gets the piece that came last from upstream."""
        self.data(at, 0, self._latest)

    def message(self, at: float, number: int, from_client: bool, opcode: str, data: bytes) -> None:
        """A WebSocket message passed over hop `number`."""
        line: dict[str, Any] = {"kind": "message", "t": seconds(at), **_number(number)}
        line |= {"from": "client" if from_client else "server", "opcode": opcode}
        self._write({**line, **content(self._redacted(data))})

    def timing(self, at: float, number: int, name: str) -> None:
        self._write({"kind": "timing", "t": seconds(at), **_number(number), "name": name})

    def outcome(self, at: float, number: int, values: dict[str, Any]) -> None:
        self._write({"kind": "outcome", "t": seconds(at), "attempt": number, **self._clean(values)})

    def plan(self, at: float, targets: list[dict[str, Any]]) -> None:
        self._write({"kind": "plan", "t": seconds(at), "targets": [self._clean(t) for t in targets]})

    def cut(self, at: float, reason: str) -> None:
        """Recording stops here, although the exchange goes on."""
        if not self._stopped:
            self._write_all(self._body_lines(closing=at))
            self._write({"kind": "cut", "t": seconds(at), "reason": reason})
            self._stopped = True

    def end(self, at: float, values: dict[str, Any]) -> None:
        """The exchange is over."""
        if not self._stopped:
            self._write_all(self._body_lines(closing=at))
        self._bodies.clear()
        self._stopped = False
        self._write({"kind": "end", "t": seconds(at), **self._clean(values)})
        self._stopped = True

    # -- lines ----------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Appends what has come since the last time to the file. Raises OSError."""
        if not self._stopped:
            self._write_all(self._body_lines(closing=None))
        if not self._lines:
            return
        data = b"".join(self._lines)
        self._lines.clear()
        self.file.append(data)

    def discard(self) -> None:
        """Deletes the file. Raises OSError."""
        self._lines.clear()
        self._stopped = True
        self.file.discard()

    def _body_lines(self, closing: float | None) -> list[dict[str, Any]]:
        """Lines of all bodies; upstream's first, since the client's may point to them."""
        lines: list[dict[str, Any]] = []
        for (number, of), body in sorted(self._bodies.items(), reverse=True):
            if number == 0 and of == "response" and self._mirror:
                if marks := self._mirror.marks():
                    lines.append(self._same_line(marks))
                if closing is not None:
                    self._leave_mirror(body)
            lines += body.lines() if closing is None else body.close(closing)
            if not (self._mirror and number == self._mirrored):
                body.finished.clear()
        return lines

    def _same_line(self, marks: list[tuple[float, int]]) -> dict[str, Any]:
        chunks = stamped(marks)
        return {"kind": "body", "t": chunks[0][0], "of": "response", "same": self._mirrored, "chunks": chunks}

    def _leave_mirror(self, body: BodyLines) -> None:
        """From here on the client's answer is recorded for itself."""
        if self._mirror is None:
            return
        if marks := self._mirror.marks():
            self._write(self._same_line(marks))
        for chunk in self._mirror.rest():
            body.add(*chunk)
        self._mirror = None

    def _redacted(self, data: bytes) -> bytes:
        chunks = ChunkRedactor(self.redactor, BODY)
        return b"".join(p.data for p in (*chunks.feed([(0.0, data)]), *chunks.close()))

    def _place(self, url: str, headers: Headers) -> Place:
        host, slash, path = url.partition("://")[2].partition("/")
        return place_of(host, slash + path.partition("?")[0], _header(headers, "content-type"))

    def _clean(self, values: dict[str, Any]) -> dict[str, Any]:
        """`values` without what is None, and with its strings redacted."""
        return {k: self._clean_value(v) for k, v in values.items() if v is not None}

    def _clean_value(self, value: Any) -> Any:
        match value:
            case str():
                return self.redactor.text(value)
            case dict():
                return self._clean(value)
            case list() | tuple():
                return [self._clean_value(v) for v in value]
        return value

    def _write_all(self, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            self._write(line)

    def _write(self, line: dict[str, Any]) -> None:
        if self._stopped:
            return
        try:
            data = orjson.dumps(line, default=str) + b"\n"
        except TypeError:
            # A header or path with bytes that are no UTF-8.
            data = orjson.dumps(_writable(line), default=str) + b"\n"
        self.size += len(data)
        self._lines.append(data)
        if self.size > MAX_RECORD and line.get("kind") != "cut":
            self._bodies.clear()
            self.cut(line.get("t", 0.0), f"the record is over {MAX_RECORD >> 20} MiB")


def _writable(value: Any) -> Any:
    """`value` with ``\\udcff`` spelt out where text has a byte or half a character that cannot be written."""
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case dict():
            return {_writable(k): _writable(v) for k, v in value.items()}
        case list() | tuple():
            return [_writable(v) for v in value]
    return value


def _number(number: int) -> dict[str, int]:
    return {"attempt": number} if number else {}


def _header(headers: Headers, name: str) -> str:
    return next((v for k, v in headers if k.lower() == name), "")
