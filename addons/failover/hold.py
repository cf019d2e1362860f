"""What is kept back of an answer until it is certain that the client should see it. Sans-io."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from mitmproxy import http
from mitmproxy.proxy.layers.http._events import ResponseData, ResponseHeaders, ResponseTrailers

from addons.headers import pairs
from router_core.config.schema import Limits
from router_core.encoding import Decoder, DecodingError, codings, decode, decoder
from router_core.exchange import Outcome, Usage
from router_core.formats import Format, Operation
from router_core.opening import Opening, Verdict
from router_core.pipes import kind_of as first_bytes
from router_core.sse import ArrayReader, Event, EventReader, Reader, of_message
from router_core.usage.count import Meter
from router_core.usage.tap import Tap

LONGEST_ERROR: Final = 64 << 10
"""Bytes of a JSON answer that is looked through for an error; what is longer has more to say."""


class Kind(Enum):
    ERROR = "error"
    """A status of 400 and above: its body is read whole, because it says what to do next."""
    STREAM = "stream"
    """A 200 event stream: its opening is read until content begins."""
    JSON = "json"
    """Any other JSON answer: read whole up to a limit, so that one that breaks off can be repeated."""
    FOLD = "fold"
    """An event stream for a client that wants one JSON body: read to its end."""
    NOTHING = "nothing"
    """Anything else is let through at once."""


class Step(Enum):
    WAIT = "wait"
    COMMIT = "commit"
    FAIL = "fail"


def kind_of(response: http.Response, format: Format, stream: bool, generates: bool) -> Kind:
    """How much of `response` to hold back, as far as its head tells.

    `stream` says whether the client asked for a stream, `generates` whether for a model's answer at all.
    """
    if response.status_code >= 400:
        return Kind.ERROR
    content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == "text/event-stream":
        return Kind.STREAM if stream else Kind.FOLD
    if content_type.endswith("json"):
        # Gemini streams a JSON array when it is not asked for `alt=sse`.
        return Kind.STREAM if stream and format is Format.GEMINI else Kind.JSON
    # Some gateways send event streams as something else; the first bytes tell.
    untold = content_type in ("", "text/plain") or (generates and content_type == "application/octet-stream")
    return Kind.STREAM if untold and response.status_code == 200 else Kind.NOTHING


@dataclass(slots=True)
class Hold:
    """The held beginning of one answer."""

    headers: ResponseHeaders
    kind: Kind
    format: Format
    limits: Limits
    streams: bool
    """Whether the client asked for a stream."""
    corrects: bool
    """What the first bytes say goes before what the head says, which is put right."""
    translated: bool = False
    """Whether the client's format is another than the answer's."""
    events: list[ResponseData | ResponseTrailers] = field(default_factory=list)
    size: int = 0
    pings: bytes = b""
    """Keep-alives that came before anything else and may go to the client at once."""
    error: bytes = b""
    """The data of the error event that ended the opening."""
    problem: str = "the stream ended before any content"
    """What is wrong with an answer that is none, and says of no error."""
    has_content: bool = False
    """An event with content has come, which only `Kind.FOLD` goes on to hold."""
    read: list[Event] = field(default_factory=list)
    """The events of a stream that were looked at, for whoever reads it next."""
    _count: int = 0
    _head: bytes | None = b""
    """The first bytes, decoded, as long as they do not tell what the answer is."""
    _opening: Opening = field(init=False)
    _reader: Reader | None = None
    _decoder: Decoder | None = None

    def __post_init__(self) -> None:
        self._opening = Opening(self.format, translated=self.translated)
        if codings(encoding := self.response.headers.get("content-encoding")):
            self._decoder = decoder(encoding)

    @property
    def response(self) -> http.Response:
        return self.headers.response

    @property
    def body(self) -> bytes:
        """All that was held, as it came."""
        return b"".join(e.data for e in self.events if isinstance(e, ResponseData))

    def decoded_body(self) -> bytes:
        """The held error body without its content encoding, bounded; as it came if that is broken."""
        try:
            return decode(self.body, self.response.headers.get("content-encoding"), self.limits.error_body)
        except DecodingError:
            return self.body[: self.limits.error_body]

    def fails(self) -> bool:
        """Whether a whole JSON answer fails, though its status says otherwise: it holds nothing, or an error."""
        if self.kind is not Kind.JSON or not self.corrects or self.size > LONGEST_ERROR:
            return False
        body = self.decoded_body()
        if self._opening.judge(of_message(body)) is Verdict.ERROR:
            self.error = body
            return True
        if self.response.status_code != 200 or body.rstrip().endswith((b"}", b"]")):
            return False
        self.problem = "its answer is cut off" if body.strip() else "its answer is empty"
        return True

    def outcome(self) -> Outcome:
        """How the attempt ended, where the client does not get what is held of its answer."""
        status, headers = self.response.status_code, pairs(self.response.headers)
        if self.kind is Kind.ERROR:
            return Outcome("headers", status, headers, self.decoded_body())
        if self.error:
            return Outcome("opening", status, headers, self.error)
        return Outcome("opening", status, headers, error=self.problem)

    def reported(self, operation: Operation) -> Usage | None:
        """What the upstream said of usage in an answer that the client does not get; None where it said nothing."""
        meter = Meter(self.format, operation)
        if self.read:
            for event in self.read:
                meter.feed(event)
        else:
            tap = Tap(meter, self.response.headers.get("content-encoding", ""))
            tap.feed(self.body)
            tap.close()
        return meter.usage if meter.reported else None

    def feed(self, event: ResponseData | ResponseTrailers) -> Step:
        self.events.append(event)
        if isinstance(event, ResponseTrailers):
            return Step.WAIT
        self.size += len(event.data)
        match self.kind:
            case Kind.ERROR:
                # A longer error body is no reason to wait: what is there says enough.
                return Step.FAIL if self.size > self.limits.error_body else Step.WAIT
            case Kind.NOTHING:
                return Step.COMMIT
            case Kind.JSON if self._head is None:
                return self._hold_body()
            case _:
                return self._read(event.data)

    def _read(self, data: bytes) -> Step:
        if self._decoder is not None:
            try:
                data = self._decoder.feed(data)
            except DecodingError:
                # Nothing can be read out of it; the client may do better.
                self._head = None
                return self._hold_body() if self.kind is Kind.JSON else Step.COMMIT
        if self._head is not None:
            data = self._head + data
            self._head = None if self._settled(data) else data
        if self._reader is not None:
            return self._read_opening(self._reader, data)
        return self._hold_body()

    def _hold_body(self) -> Step:
        return Step.COMMIT if self.size > self.limits.json_answer else Step.WAIT

    def _settled(self, head: bytes) -> bool:
        """Whether the first bytes tell what the answer is, which then is held and called what it is."""
        media = self.response.headers.get("content-type", "").partition(";")[0].strip().lower()
        declared = media == "text/event-stream"
        found = first_bytes(head, array=self.format is Format.GEMINI and self.streams)
        if found == "stream" and self.kind is Kind.JSON and not self.corrects:
            found = "body"
        elif declared and (found in (None, "plain") or not self.corrects):
            found = "stream"
        if found == "stream":
            self._reader = EventReader()
            if self.corrects:
                self.kind = Kind.STREAM if self.streams else Kind.FOLD
                self._call_it("text/event-stream", declared)
        elif found == "array":
            self.kind, self._reader = Kind.STREAM, ArrayReader()
            self._call_it("application/json", media.endswith("json"))
        elif found is not None:
            self.kind = Kind.JSON
            self._call_it("application/json", media.endswith("json") or found == "plain")
        return found is not None

    def _call_it(self, media: str, is_called: bool) -> None:
        if self.corrects and not is_called:
            self.response.headers["content-type"] = media

    def _read_opening(self, reader: Reader, data: bytes) -> Step:
        for event in reader.feed(data):
            self._count += 1
            self.read.append(event)
            match self._opening.judge(event):
                case Verdict.ERROR:
                    self.error = event.data or b""
                    return Step.FAIL
                case Verdict.CONTENT:
                    self.has_content = True
                    if self.kind is not Kind.FOLD:
                        return Step.COMMIT
                case Verdict.PING if self._may_release():
                    self._release(event.raw)
                case _:
                    pass
        if self.kind is Kind.FOLD:
            # The client has seen nothing until the end, so an error after content can be failed over too.
            return Step.WAIT if self.size <= self.limits.body else Step.COMMIT
        full = self.size > self.limits.hold_bytes or self._count > self.limits.hold_events
        return Step.COMMIT if full else Step.WAIT

    def _may_release(self) -> bool:
        """Whether a keep-alive may go to the client at once: nothing else came, and one body has no place for it."""
        return self._decoder is None and self._count == 1 and self.kind is Kind.STREAM

    def _release(self, raw: bytes) -> None:
        """Move a keep-alive with which the answer begins from the held bytes to `pings`."""
        self._count = 0
        self.read.clear()
        self.pings += raw
        held = self.body[len(raw) :]
        self.size = len(held)
        stream_id = self.headers.stream_id
        self.events = [ResponseData(stream_id, held)] if held else []
