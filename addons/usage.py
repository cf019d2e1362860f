"""Token counts of routed answers, read while they pass, whatever becomes of them on their way.

Stands before `Relay`, which changes answers that are here as a whole.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

from mitmproxy import http

from addons.attached import Attached
from addons.call import Call, calls
from router_core.core import Core
from router_core.exchange import Attempt, Exchange
from router_core.exchange import Usage as Counts
from router_core.usage.activity import Activity
from router_core.usage.count import Meter
from router_core.usage.pace import Pace
from router_core.usage.tap import Tap


class Usage:
    def __init__(self, core: Core) -> None:
        self._activity = core.activity
        self._counters = Attached[_Counter]("counter")

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        call = calls.get(flow)
        if call is None or call.exchange is None or flow in self._counters:
            return
        # `Relay` will set the headers of the client's answer, which may have another encoding.
        encoding = flow.response.headers.get("content-encoding", "") if flow.response else ""
        counter = self._counters[flow] = _Counter(call, encoding, self._activity)
        call.observers.append(counter.piece)

    def response(self, flow: http.HTTPFlow) -> None:
        counter = self._counters.get(flow)
        if counter is None or flow.websocket is not None:
            return
        if counter.call.whole and flow.response and flow.response is not counter.call.final:
            counter.whole(flow.response.raw_content or b"")
        counter.close()

    def error(self, flow: http.HTTPFlow) -> None:
        if counter := self._counters.get(flow):
            counter.close()

    def websocket_message(self, flow: http.HTTPFlow) -> None:
        counter = self._counters.get(flow)
        if counter is None or flow.websocket is None:
            return
        message = flow.websocket.messages[-1]
        if not message.from_client:
            counter.message(message.content)


class _Counter:
    """Counts for one call. An attempt that continues an answer starts from nothing."""

    def __init__(self, call: Call, encoding: str, activity: Activity) -> None:
        self.call = call
        self._activity = activity
        self._encoding = encoding
        self._attempt: Attempt | None = None
        self._meter: Meter | None = None
        self._tap: Tap | None = None
        self._version = 0
        self._complete = False

    def piece(self, data: bytes) -> None:
        if self._complete:
            return
        self._follow()
        if self._tap:
            if self._activity.watched and self._tap.pace is None:
                self._tap.pace = self._pace()
            self._tap.feed(data)
        self._take_over()

    def _pace(self) -> Pace:
        exchange, attempt = self.call.under_way
        exchange.pace = Pace(attempt.endpoint.format, monotonic())
        return exchange.pace

    def whole(self, body: bytes) -> None:
        """Takes an answer that is here in one piece, from the pipeline where that parses it anyway."""
        responder = self.call.responder
        if responder is not None and responder.reads_body:
            self._follow()
            responder.observe = self._document
        else:
            self.piece(body)
            self.close()
        self._complete = True

    def _document(self, document: Any) -> None:
        if self._meter:
            if isinstance(document, bytes):
                self._meter.feed(document)
            else:
                self._meter.feed_json(document)
        self._take_over()

    def message(self, content: bytes) -> None:
        self._follow()
        if self._meter:
            self._meter.feed(content)
        self._take_over()

    def close(self) -> None:
        if self._tap:
            self._tap.close()
        self._take_over()

    def _follow(self) -> None:
        exchange = self.call.exchange
        attempt = exchange.attempt if exchange else None
        if exchange is None or attempt is None or attempt is self._attempt:
            return
        self._attempt, self._version = attempt, 0
        self._meter = Meter(attempt.endpoint.format, exchange.surface.operation)
        self._tap = Tap(self._meter, self._encoding)
        # The header said so of the first answer only; the bytes of one that continues it say it themselves.
        self._encoding = ""

    def _take_over(self) -> None:
        if self._meter and self._meter.version != self._version and self.call.exchange:
            self._version = self._meter.version
            self.call.exchange.usage = self._meter.usage


def reported(exchange: Exchange, attempt: Attempt, response: http.Response, body: bytes) -> Counts | None:
    """What the upstream said of usage in an answer that the client did not get; None where it said nothing."""
    meter = Meter(attempt.endpoint.format, exchange.surface.operation)
    tap = Tap(meter, response.headers.get("content-encoding", ""))
    tap.feed(body)
    tap.close()
    return meter.usage if meter.reported else None
