"""mitmproxy's ends of an HTTP connection, where what peers may do by the RFCs needs more than it does.

`HttpClient` and `HttpLayer` make them from the global names of `mitmproxy.proxy.layers.http` and offer no other
way in, so `install` puts these classes under those names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from h2.connection import ConnectionState as H2State
from h2.errors import ErrorCodes
from h2.events import Event as H2Event, RequestReceived, StreamReset
from h11._events import Data, EndOfMessage
from h11._readers import ChunkedReader
from h11._receivebuffer import ReceiveBuffer
from hyperframe.frame import Frame, GoAwayFrame
from mitmproxy.connection import ConnectionState
from mitmproxy.http import Response
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.layers import http
from mitmproxy.proxy.layers.http import (
    ErrorCode,
    HttpEvent,
    ReceiveHttp,
    RequestEndOfMessage,
    RequestTrailers,
    ResponseHeaders,
    ResponseProtocolError,
    ResponseTrailers,
)
from mitmproxy.proxy.layers.http._base import HttpCommand
from mitmproxy.proxy.layers.http._http1 import Http1Client, Http1Connection, Http1Server, make_error_response
from mitmproxy.proxy.layers.http._http2 import Http2Client, Http2Server
from mitmproxy.proxy.layers.http._http_h2 import BufferedH2Connection

MAX_REQUEST_LINE = 64 * 1024
MAX_HEAD = 1024 * 1024
"""Of a request or an answer."""
MAX_CHUNK_LINES = 64 * 1024
"""Of a chunk's size with its extensions, or of trailers. All in bytes."""

_INFORMATIONAL = re.compile(rb"HTTP/1\.[01] 1(?!01)\d\d[ \r\n]")


class Unprocessed(ResponseProtocolError):
    """The upstream has certainly not acted on this request, which may be sent again (RFC 9113 8.7)."""


@dataclass(kw_only=True)
class GoingAway(H2Event):
    """The peer takes no further streams, and finishes those up to `last_stream_id` (RFC 9113 6.8)."""

    last_stream_id: int


class GracefulH2Connection(BufferedH2Connection):
    """h2 refuses every frame after a GOAWAY, even those that came with it. A graceful one is no end yet."""

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[H2Event]]:
        if frame.error_code != ErrorCodes.NO_ERROR or self.state_machine.state is H2State.CLOSED:
            return super()._receive_goaway_frame(frame)
        return [], [GoingAway(last_stream_id=frame.last_stream_id)]


class Crowded(HttpCommand):
    """`client` keeps requests back that its peer has no streams for (RFC 9113 5.1.2)."""

    def __init__(self, client: Http2Client) -> None:
        self.client = client


class GracefulHttp2Client(Http2Client):
    """`Http2Client` that lets running streams end after a graceful GOAWAY, and says when it keeps requests back."""

    def __init__(self, context) -> None:
        super().__init__(context)
        self.draining = False
        """The connection takes no new streams, and is closed with its last one."""
        self.h2_conn = GracefulH2Connection(self.h2_conf)
        self.h2_conn.local_settings.enable_push = 0
        self.h2_conn.local_settings.acknowledge()

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        if self.draining and isinstance(event, HttpEvent) and event.stream_id not in self.our_stream_id:
            # Only at its end, so that the rest of the request cannot go out under the id of the next attempt.
            if isinstance(event, RequestEndOfMessage):
                yield ReceiveHttp(unprocessed(event.stream_id, "connection is going away"))
            return
        yield from super()._handle_event(event)
        if self.is_crowded and (not isinstance(event, HttpEvent) or isinstance(event, RequestEndOfMessage)):
            yield Crowded(self)
        if not self.draining:
            return
        while self.stream_queue:
            stream_id = next(iter(self.stream_queue))
            del self.stream_queue[stream_id]
            yield ReceiveHttp(unprocessed(stream_id, "connection is going away"))
        if self.conn.connected and all(self.is_closed(stream_id) for stream_id in self.streams):
            self.streams.clear()
            yield from self.close_connection("connection is going away")

    @property
    def is_crowded(self) -> bool:
        """Whether requests wait for others to end. Before the peer's settings are here they wait for those."""
        limit = self.h2_conn.remote_settings.max_concurrent_streams
        return (
            bool(self.stream_queue)
            and self.provisional_max_concurrency is None
            and self.h2_conn.open_outbound_streams >= limit
        )

    def handle_h2_event(self, event: H2Event) -> layer.CommandGenerator[bool]:
        if isinstance(event, GoingAway):
            self.draining = True
            for stream_id in [s for s in self.streams if s > event.last_stream_id]:
                del self.streams[stream_id]
                self.h2_conn.stream_buffers.pop(stream_id, None)
                yield ReceiveHttp(unprocessed(stream_id, "left out by GOAWAY"))
            return False
        if isinstance(event, StreamReset) and event.error_code == ErrorCodes.REFUSED_STREAM:
            # Sent again here it would only be refused again.
            self.draining = True
            if self.streams.pop(event.stream_id, None):
                yield ReceiveHttp(unprocessed(event.stream_id, "REFUSED_STREAM"))
            return False
        return (yield from super().handle_h2_event(event))


def unprocessed(stream_id: int, why: str) -> Unprocessed:
    message = f"request not processed by upstream ({why})"
    return Unprocessed(stream_id, message, ErrorCode.GENERIC_SERVER_ERROR)


class _DropTrailers(ChunkedReader):
    """Trailers may be discarded (RFC 9110 6.5.1), and mitmproxy cannot carry them over HTTP/1."""

    def __call__(self, buf: ReceiveBuffer) -> Data | EndOfMessage | None:
        found = super().__call__(buf)
        return EndOfMessage() if isinstance(found, EndOfMessage) else found


class _ChunkedBodies(Http1Connection):
    """Bodies that end in trailers, and chunks whose size or trailers never end."""

    def read_body(self, event: events.Event) -> layer.CommandGenerator[None]:
        if type(self.body_reader) is ChunkedReader:
            self.body_reader = _DropTrailers()
        yield from super().read_body(event)
        # Data leaves the buffer at once; what stays in it is a line without its end.
        if self.state == self.read_body and len(self.buf) > MAX_CHUNK_LINES:
            self.state = self.done
            yield commands.CloseConnection(self.conn)
            assert self.stream_id is not None
            yield ReceiveHttp(
                self.ReceiveProtocolError(
                    self.stream_id, "a chunk's head is too large", self.ReceiveProtocolError.code
                )
            )


class PatientHttp1Client(_ChunkedBodies, Http1Client):
    """`Http1Client` that reads on after informational answers (RFC 9110 15.2), but for 101, and limits the
    size of an answer's head."""

    def send(self, event: HttpEvent) -> layer.CommandGenerator[None]:
        if not isinstance(event, RequestTrailers):
            yield from super().send(event)

    def read_headers(self, event: events.ConnectionEvent) -> layer.CommandGenerator[None]:
        if isinstance(event, events.DataReceived) and self.request:
            while _INFORMATIONAL.match(bytes(self.buf)):
                if self.buf.maybe_extract_lines() is None:
                    return
        if isinstance(event, events.ConnectionClosed) and self.stream_id is not None and self.buf:
            # mitmproxy would quote what has come, which may hold cookies.
            yield from self._broken("the connection ended within the answer's head")
            return
        yield from super().read_headers(event)
        if self.state == self.read_headers and self.stream_id is not None and len(self.buf) > MAX_HEAD:
            yield from self._broken("the answer's head is too large")

    def _broken(self, why: str) -> layer.CommandGenerator[None]:
        assert self.stream_id is not None
        self.state = self.done
        if self.conn.state & ConnectionState.CAN_WRITE:
            yield commands.CloseConnection(self.conn)
        yield ReceiveHttp(ResponseProtocolError(self.stream_id, why, ErrorCode.GENERIC_SERVER_ERROR))


class BoundedHttp1Server(_ChunkedBodies, Http1Server):
    """`Http1Server` that limits the size of a request's head, and sends no error body to a HEAD request."""

    def read_headers(self, event: events.ConnectionEvent) -> layer.CommandGenerator[None]:
        yield from super().read_headers(event)
        size = len(self.buf)
        if self.state != self.read_headers or size <= MAX_REQUEST_LINE:
            return
        if size > MAX_HEAD or b"\n" not in bytes(self.buf):
            self.state = self.done
            yield commands.SendData(self.conn, make_error_response(431, "The request's head is too large."))
            yield commands.CloseConnection(self.conn)

    def send(self, event: HttpEvent) -> layer.CommandGenerator[None]:
        if isinstance(event, ResponseTrailers):
            return
        if (
            isinstance(event, ResponseProtocolError)
            and self.request
            and self.request.method.upper() == "HEAD"
            and not self.response
            and self.conn.state & ConnectionState.CAN_WRITE
            and (status := event.code.http_status_code()) is not None
        ):
            head, end, _ = make_error_response(status, event.message).partition(b"\r\n\r\n")
            yield commands.SendData(self.conn, head + end)
            yield commands.CloseConnection(self.conn)
            return
        yield from super().send(event)


class BodilessHttp2Server(Http2Server):
    """`Http2Server` that sends no error body to a HEAD request (RFC 9110 9.3.2)."""

    def __init__(self, context) -> None:
        super().__init__(context)
        self.heads: set[int] = set()
        """The HEAD requests that have not been answered."""

    def handle_h2_event(self, event: H2Event) -> layer.CommandGenerator[bool]:
        if isinstance(event, RequestReceived) and (b":method", b"HEAD") in event.headers:
            self.heads.add(event.stream_id)
        return (yield from super().handle_h2_event(event))

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, ResponseHeaders | ResponseProtocolError) and event.stream_id in self.heads:
            self.heads.remove(event.stream_id)
            status = event.code.http_status_code() if isinstance(event, ResponseProtocolError) else None
            if status is not None:
                event = ResponseHeaders(event.stream_id, Response.make(status), end_stream=True)
        yield from super()._handle_event(event)


def install() -> None:
    """Let every connection from now on be made of these classes. Only after `selfcheck` found nothing."""
    http.Http1Client = PatientHttp1Client  # type: ignore[misc]
    http.Http1Server = BoundedHttp1Server  # type: ignore[misc]
    http.Http2Client = GracefulHttp2Client  # type: ignore[misc]
    http.Http2Server = BodilessHttp2Server  # type: ignore[misc]
