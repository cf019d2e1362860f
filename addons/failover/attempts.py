"""A request that is sent to one upstream, and to another one where that failed. See the package's docstring."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mitmproxy import flow, http
from mitmproxy.connection import Connection
from mitmproxy.proxy import events, layer
from mitmproxy.proxy.layers.http import (
    DropStream,
    ErrorCode,
    GetHttpConnection,
    HttpErrorHook,
    HttpEvent,
    HttpResponseHeadersHook,
    HttpStream,
    RequestData,
    RequestEndOfMessage,
    RequestHeaders,
    RequestProtocolError,
    RequestTrailers,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
    SendHttp,
)

from addons.answers import broken, broken_answer, final_error, keep_alive, last_event
from addons.call import Call, calls
from addons.dismantle import dismantle
from addons.failover.events import GetHttp1Connection, UpstreamAttemptHook
from addons.failover.hold import Hold
from addons.witness import Witness
from router_core.config.schema import Config
from router_core.exchange import Outcome
from router_core.formats.errors import WireError
from router_core.reading import too_large

if TYPE_CHECKING:
    from addons.failover.layer import FailoverLayer


class AttemptStream(HttpStream):
    """`HttpStream` that sends its request by attempts: one, and where that failed another one.

    Flows without a `Call` behave exactly as in the base class.
    """

    def __init__(self, context, stream_id: int, http_layer: FailoverLayer) -> None:
        super().__init__(context, stream_id)
        self.http_layer = http_layer
        self.attempt_id = stream_id
        self.call: Call | None = None
        self.hold: Hold | None = None
        self.alive = False
        self.on_used_connection = False
        self.witness: Witness | None = None
        self.resent = False
        """The attempt under way was sent a second time: the upstream had not processed the first."""

    def release(self) -> None:
        """Let go of what leads back here, after the stream has left its layer.

        All that one request needed is then freed at once, while the processor's cache still holds it, and the
        collector has less to do.
        """
        if self._paused or (self.child_layer and not dismantle(self.child_layer)):
            return  # something still comes
        self.child_layer = None
        self.context.layers.clear()
        self.client_state = self.server_state = _over
        if self.call and self.call.finished:
            if self.witness:
                self.witness.leave(self.call)
            else:
                self.call.release()

    # -- an attempt -------------------------------------------------------------------------------------

    def passthrough(self, event: events.Event) -> layer.CommandGenerator[None]:
        """After a 101: like the base class, under the attempt's own id."""
        if isinstance(event, HttpEvent) and event.stream_id not in (self.stream_id, self.attempt_id):
            return
        for command in super().passthrough(event):
            if isinstance(command, SendHttp) and command.connection is not self.context.client:
                command.event.stream_id = self.attempt_id
            yield command

    def state_consume_request_body(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, RequestData) and (call := calls.get(self.flow)):
            if len(self.request_body_buf) + len(event.data) > call.config.limits.body:
                call.refusal = call.refusal or too_large(call.config.limits.body)
            if call.refusal:
                self.request_body_buf.clear()
                return  # read the body to its end, but keep none of it
        yield from super().state_consume_request_body(event)
        if isinstance(event, RequestEndOfMessage) and self.call and self.is_waiting:
            self.call.arm(self.config.upstream.first_byte_timeout)

    @property
    def is_waiting(self) -> bool:
        return self.server_state == self.state_wait_for_response_headers and self.flow.live

    @property
    def config(self) -> Config:
        assert self.call
        return self.call.config

    def make_server_connection(self) -> layer.CommandGenerator[bool]:
        self.call = calls.get(self.flow)
        if self.call is None:
            return (yield from super().make_server_connection())
        if self.call.pending and not (yield from self.settle_attempt(0)):
            return False
        while True:
            if (yield from self.check_killed(True)):
                return False
            error = yield from self.connect()
            if error is None:
                return True
            outcome = Outcome(phase="connect", error=error, timeout="timeout" in error)
            if not (yield from self.next_attempt(outcome)):
                return False

    def connect(self) -> layer.CommandGenerator[str | None]:
        """Get a connection for `flow.request`. Returns what went wrong, or None."""
        known: set[Connection] = {c for c in self.http_layer.connections if c.connected}
        limit, begun = self.config.upstream.connect_timeout, time.monotonic()
        assert self.call
        exchange, _ = self.call.under_way
        kind = GetHttp1Connection if exchange.websocket else GetHttpConnection
        connection, error = yield kind(
            (self.flow.request.host, self.flow.request.port),
            self.flow.request.scheme == "https",
            self.flow.server_conn.via,
            "tcp",
        )
        if error:
            # What ends a connection that takes too long reports only that it was ended.
            return f"connect timeout after {limit:g} s" if 0 < limit <= time.monotonic() - begun else error
        assert connection
        self.on_used_connection = connection in known
        self.context.server = self.flow.server_conn = connection
        return None

    def send_again(self) -> layer.CommandGenerator[None]:
        """Send `flow.request`, whose body is all here, under the fresh id that `leave_attempt` took."""
        self.http_layer.streams[self.attempt_id] = self  # type: ignore[assignment]
        self.server_state = self.state_wait_for_response_headers
        if not self.alive:
            self.flow.response = None
        self.flow.error = None
        if not (yield from self.make_server_connection()):
            return
        request = self.flow.request
        content = request.raw_content
        end_stream = not (content or request.trailers)
        yield SendHttp(RequestHeaders(self.attempt_id, request, end_stream), self.context.server)
        if content:
            yield SendHttp(RequestData(self.attempt_id, content), self.context.server)
        if request.trailers:
            yield SendHttp(RequestTrailers(self.attempt_id, request.trailers), self.context.server)
        yield SendHttp(RequestEndOfMessage(self.attempt_id), self.context.server)
        assert self.call
        self.call.arm(self.config.upstream.first_byte_timeout)

    def leave_attempt(self) -> None:
        """Whatever still comes for the attempt that was sent is late news, and dropped."""
        if self.attempt_id != self.stream_id:
            self.http_layer.streams.pop(self.attempt_id, None)
        self.attempt_id = next(self.http_layer.attempt_ids)
        self.hold = None
        self.response_body_buf.clear()

    # -- the next one, or none --------------------------------------------------------------------------

    def next_attempt(self, outcome: Outcome) -> layer.CommandGenerator[bool]:
        """Report `outcome`. True if `flow.request` is now the next attempt; else the client was answered."""
        call = self.call
        assert call and call.exchange
        call.outcome = outcome
        before = len(call.exchange.attempts)
        self.server_state = self.state_between_attempts
        yield UpstreamAttemptHook(call)
        return (yield from self.settle_attempt(before))

    def settle_attempt(self, before: int) -> layer.CommandGenerator[bool]:
        """Wait until there is an attempt after the first `before`, or certainly none."""
        call = self.call
        assert call and call.exchange
        while not (yield from self.check_killed(True)):
            if not call.pending:
                if len(call.exchange.attempts) > before:
                    self.server_state = self.state_wait_for_response_headers
                    return True
                yield from self.give_up()
                return False
            if call.exchange.stream and (sign := keep_alive(call)):
                yield from self.reassure(sign)
            yield UpstreamAttemptHook(call)
        yield DropStream(self.stream_id)
        return False

    def reassure(self, sign: bytes) -> layer.CommandGenerator[None]:
        """While every credential is cooling: a `sign` of life, so that the client of a stream goes on waiting."""
        assert self.call
        if not self.alive:
            self.flow.response = http.Response.make(200, b"", {"content-type": "text/event-stream"})
            self.flow.response.headers.pop("content-length", None)
            yield HttpResponseHeadersHook(self.flow)
            if (yield from self.check_killed(True)):
                return
            yield from self.start_response_stream()
            self.alive = True
            self.server_state = self.state_between_attempts
        yield SendHttp(ResponseData(self.stream_id, sign), self.context.client)

    def state_between_attempts(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Nothing of the old attempt matters any more, and there is no new one yet."""
        yield from ()

    def give_up(self) -> layer.CommandGenerator[None]:
        """Answer the client with what the route addon left as the best answer."""
        assert self.call
        self.call.committed = True
        assert self.call.final
        if self.alive:
            yield from self.end_broken_answer("no upstream answered", final_error(self.call))
            return
        self.flow.response = self.call.final
        self.flow.response.timestamp_start = time.time()
        yield HttpResponseHeadersHook(self.flow)
        if (yield from self.check_killed(True)):
            return
        self.flow.response.stream = False
        yield from self.send_response()

    def end_broken_answer(self, message: str, error: WireError | None = None) -> layer.CommandGenerator[None]:
        """An answer that the client has begun to read breaks off: say so in its own format, and end it.

        The client is told of `error`, of a broken connection where there is none.
        """
        assert self.call
        self.call.disarm()
        self.flow.error = flow.Error(message)
        yield HttpErrorHook(self.flow)
        if self.client_state != self.state_errored:
            if self.server_state == self.state_consume_response_body:
                # Nothing has been sent yet.
                yield from self.send_synthetic(broken_answer(self.call, message))
            elif last := last_event(self.call, error or broken(message)):
                yield SendHttp(ResponseData(self.stream_id, last), self.context.client)
                yield SendHttp(ResponseEndOfMessage(self.stream_id), self.context.client)
            else:
                yield SendHttp(
                    ResponseProtocolError(self.stream_id, message, ErrorCode.GENERIC_SERVER_ERROR),
                    self.context.client,
                )
        self.server_state = self.state_errored
        self.flow.live = False
        if self.attempt_id != self.stream_id:
            yield DropStream(self.attempt_id)
        yield DropStream(self.stream_id)

    def send_synthetic(self, response: http.Response) -> layer.CommandGenerator[None]:
        content = response.raw_content
        yield SendHttp(ResponseHeaders(self.stream_id, response, not content), self.context.client)
        if content:
            yield SendHttp(ResponseData(self.stream_id, content), self.context.client)
        yield SendHttp(ResponseEndOfMessage(self.stream_id), self.context.client)

    def cancel_upstream(self) -> layer.CommandGenerator[None]:
        """Tell the upstream that nobody waits for this attempt any more."""
        connection = self.context.server
        if connection not in self.http_layer.connections:
            return
        if self.http_layer.unqueue(connection, self.attempt_id):
            return  # it was never sent
        yield SendHttp(
            RequestProtocolError(self.attempt_id, "attempt given up", ErrorCode.CANCEL), connection
        )


def _over(event: events.Event) -> layer.CommandGenerator[None]:
    """The state of a stream that was released."""
    yield from ()
