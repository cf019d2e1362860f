"""One request and its answer, which may take several attempts. See the package's docstring."""

from __future__ import annotations

import logging
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
    ResponseTrailers,
    SendHttp,
)

from addons.answers import broken_answer, broken_event, in_stream_error, keep_alive, too_large
from addons.call import Answer, Call, calls
from addons.failover.clients import Unprocessed
from addons.failover.events import DeadlinePassed, GetHttp1Connection, UpstreamAttemptHook
from addons.failover.hold import Hold, Kind, Step, kind_of
from addons.usage import reported
from addons.witness import Witness, witnesses
from router_core.config.schema import Config
from router_core.exchange import Outcome

if TYPE_CHECKING:
    from addons.failover.layer import FailoverLayer

logger = logging.getLogger(__name__)

FROM_UPSTREAM = (ResponseHeaders, ResponseData, ResponseTrailers, ResponseEndOfMessage, ResponseProtocolError)


class FailoverStream(HttpStream):
    """`HttpStream` that repeats a routed request elsewhere while the client has seen nothing of an answer.

    Flows without a `Call` behave exactly as in the base class.

    Client side: untouched -> *alive* (headers and keep-alives only) -> *committed* (content).
    Upstream side, per attempt: wait for headers -> hold the beginning -> commit, or fail and go again.
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

    # -- what a recording sees ------------------------------------------------------------------------

    def show_received(self, event: HttpEvent) -> None:
        """`event` is about to be handled."""
        if (
            (witness := self.witness_of(event))
            and event.stream_id == self.attempt_id
            and isinstance(event, FROM_UPSTREAM)
        ):
            witness.from_upstream(event, self.context.server)

    def show_sent(self, event: HttpEvent) -> None:
        """`event` is about to be sent to the client."""
        if witness := self.witness_of(event):
            witness.to_client(event)

    def witness_of(self, event: HttpEvent) -> Witness | None:
        if type(event) is ResponseHeaders or isinstance(event, ResponseProtocolError):
            self.witness = witnesses.get(self.flow)
        return self.witness

    # -- events in ------------------------------------------------------------------------------------

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, FROM_UPSTREAM):
            if event.stream_id != self.attempt_id:
                return  # late news of an attempt that was given up
            event.stream_id = self.stream_id
        elif isinstance(event, DeadlinePassed):
            yield from self.deadline_passed(event.call)
            return
        yield from super()._handle_event(event)

    def passthrough(self, event: events.Event) -> layer.CommandGenerator[None]:
        """After a 101: like the base class, under the attempt's own id."""
        if isinstance(event, HttpEvent) and event.stream_id not in (self.stream_id, self.attempt_id):
            return
        for command in super().passthrough(event):
            if isinstance(command, SendHttp) and command.connection is not self.context.client:
                command.event.stream_id = self.attempt_id
            yield command

    # -- the request ----------------------------------------------------------------------------------

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
        self.http_layer.streams[self.attempt_id] = self
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

    # -- the answer -----------------------------------------------------------------------------------

    def state_wait_for_response_headers(self, event: ResponseHeaders) -> layer.CommandGenerator[None]:
        if self.call is None:
            yield from super().state_wait_for_response_headers(event)
            return
        # The upstream connection goes on reading its own object, by which it judges whether it can be kept;
        # the flow's is changed on the way to the client.
        call, response = self.call, _copy(event.response)
        event.response = response
        exchange, attempt = call.under_way
        attempt.first_byte = time.monotonic()
        call.disarm()
        kind = kind_of(response, attempt.endpoint.format, exchange.stream)
        if kind is Kind.NOTHING and self.alive:
            # The client has been promised an event stream, and this is none.
            yield from self.attempt_failed(
                Outcome(phase="headers", status=response.status_code, error="not an event stream")
            )
            return
        self.hold = Hold(event, kind, attempt.endpoint.format, self.config.limits)
        if kind is Kind.NOTHING:
            yield from self.commit()
            return
        self.server_state = self.state_hold_response
        call.arm(
            self.config.limits.hold_time if kind is Kind.ERROR else self.config.upstream.first_byte_timeout
        )

    def state_hold_response(self, event: events.Event) -> layer.CommandGenerator[None]:
        assert self.hold and self.call
        if isinstance(event, ResponseEndOfMessage):
            yield from self.hold_ended()
            return
        assert isinstance(event, ResponseData | ResponseTrailers)
        first = not self.hold.events
        step = self.hold.feed(event)
        if self.hold.pings:
            yield from self.keep_alive()
        match step:
            case Step.COMMIT:
                yield from self.commit()
            case Step.FAIL:
                yield from self.attempt_failed(self.outcome_of_hold())
            case Step.WAIT if self.hold.kind in (Kind.JSON, Kind.FOLD):
                self.call.arm(self.config.upstream.idle_timeout)
            case Step.WAIT if self.hold.kind is Kind.STREAM and first and self.hold.events:
                self.call.arm(self.config.limits.hold_time)
            case _:
                pass

    def hold_ended(self) -> layer.CommandGenerator[None]:
        """The answer is complete and still held."""
        assert self.hold and self.call
        if self.hold.kind is Kind.JSON or (self.hold.kind is Kind.FOLD and self.hold.has_content):
            self.call.whole = True
            yield from self.commit()
            if self.server_state not in (self.state_errored, self.state_done):
                yield from self.server_state(ResponseEndOfMessage(self.stream_id))
        else:
            yield from self.attempt_failed(self.outcome_of_hold(), ended=True)

    def outcome_of_hold(self) -> Outcome:
        assert self.hold
        hold, response = self.hold, self.hold.response
        headers = list(response.headers.items(multi=True))
        if hold.kind is Kind.ERROR:
            return Outcome("headers", response.status_code, headers, hold.decoded_body())
        if hold.error:
            return Outcome("opening", response.status_code, headers, hold.error)
        return Outcome("opening", response.status_code, headers, error="the stream ended before any content")

    def commit(self) -> layer.CommandGenerator[None]:
        """Let the client see the held answer; from here on it is relayed as it comes."""
        assert self.hold and self.call
        call, hold, self.hold = self.call, self.hold, None
        call.committed = True
        call.last_byte = time.monotonic()
        call.arm(0 if hold.response.status_code == 101 else self.config.upstream.idle_timeout)
        if self.alive:
            assert call.next_responder
            call.next_responder(hold.response)
            self.server_state = self.state_stream_response_body
        else:
            yield from super().state_wait_for_response_headers(hold.headers)
            if self.server_state == self.state_errored:
                yield from self.cancel_upstream()
        for event in hold.events:
            if self.server_state == self.state_errored:
                return
            yield from self.server_state(event)

    def keep_alive(self) -> layer.CommandGenerator[None]:
        """Pass keep-alives on. The client's answer has begun, but any other attempt can still continue it."""
        assert self.hold
        pings, self.hold.pings = self.hold.pings, b""
        if not self.alive:
            yield from super().state_wait_for_response_headers(self.hold.headers)
            if self.server_state == self.state_errored:
                yield from self.cancel_upstream()
                return
            if self.server_state != self.state_stream_response_body:
                return  # an addon wants the whole body first; nothing can be sent early
            self.alive = True
            self.server_state = self.state_hold_response
        yield from super().state_stream_response_body(ResponseData(self.stream_id, pings))

    def state_stream_response_body(self, event: events.Event) -> layer.CommandGenerator[None]:
        if self.call and isinstance(event, ResponseData):
            self.call.last_byte = time.monotonic()
        yield from super().state_stream_response_body(event)

    def state_consume_response_body(self, event: events.Event) -> layer.CommandGenerator[None]:
        if self.call and isinstance(event, ResponseData):
            self.call.last_byte = time.monotonic()
        yield from super().state_consume_response_body(event)

    def flow_done(self) -> layer.CommandGenerator[None]:
        if self.call:
            self.call.disarm()
        assert self.flow.response
        if self.attempt_id != self.stream_id and self.flow.response.status_code != 101:
            yield DropStream(self.attempt_id)
        if self.witness:
            self.witness.answered()
        yield from super().flow_done()

    # -- failing --------------------------------------------------------------------------------------

    def handle_protocol_error(
        self, event: RequestProtocolError | ResponseProtocolError
    ) -> layer.CommandGenerator[None]:
        if self.call is None:
            yield from super().handle_protocol_error(event)
            return
        if isinstance(event, ResponseProtocolError):
            if self.client_state == self.state_done and self.server_state in (
                self.state_wait_for_response_headers,
                self.state_hold_response,
            ):
                yield from self.broke_off(event)
            elif self.client_state == self.state_done and self.server_state not in (
                self.state_done,
                self.state_errored,
            ):
                yield from self.end_broken_answer(event.message)
            return
        self.call.disarm()
        self.call.cancelled = True
        if self.hold:
            exchange, attempt = self.call.under_way
            held = reported(exchange, attempt, self.hold.response, self.hold.body)
            exchange.usage = held or exchange.usage
        event.stream_id = self.attempt_id
        yield from super().handle_protocol_error(event)
        if self.attempt_id != self.stream_id:
            yield DropStream(self.attempt_id)

    def broke_off(self, event: ResponseProtocolError) -> layer.CommandGenerator[None]:
        """The upstream closed or reset before the client saw anything of this answer."""
        assert self.call
        waiting = self.server_state == self.state_wait_for_response_headers
        lost_race = self.on_used_connection and not self.context.server.connected
        if waiting and not self.resent and (lost_race or isinstance(event, Unprocessed)):
            # Keep-alive race: the upstream closed an idle connection just as it was used again.
            # Like a request that it says it has not processed, that says nothing about the credential;
            # the same attempt deserves another connection.
            self.call.disarm()
            self.resent = True
            self.leave_attempt()
            yield from self.send_again()
            return
        outcome = Outcome("opening" if self.hold else "headers", error=event.message)
        yield from self.attempt_failed(outcome, ended=True)

    def deadline_passed(self, call: Call) -> layer.CommandGenerator[None]:
        if call is not self.call:
            return
        if self.server_state == self.state_wait_for_response_headers:
            yield from self.attempt_failed(Outcome(phase="headers", error="first byte timeout", timeout=True))
        elif self.server_state == self.state_hold_response:
            assert self.hold
            if self.hold.kind is Kind.STREAM and self.hold.events:
                yield from self.commit()
            elif self.hold.kind is Kind.ERROR:
                yield from self.attempt_failed(self.outcome_of_hold())
            else:
                yield from self.attempt_failed(
                    Outcome(phase="opening", error="first byte timeout", timeout=True)
                )
        elif self.server_state in (self.state_stream_response_body, self.state_consume_response_body):
            quiet = time.monotonic() - call.last_byte
            if (left := self.config.upstream.idle_timeout - quiet) > 0.01:
                call.arm(left)
            else:
                yield from self.cancel_upstream()
                yield from self.end_broken_answer(f"the upstream sent nothing for {quiet:.0f} s")

    def attempt_failed(self, outcome: Outcome, ended: bool = False) -> layer.CommandGenerator[None]:
        """End this attempt, and go on with the next one or with the best answer there is."""
        assert self.call
        self.call.disarm()
        exchange, attempt = self.call.under_way
        if self.hold:
            attempt.usage = reported(exchange, attempt, self.hold.response, self.hold.body)
        if self.hold and self.hold.kind is Kind.ERROR:
            self.call.answers.append(Answer(attempt, self.hold.response, self.hold.body))
        elif self.hold and self.hold.error:
            self.call.answers.append(in_stream_error(attempt, outcome))
        if not ended:
            yield from self.cancel_upstream()
        self.leave_attempt()
        self.resent = False
        if (yield from self.next_attempt(outcome)):
            yield from self.send_again()

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
            if call.exchange.stream:
                yield from self.reassure()
            yield UpstreamAttemptHook(call)
        yield DropStream(self.stream_id)
        return False

    def reassure(self) -> layer.CommandGenerator[None]:
        """While every credential is cooling: a keep-alive, so that the client of a stream goes on waiting."""
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
        yield SendHttp(ResponseData(self.stream_id, keep_alive(self.call)), self.context.client)

    def state_between_attempts(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Nothing of the old attempt matters any more, and there is no new one yet."""
        yield from ()

    def give_up(self) -> layer.CommandGenerator[None]:
        """Answer the client with what the route addon left as the best answer."""
        assert self.call
        self.call.committed = True
        if self.alive:
            yield from self.end_broken_answer("no upstream answered")
            return
        assert self.call.final
        self.flow.response = self.call.final
        self.flow.response.timestamp_start = time.time()
        yield HttpResponseHeadersHook(self.flow)
        if (yield from self.check_killed(True)):
            return
        self.flow.response.stream = False
        yield from self.send_response()

    def end_broken_answer(self, message: str) -> layer.CommandGenerator[None]:
        """An answer that the client has begun to read breaks off: say so in its own format, and end it."""
        assert self.call
        self.call.disarm()
        self.flow.error = flow.Error(message)
        yield HttpErrorHook(self.flow)
        if self.client_state != self.state_errored:
            if self.server_state == self.state_consume_response_body:
                # Nothing has been sent yet.
                yield from self.send_synthetic(broken_answer(self.call, message))
            elif last := broken_event(self.call, message):
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


def _copy(response: http.Response) -> http.Response:
    """A response head of its own. `Response.copy` goes through a serialised state, which costs far more."""
    data = response.data
    return http.Response(
        data.http_version,
        data.status_code,
        data.reason,
        http.Headers(data.headers.fields),
        None,
        None,
        data.timestamp_start,
        None,
    )
