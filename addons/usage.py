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
from router_core.exchange import Attempt
from router_core.respond import Responder
from router_core.sse import Event, of_message
from router_core.usage.activity import Activity
from router_core.usage.count import Meter
from router_core.usage.pace import Pace
from router_core.usage.tap import NEEDLE, Tap


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
            counter.end()

    def websocket_message(self, flow: http.HTTPFlow) -> None:
        counter = self._counters.get(flow)
        if counter is None or flow.websocket is None:
            return
        message = flow.websocket.messages[-1]
        if not message.from_client:
            # This stands before `Websocket`, which reads the same message.
            counter.call.message = of_message(message.content)
            counter.message(counter.call.message)


class _Counter:
    """Counts for one call. An attempt that continues an answer starts from nothing."""

    def __init__(self, call: Call, encoding: str, activity: Activity) -> None:
        self.call = call
        self._activity = activity
        self._encoding = encoding
        self._attempt: Attempt | None = None
        self._responder: Responder | None = None
        self._meter: Meter | None = None
        self._tap: Tap | None = None
        self._pace: Pace | None = None
        self._version = 0
        self._complete = False
        self._shown = False
        """Whether the pipeline shows what the answer holds."""

    def piece(self, data: bytes) -> None:
        """Takes a piece as it came over the wire; where the pipeline reads it, that shows what it holds."""
        if self._complete:
            return
        self._follow()
        if not self._shown:
            self.data(data)

    def whole(self, body: bytes) -> None:
        """Takes an answer that is here in one piece."""
        self.piece(body)
        self._complete = True

    # -- what the pipeline shows ------------------------------------------------------------------------

    def event(self, event: Event) -> None:
        if self._activity.watched:
            self._paced().feed(event.raw, monotonic())
        if self._meter and NEEDLE in event.raw:
            self._meter.feed(event)
            self._take_over()

    def passes_over(self, events: bytes) -> bool:
        return not self._activity.watched and (self._meter is None or NEEDLE not in events)

    def document(self, document: Any) -> None:
        if self._meter:
            self._meter.feed_json(document)
        self._take_over()

    def data(self, data: bytes) -> None:
        if self._tap:
            if self._activity.watched:
                self._tap.pace = self._paced()
            self._tap.feed(data)
        self._take_over()

    def end(self) -> None:
        if self._tap:
            self._tap.close()
        self._take_over()

    # ---------------------------------------------------------------------------------------------------

    def message(self, message: Event) -> None:
        self._follow()
        if self._meter:
            self._meter.feed(message)
        self._take_over()

    def close(self) -> None:
        """The answer is complete; one that the pipeline shows may still have to pass it."""
        if not self._shown:
            self.end()

    def _paced(self) -> Pace:
        if self._pace is None:
            exchange, attempt = self.call.under_way
            self._pace = exchange.pace = Pace(attempt.endpoint.format, monotonic())
        return self._pace

    def _follow(self) -> None:
        exchange = self.call.exchange
        attempt = exchange.attempt if exchange else None
        if exchange is None or attempt is None:
            return
        if attempt is not self._attempt:
            self._attempt, self._version, self._pace = attempt, 0, None
            self._meter = Meter(attempt.endpoint.format, exchange.surface.operation)
        elif self._responder is self.call.responder:
            return
        assert self._meter
        self._responder = self.call.responder
        self._shown = self._responder is not None and self._responder.show(self)
        self._tap = Tap(self._meter, "" if self._shown else self._encoding)
        # The header said so of the first answer only; the bytes of one that continues it say it themselves.
        self._encoding = ""

    def _take_over(self) -> None:
        if self._meter and self._meter.version != self._version and self.call.exchange:
            self._version = self._meter.version
            self.call.exchange.usage = self._meter.usage
