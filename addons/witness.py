"""Is shown what passes of a recorded flow, and hands it to the recording.

`FailoverLayer` shows it each HTTP event between client and stream and between stream and upstream, so a
record has every attempt, also those that no hook tells of, and exactly what the client was sent.
"""

from __future__ import annotations

import asyncio
import time

from mitmproxy import http
from mitmproxy.connection import Connection, Server
from mitmproxy.proxy.layers.http import (
    HttpEvent,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
)

from addons.attached import Attached
from addons.call import Call, calls
from addons.headers import pairs
from router_core.capture.recording import Recording
from router_core.exchange import Attempt, Headers

GRACE = 1.0
"""Seconds after the last hook in which the end of an answer must have been sent to the client."""


class Witness:
    """Of one flow. None of its methods raises."""

    def __init__(self, recording: Recording, flow: http.HTTPFlow) -> None:
        self.recording = recording
        self._flow = flow
        self._begun = time.time()
        self._attempts = 0
        self._connections: set[str] = set()
        self._answering: Attempt | None = None
        """The attempt whose answer's body comes from upstream."""
        self._upgraded = False
        self._sent = False
        self._hooks_done = False
        self._grace: asyncio.TimerHandle | None = None
        self._left: Call | None = None

    def take_attempt(self, call: Call) -> None:
        """The attempt under way, if it has not been seen yet."""
        exchange = call.exchange
        if exchange and call.outgoing and exchange.attempt and len(exchange.attempts) > self._attempts:
            self._attempts = len(exchange.attempts)
            self.recording.attempt_request(exchange.attempt, call.outgoing)

    def from_client(self, data: bytes) -> bytes:
        """The stream callable of a request that passes through. The layer may see data before the flow has a
        witness, since it goes on reading while hooks run."""
        if data:
            self.recording.passing_data(data)
        return data

    def from_upstream(self, event: HttpEvent, server: Connection) -> None:
        if type(event) is ResponseData:
            if self._answering:
                self.recording.attempt_data(self._answering, event.data)
        elif isinstance(event, ResponseHeaders):
            call = calls.get(self._flow)
            attempt = call.exchange.attempt if call and call.exchange else None
            self._connection(server, attempt)
            status = event.response.status_code
            if attempt:
                self.recording.attempt_response_headers(attempt, status, headers_of(event.response))
            # After a 101 the data are frames, which `websocket_message` tells of as messages.
            self._upgraded = status == 101
            self._answering = None if self._upgraded else attempt

    def to_client(self, event: HttpEvent) -> None:
        if type(event) is ResponseData:
            if not self._upgraded:
                self.recording.client_data(event.data)
        elif isinstance(event, ResponseHeaders):
            self.recording.client_response(event.response.status_code, headers_of(event.response))
        elif isinstance(event, ResponseEndOfMessage | ResponseProtocolError):
            self.answered()

    def answered(self) -> None:
        """The client has all of its answer."""
        if self._upgraded:
            return
        self._sent = True
        if self._hooks_done:
            self.finish()

    def hooks_done(self) -> None:
        """mitmproxy is done with the flow; what it still holds of the answer goes to the client now."""
        self._hooks_done = True
        if self._sent:
            self.finish()
        else:
            self._grace = asyncio.get_running_loop().call_later(GRACE, self.finish)

    def finish(self) -> None:
        """Ends the recording, once."""
        if self._grace:
            self._grace.cancel()
            self._grace = None
        if witnesses.pop(self._flow) is None:
            return
        call = calls.get(self._flow)
        if call and call.exchange:
            self.recording.finish(call.exchange)
        else:
            flow = self._flow
            status = flow.response.status_code if flow.response else None
            self.recording.end(status, flow.error.msg if flow.error else None)
        if self._left:
            self._left.release()
            self._left = None

    def leave(self, call: Call) -> None:
        """The stream of `call` is over; the call is let go of when its recording is."""
        if self._flow in witnesses:
            self._left = call
        else:
            call.release()

    def _connection(self, server: Connection, attempt: Attempt | None) -> None:
        """When the connection was made, if it was made for this flow."""
        if not isinstance(server, Server) or server.id in self._connections:
            return
        self._connections.add(server.id)
        if (server.timestamp_start or 0) < self._begun - 0.001:
            return
        for name, at in (
            ("connecting", server.timestamp_start),
            ("connected", server.timestamp_tcp_setup),
            ("tls", server.timestamp_tls_setup),
        ):
            if at is not None:
                self.recording.timing(name, attempt, at)


def headers_of(message: http.Message) -> Headers:
    return pairs(message.headers)


witnesses = Attached[Witness]("witness")
"""The flows that are being recorded."""
