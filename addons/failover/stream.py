"""The answer to a request: held back, let through, or given up for another attempt's. See the package's docstring."""

from __future__ import annotations

import time

from mitmproxy import http
from mitmproxy.proxy import events, layer
from mitmproxy.proxy.layers.http import (
    DropStream,
    HttpEvent,
    RequestProtocolError,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
    ResponseTrailers,
)

from addons.answers import in_stream_error
from addons.call import Answer, Call
from addons.failover.attempts import AttemptStream
from addons.failover.clients import Unprocessed
from addons.failover.events import DeadlinePassed
from addons.failover.hold import Hold, Kind, Step, kind_of
from addons.witness import Witness, witnesses
from router_core.exchange import Outcome
from router_core.formats import Operation

FROM_UPSTREAM = (ResponseHeaders, ResponseData, ResponseTrailers, ResponseEndOfMessage, ResponseProtocolError)


class FailoverStream(AttemptStream):
    """`HttpStream` that repeats a routed request elsewhere while the client has seen nothing of an answer.

    Flows without a `Call` behave exactly as in the base class.

    Client side: untouched -> *alive* (headers and keep-alives only) -> *committed* (content).
    Upstream side, per attempt: wait for headers -> hold the beginning -> commit, or fail and go again.
    """

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, FROM_UPSTREAM):
            if event.stream_id != self.attempt_id:
                return  # late news of an attempt that was given up
            event.stream_id = self.stream_id
        elif isinstance(event, DeadlinePassed):
            yield from self.deadline_passed(event.call)
            return
        yield from super()._handle_event(event)

    # -- what a recording sees --------------------------------------------------------------------------

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

    # -- the answer -------------------------------------------------------------------------------------

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
        format, generates = attempt.endpoint.format, exchange.surface.operation is Operation.GENERATE
        kind = kind_of(response, format, exchange.stream, generates)
        if kind is Kind.NOTHING and (self.alive or _is_foreign(call, response)):
            # The client has been promised an event stream, and this is none; or a page of somebody in between.
            media = response.headers.get("content-type", "").partition(";")[0] or "of no type"
            outcome = Outcome(
                phase="headers",
                status=response.status_code,
                error=f"its answer, {response.status_code} {media}, is neither JSON nor an event stream",
            )
            yield from self.attempt_failed(outcome)
            return
        # The client's own host answers it as that sees fit.
        corrects = generates and attempt.credential_id is not None
        translated = format is not exchange.surface.format
        self.hold = Hold(event, kind, format, self.config.limits, exchange.stream, corrects, translated)
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
                yield from self.attempt_failed(self.hold.outcome())
            case Step.WAIT if self.hold.kind in (Kind.JSON, Kind.FOLD):
                self.call.arm(self.config.upstream.idle_timeout)
            case Step.WAIT if self.hold.kind is Kind.STREAM and first and self.hold.events:
                self.call.arm(self.config.limits.hold_time)
            case _:
                pass

    def hold_ended(self) -> layer.CommandGenerator[None]:
        """The answer is complete and still held."""
        assert self.hold and self.call
        whole = self.hold.kind is Kind.JSON or (self.hold.kind is Kind.FOLD and self.hold.has_content)
        if whole and not self.hold.fails():
            # What the client has begun to read is no longer to be changed in one piece.
            self.call.whole = not self.alive
            yield from self.commit()
            if self.server_state not in (self.state_errored, self.state_done):
                yield from self.server_state(ResponseEndOfMessage(self.stream_id))
        else:
            yield from self.attempt_failed(self.hold.outcome(), ended=True)

    def commit(self) -> layer.CommandGenerator[None]:
        """Let the client see the held answer; from here on it is relayed as it comes."""
        assert self.hold and self.call
        call, hold, self.hold = self.call, self.hold, None
        call.committed = True
        call.opening = hold.read
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

    # -- failing ----------------------------------------------------------------------------------------

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
                yield from self.end_broken_answer(_in_words(event))
            return
        self.call.disarm()
        self.call.cancelled = True
        if self.hold:
            exchange, _ = self.call.under_way
            held = self.hold.reported(exchange.surface.operation)
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
        outcome = Outcome("opening" if self.hold else "headers", error=_in_words(event))
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
                yield from self.attempt_failed(self.hold.outcome())
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
            attempt.usage = self.hold.reported(exchange.surface.operation)
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


def _is_foreign(call: Call, response: http.Response) -> bool:
    """Whether an answer that is no error, no JSON and no event stream cannot be the API's. The client's own
    host may answer it what it likes."""
    exchange, attempt = call.under_way
    own = attempt.credential_id is None
    return not own and exchange.surface.operation is not Operation.PASSTHROUGH and response.status_code != 101


def _in_words(event: ResponseProtocolError) -> str:
    """What happened; mitmproxy says of every stream that is reset that the client did it."""
    return event.message.replace("reset by client", "reset by the upstream")


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
