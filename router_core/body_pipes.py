"""Answers that are one body: a JSON document that changes as a whole, or an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from router_core.encoding import Decoder, DecodingError, decode, decoder
from router_core.fold import UnfoldError, is_error, unfold
from router_core.formats import Format
from router_core.formats.errors import WireError, error_body
from router_core.formats.failures import read_body, read_event, wire
from router_core.framing import Framing
from router_core.json_document import parse, serialise, splice
from router_core.observing import Show
from router_core.rewrite.stage import Stage
from router_core.translator import AnswerTranslator

MAX_WHOLE: Final = 64 << 20
"""Bytes of an answer that is kept in memory because it must change as a whole."""


class BodyPipe:
    """One JSON body, changed as a whole; unfolded into events for a client that asked for a stream."""

    def __init__(
        self,
        upstream: Stage,
        translator: AnswerTranslator | None,
        client: Stage,
        format: Format,
        framing: Framing | None,
        limit: int,
        whole: bool,
        failed: Callable[[int], None],
        show: Show,
    ) -> None:
        self._upstream = upstream
        self._translator = translator
        self._client = client
        self._format = format
        self.framing = framing
        self._show = show
        self._limit = limit
        self._whole = whole
        self._failed = failed
        self._body = bytearray()
        self._passing = False

    def feed(self, data: bytes) -> bytes:
        if self._passing:
            self._show.to.data(data)
            return data
        self._body += data
        if len(self._body) <= self._limit:
            return b""
        if self._whole:
            raise DecodingError(f"it is over {self._limit >> 20} MiB")
        self._passing = True
        body = bytes(self._body)
        self._body.clear()
        self._show.to.data(body)
        return body

    def close(self) -> bytes:
        if self._passing:
            return b""
        raw = bytes(self._body)
        try:
            before = parse(raw)
        except ValueError:
            if self.framing is None and self._translator is None:
                # Not JSON after all: the client gets what came.
                self._show.to.data(raw)
                return raw
            return self.error(WireError(502, "The upstream's answer is no JSON."))
        self._show.to.document(before)
        value = self._upstream.body(before, raw)
        if self._translator is not None:
            before = value = self._translator.body(value)
            raw = serialise(value)
            if self.framing is None and is_error(self._format, None, value):
                self._failed(wire(self._format, read_event(raw)).status)
                return raw
        value = self._client.body(value, raw)
        if self.framing is None:
            return raw if value is before else splice(raw, before, value)
        try:
            events = unfold(self._format, value)
        except UnfoldError as e:
            return self.framing.error(
                wire(self._format, read_body(502, serialise(value))) if e.is_error else WireError(502, str(e))
            )
        # Rules of events have their say too: which of them the client asked for is one of theirs.
        kept = [changed for event in events if (changed := self._client.event(event)) is not None]
        return b"".join([self.framing.event(event, False) for event in kept]) + self.framing.end()

    def error(self, error: WireError) -> bytes:
        if self.framing is not None:
            return self.framing.error(error)
        self._failed(error.status)
        return error_body(self._format, error)


class ErrorPipe:
    """An error's body: decoded, told in the client's format, its status mapped."""

    framing = None

    def __init__(
        self,
        coding: str | None,
        limit: int,
        status_of: Callable[[bytes], int],
        translator: AnswerTranslator | None,
        set_status: Callable[[int], None],
    ) -> None:
        self._coding = coding
        self._limit = limit
        self._status_of = status_of
        self._translator = translator
        self._set_status = set_status
        self._body = bytearray()
        self._passing: Decoder | None = None

    def feed(self, data: bytes) -> bytes:
        if self._passing is not None:
            return self._passing.feed(data)
        self._body += data
        if len(self._body) <= self._limit:
            return b""
        # Longer than any error has to say; it passes, decoded since the headers promise that.
        self._passing = decoder(self._coding)
        return self._passing.feed(bytes(self._body))

    def close(self) -> bytes:
        if self._passing is not None:
            return self._passing.close()
        raw = bytes(self._body)
        try:
            body = decode(raw, self._coding, self._limit)
        except DecodingError:
            body = raw
        status = self._status_of(body)
        if self._translator is not None:
            status, body = self._translator.error(status, body)
        self._set_status(status)
        return body

    def error(self, error: WireError) -> bytes:
        return b""
