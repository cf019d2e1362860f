"""A routed request on its way through the proxy: the exchange, and what is under way for it.

A `Call` lives with its flow in `calls`, never in `flow.metadata`, which mitmproxy writes to disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from weakref import ref

from mitmproxy import http

from addons.attached import Attached
from router_core.config.schema import Config
from router_core.errors import Refusal
from router_core.exchange import Attempt, Exchange, Outcome, Surface

if TYPE_CHECKING:
    from router_core.prepare import Outgoing
    from router_core.respond import Responder
    from router_core.sse import Event

EARLY: Final = 0.001
"""Seconds by which a timer of the event loop may be early."""


@dataclass(slots=True)
class Answer:
    """An upstream's failed answer, kept until it is known whether a better one comes."""

    attempt: Attempt
    response: http.Response
    body: bytes


@dataclass(slots=True, eq=False)
class Call:
    reference: ref[http.HTTPFlow]
    """To the flow that it lives with. A flow that referred to itself would wait for the collector to be freed."""
    surface: Surface
    config: Config
    """The configuration as it was when the request began; a reload does not change it under way."""
    exchange: Exchange | None = None
    """None until the whole request is here."""
    refusal: Refusal | None = None
    """Decided at the headers; the body that follows is dropped unread."""
    outgoing: Outgoing | None = None
    outcome: Outcome | None = None
    """How the attempt that just failed ended, until it is reported."""
    pending: asyncio.Task[Attempt | Refusal | None] | None = None
    """The plan still waits for a credential."""
    responder: Responder | None = None
    opening: list[Event] = field(default_factory=list)
    """The first events of the answer, which were read before the client was to see them."""
    answers: list[Answer] = field(default_factory=list)
    final: http.Response | None = None
    """What the client gets when no attempt is left."""
    committed: bool = False
    """The client has seen something that no other attempt could continue."""
    whole: bool = False
    """The answer is here in one piece and may be changed as one."""
    cancelled: bool = False
    """The client went away."""
    next_responder: Callable[[http.Response], None] | None = None
    """Makes `responder` anew when another attempt continues an answer that has begun."""
    finished: bool = False
    last_byte: float = 0.0
    """Monotonic seconds of the last piece of the answer."""
    due: float = 0.0
    """The event loop's time of the deadline, while there is a `timer`, which may be set for earlier."""
    timer: asyncio.TimerHandle | None = None
    on_deadline: Callable[[], None] | None = None
    message: Event | None = None
    """The message of the upstream that is at hand, on a WebSocket: read once, whoever asks."""
    observers: list[Callable[[bytes], None]] = field(default_factory=list)
    """Called with each piece of the upstream's answer as it came."""

    @property
    def flow(self) -> http.HTTPFlow:
        flow = self.reference()
        assert flow is not None
        return flow

    def release(self) -> None:
        """Let go of what leads back here, once nothing more passes. What was done and said stays."""
        self.on_deadline = self.next_responder = self.responder = None
        self.observers.clear()
        if self.exchange:
            self.exchange.plan = None
            for attempt in self.exchange.attempts:
                attempt.rewriting = None

    @property
    def under_way(self) -> tuple[Exchange, Attempt]:
        """The exchange and its attempt. Only for a call that has been sent."""
        assert self.exchange and self.exchange.attempt
        return self.exchange, self.exchange.attempt

    def arm(self, seconds: float) -> None:
        """Wake the stream after `seconds`, replacing an earlier deadline; 0 is none."""
        if not seconds or not self.on_deadline:
            self.disarm()
            return
        loop = asyncio.get_running_loop()
        self.due = loop.time() + seconds
        # A deadline is nearly always moved back; the timer that is set then finds out by itself.
        if self.timer is None or self.timer.when() > self.due:
            self._set_timer(loop)

    def _set_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        if self.timer:
            self.timer.cancel()
        self.timer = loop.call_at(self.due, self._wake)

    def _wake(self) -> None:
        self.timer = None
        loop = asyncio.get_running_loop()
        if loop.time() < self.due - EARLY:
            self._set_timer(loop)
        elif self.on_deadline:
            self.on_deadline()

    def relay(self, data: bytes) -> bytes:
        """A piece of the upstream's answer in, the client's out; b"" ends it."""
        assert self.responder
        if not data:
            return self.responder.close()
        for observe in self.observers:
            observe(data)
        return self.responder.feed(data)

    def relay_stream(self, data: bytes) -> list[bytes]:
        """mitmproxy's stream callable. Nothing is no chunk: an empty one would end a chunked body."""
        out = self.relay(data)
        return [out] if out else []

    def disarm(self) -> None:
        if self.timer:
            self.timer.cancel()
            self.timer = None


calls = Attached[Call]("call")
"""The routed flows. Flows that are passed through are not here."""


def failed(attempt: Attempt, outcome: Outcome, now: float) -> None:
    """Write down how `attempt` ended, once."""
    if attempt.outcome is None:
        attempt.outcome = outcome
        attempt.ended = now
