"""The ways in which a provider fails, by name, and which requests they befall."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from detour.fakes.anthropic import PING
from detour.fakes.call import Call
from detour.fakes.steps import (
    Close,
    Data,
    End,
    Framing,
    Gate,
    Goaway,
    Head,
    Pause,
    Raw,
    Reply,
    Reset,
    Stall,
    Step,
    WebSocketClose,
    compress,
)

type Place = Literal["handshake", "turn"]
"""Where on a WebSocket a fault may stand; nothing on plain HTTP, where each may."""

type Build = Callable[[Call, Reply], list[Step]]
"""From a call and the reply that it would have got to what happens instead."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A named way to answer. On a WebSocket it befalls the handshake, or each turn when `in_stream`."""

    name: str
    build: Build = field(repr=False)
    in_stream: bool = False

    @staticmethod
    def status(
        status: int,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes | None = None,
        framing: Framing = "length",
        slow_body: float = 0.0,
    ) -> Fault:
        """An error answer in the provider's own shape, or with `body`; `slow_body` seconds before the body."""

        def build(call: Call, reply: Reply) -> list[Step]:
            error = call.wire.error(call, status, None)
            if body is not None:
                error = replace(error, parts=(body,))
            head = replace(error, framing=framing, headers=(*error.headers, *headers)).head()
            pause = [Pause(slow_body)] if slow_body else []
            return [head, *pause, *map(Data, _halves(b"".join(error.parts))), End()]

        return Fault(f"{status}-{framing}" if framing != "length" else str(status), build)

    @staticmethod
    def reset_before_first_byte() -> Fault:
        return Fault("reset-before-first-byte", lambda call, reply: [Reset()])

    @staticmethod
    def close_before_first_byte() -> Fault:
        return Fault("close-before-first-byte", lambda call, reply: [Close()])

    @staticmethod
    def reset_stream(code: int) -> Fault:
        """HTTP/2: RST_STREAM with `code` (7 is REFUSED_STREAM, 11 ENHANCE_YOUR_CALM); HTTP/1.1: RST."""
        return Fault(f"rst-stream-{code}", lambda call, reply: [Reset(code)])

    @staticmethod
    def goaway(*, reset: bool = False) -> Fault:
        """HTTP/2: GOAWAY that leaves the stream out, after RST_STREAM with `reset`; then the connection ends."""
        first: list[Step] = [Reset(7)] if reset else []
        return Fault("rst-goaway" if reset else "goaway", lambda call, reply: [*first, Goaway(), Close()])

    @staticmethod
    def garbage() -> Fault:
        """Bytes that are no answer of the protocol spoken."""
        return Fault("garbage", lambda call, reply: [Raw(b"\x00\x00\x04garbage\r\n\r\n"), Close()])

    @staticmethod
    def never_answer() -> Fault:
        return Fault("never-answer", lambda call, reply: [Stall()])

    @staticmethod
    def slow_first_byte(seconds: float) -> Fault:
        return Fault("slow-first-byte", lambda call, reply: [Pause(seconds), *reply.steps()])

    @staticmethod
    def head_then_stall() -> Fault:
        """The head of a good answer, then nothing."""
        return Fault("head-then-stall", lambda call, reply: [reply.head(), Stall()], in_stream=True)

    @staticmethod
    def head_then_reset() -> Fault:
        return Fault("head-then-reset", lambda call, reply: [reply.head(), Reset()], in_stream=True)

    @staticmethod
    def empty() -> Fault:
        """A good head with a complete, empty body."""
        return Fault("empty", lambda call, reply: [replace(reply, parts=()).head(), End()], in_stream=True)

    @staticmethod
    def sse_error_before_content(variety: str = "", pings: int = 0, opening: int | None = None) -> Fault:
        """An error inside a 200 stream after `opening` content-free events (all when None) and `pings`."""

        def build(call: Call, reply: Reply) -> list[Step]:
            parts = (*reply.parts[: reply.opening if opening is None else opening], *[_ping(call)] * pings)
            return [reply.head(), *map(Data, parts), Data(call.wire.stream_error(call, variety)), End()]

        return Fault("sse-error-before-content", build, in_stream=True)

    @staticmethod
    def sse_error_after_content(variety: str = "", after: int = 1) -> Fault:
        """An error inside a 200 stream after `after` events of content."""

        def build(call: Call, reply: Reply) -> list[Step]:
            return [*_until(reply, after), Data(call.wire.stream_error(call, variety)), End()]

        return Fault("sse-error-after-content", build, in_stream=True)

    @staticmethod
    def reset_mid_stream(after: int = 1) -> Fault:
        return Fault("reset-mid-stream", lambda call, reply: [*_until(reply, after), Reset()], in_stream=True)

    @staticmethod
    def close_mid_stream(after: int = 1) -> Fault:
        return Fault("close-mid-stream", lambda call, reply: [*_until(reply, after), Close()], in_stream=True)

    @staticmethod
    def goaway_mid_stream(after: int = 1) -> Fault:
        """HTTP/2: announce the connection's end, then complete the stream (a graceful shutdown)."""

        def build(call: Call, reply: Reply) -> list[Step]:
            begun = _until(reply, after)
            return [*begun, Goaway(), *reply.steps()[len(begun) :]]

        return Fault("goaway-mid-stream", build, in_stream=True)

    @staticmethod
    def stall_mid_stream(after: int = 1) -> Fault:
        return Fault("stall-mid-stream", lambda call, reply: [*_until(reply, after), Stall()], in_stream=True)

    @staticmethod
    def gate(name: str, after: int = 1) -> Fault:
        """A good answer that waits for `FakeUpstream.open(name)` after `after` events of content."""

        def build(call: Call, reply: Reply) -> list[Step]:
            begun = _until(reply, after)
            return [*begun, Gate(name), *reply.steps()[len(begun) :]]

        return Fault("gate", build, in_stream=True)

    @staticmethod
    def gates(name: str) -> Fault:
        """A good answer that waits for ``open(f"{name}-{n}")`` before its `n`-th event of content, from 0."""

        def build(call: Call, reply: Reply) -> list[Step]:
            steps = _until(reply, 0)
            for n, part in enumerate(reply.parts[reply.opening :]):
                if n < reply.content:
                    steps.append(Gate(f"{name}-{n}"))
                steps.append(Data(part))
            return [*steps, End()]

        return Fault("gates", build, in_stream=True)

    @staticmethod
    def gate_before_head(name: str) -> Fault:
        return Fault("gate-before-head", lambda call, reply: [Gate(name), *reply.steps()])

    @staticmethod
    def paced(seconds: float) -> Fault:
        """A good answer with a pause after each part."""

        def build(call: Call, reply: Reply) -> list[Step]:
            paced = [step for part in reply.parts for step in (Data(part), Pause(seconds))]
            return [reply.head(), *paced, End()]

        return Fault("paced", build, in_stream=True)

    @staticmethod
    def pings(count: int, seconds: float = 0.0) -> Fault:
        """`count` pings, `seconds` apart, between the opening and the content of a good answer."""

        def build(call: Call, reply: Reply) -> list[Step]:
            begun = _until(reply, 0)
            pings = [step for _ in range(count) for step in (Data(_ping(call)), Pause(seconds))]
            return [*begun, *pings, *reply.steps()[len(begun) :]]

        return Fault("pings", build, in_stream=True)

    @staticmethod
    def compressed(fault: Fault | None = None) -> Fault:
        """A good answer, or `fault`, in gzip whether or not the client accepts it."""

        def build(call: Call, reply: Reply) -> list[Step]:
            return list(compress(fault.build(call, reply) if fault else reply.steps()))

        return Fault(f"gzip-{fault.name}" if fault else "gzip", build, in_stream=True)

    @staticmethod
    def close_after() -> Fault:
        """A good answer, after which the connection ends without a word."""
        return Fault("close-after", lambda call, reply: [*reply.steps(), Close()])

    @staticmethod
    def early_hints() -> Fault:
        """HTTP/1.1: a good answer after an informational one (RFC 8297)."""
        hints = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
        return Fault("early-hints", lambda call, reply: [Raw(hints), *reply.steps()])

    @staticmethod
    def big_body(size: int) -> Fault:
        """An answer whose text is `size` bytes long."""

        def build(call: Call, reply: Reply) -> list[Step]:
            words = ("0123456789abcde " * (size // 16 + 1))[:size].strip()
            return call.wire.answer(replace(call, text=words)).steps()

        return Fault("big-body", build)

    @staticmethod
    def with_headers(headers: Iterable[tuple[str, str]]) -> Fault:
        """A good answer with `headers` besides its own."""
        more = tuple(headers)

        def build(call: Call, reply: Reply) -> list[Step]:
            return replace(reply, headers=(*reply.headers, *more)).steps()

        return Fault("with-headers", build)

    @staticmethod
    def text(text: str) -> Fault:
        """A good answer that says `text`."""
        return Fault("text", lambda call, reply: call.wire.answer(replace(call, text=text)).steps())

    @staticmethod
    def raw_answer(status: int, content_type: str, *parts: bytes, framing: Framing = "chunked") -> Fault:
        """`parts` as they are, one flush each."""
        head = Head(status, (("Content-Type", content_type),), framing, sum(map(len, parts)))
        return Fault("raw-answer", lambda call, reply: [head, *map(Data, parts), End()])

    @staticmethod
    def short_body(claimed: int) -> Fault:
        """An error whose Content-Length is larger than its body."""

        def build(call: Call, reply: Reply) -> list[Step]:
            error = call.wire.error(call, 500, None)
            return [replace(error.head(), length=claimed), *map(Data, error.parts), Close()]

        return Fault("short-body", build)

    @staticmethod
    def ws_close(code: int, reason: str = "", after: int = 0) -> Fault:
        """A WebSocket that is closed with `code` after `after` events of content."""

        def build(call: Call, reply: Reply) -> list[Step]:
            return [*(_until(reply, after) if after else []), WebSocketClose(code, reason)]

        return Fault(f"ws-close-{code}", build, in_stream=True)


@dataclass(slots=True)
class Rule:
    """Which requests a fault befalls: those that match all that is stated."""

    fault: Fault
    key: str | None = None
    model: str | None = None
    number: int | None = None
    """Only the `number`-th of the requests that match otherwise, from 1."""
    times: int | None = None
    """Only the first `times` of them."""
    seen: int = 0

    def applies(self, key: str | None, model: str | None, place: Place | None) -> bool:
        if place and (place == "turn") != self.fault.in_stream:
            return False
        if self.key not in (None, key) or self.model not in (None, model):
            return False
        self.seen += 1
        return self.number in (None, self.seen) and (self.times is None or self.seen <= self.times)


@dataclass(slots=True)
class Script:
    """Rules in order; the first that applies decides."""

    rules: list[Rule] = field(default_factory=list)

    def add(
        self,
        fault: Fault,
        *,
        key: str | None = None,
        model: str | None = None,
        number: int | None = None,
        times: int | None = None,
    ) -> Rule:
        self.rules.append(Rule(fault, key, model, number, times))
        return self.rules[-1]

    def fault(self, key: str | None, model: str | None, place: Place | None = None) -> Fault | None:
        return next((rule.fault for rule in self.rules if rule.applies(key, model, place)), None)


def _until(reply: Reply, content: int) -> list[Step]:
    """The head, the opening and `content` parts of a reply's content."""
    return [reply.head(), *map(Data, reply.parts[: reply.opening + content])]


def _halves(body: bytes) -> list[bytes]:
    middle = len(body) // 2
    return [part for part in (body[:middle], body[middle:]) if part]


def _ping(call: Call) -> bytes:
    """What keeps a stream of this format alive: an event, or a comment where the format has none."""
    if call.wire.name == "anthropic":
        return PING
    if call.wire.name == "openai-responses":
        return (
            b"event: keepalive\ndata: "
            + json.dumps({"type": "keepalive", "sequence_number": 3}).encode()
            + b"\n\n"
        )
    return b": keep-alive\r\n\r\n" if call.wire.name == "gemini" else b": keep-alive\n\n"
