"""From the upstream's answer to the client's: decode, cut into events, translate, rewrite, write.

Where nothing can apply, the bytes pass unread. Where something might, an event that holds none of the texts
that a rule looks for passes as it came, and so does everything that turns out to be unchanged.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from router_core.body_pipes import MAX_WHOLE, BodyPipe, ErrorPipe
from router_core.encoding import DecodingError, codings, decoder
from router_core.event_pipes import EventPipe, FoldPipe, Incoming, PassingPipe
from router_core.exchange import Attempt, Exchange, Headers
from router_core.formats import Format, Operation
from router_core.formats.errors import WireError, error_event
from router_core.framing import ArrayFraming, LineFraming, SseFraming, wants_events
from router_core.observing import Observer, Show
from router_core.pipes import Pipe, Plain, Sniffing, reader_for
from router_core.prepare import HOP_BY_HOP
from router_core.rewrite.context import Context
from router_core.rewrite.headers import HeaderEdit
from router_core.rewrite.rule import Rule
from router_core.rewrite.rules import Rules
from router_core.rewrite.stage import Stage, mark
from router_core.sse import Event
from router_core.translator import AnswerTranslator

logger = logging.getLogger(__name__)

ERROR_LIMIT: Final = 1 << 20
JSON_LIMIT: Final = 2 << 20
_FITTED: Final = ("content-length", "content-encoding", "content-md5", "content-digest", "digest", "etag")
"""Headers that speak of bytes which may change."""
_OF_ACCOUNT: Final = frozenset({"set-cookie", "alt-svc"})
"""Not for a client whose credential was not the one that was used."""


class Responder:
    """The answer to one attempt on its way to the client. `feed` and `close` never raise.

    `status` and `headers` are what the client gets; where `whole` is true they are final only after `close`,
    and the body is at most what `close` returns.
    """

    def __init__(
        self,
        exchange: Exchange,
        attempt: Attempt,
        rules: Rules,
        status: int,
        headers: Headers,
        known: Sequence[Event] = (),
    ) -> None:
        """`known` are the first events of the answer, where they have been read before."""
        self.exchange = exchange
        self.status = status
        self.whole = False
        self._known = known
        self._show = Show()
        self.context: Context = attempt.rewriting or Context(exchange, attempt, HeaderEdit([]))
        self._own = attempt.credential_id is None
        self._head = self.context.headers = HeaderEdit(_kept(headers, self._own, status))
        self._rules = rules
        self._pipe: Pipe = Plain()
        self._broken = False
        try:
            self._pipe = self._choose()
        except DecodingError as e:
            logger.warning("%s: the answer passes unread: %s", exchange.id, e)
        except Exception:
            logger.exception("%s: the answer passes as it came", exchange.id)

    def show(self, observer: Observer) -> bool:
        """Show `observer` the upstream's answer. False, and nothing is shown, where it passes unread."""
        self._show.to = observer
        return isinstance(self._pipe, Sniffing)

    @property
    def headers(self) -> Headers:
        return self._head.items

    def feed(self, data: bytes) -> bytes:
        """The client's bytes for a piece of the upstream's."""
        if self._broken:
            return b""
        try:
            return self._pipe.feed(data)
        except Exception as e:
            return self._break_off(e)

    def close(self) -> bytes:
        """The last bytes, once the upstream's answer is complete."""
        if self._broken:
            return b""
        try:
            return self._pipe.close()
        except Exception as e:
            return self._break_off(e)
        finally:
            self._show.end()

    def broken_off(self, error: WireError) -> bytes:
        """The last bytes of a stream whose upstream broke off; empty where it has been told an end already, and of
        any other answer."""
        if self._broken:
            return b""
        self._broken = True
        if self._pipe.framing is not None:
            return self._pipe.error(error)
        passes = self._media() == "text/event-stream" and not self._head.get("content-encoding")
        return error_event(self.exchange.surface.format, error) if passes else b""

    def _break_off(self, e: Exception) -> bytes:
        self._broken = True
        if isinstance(e, DecodingError):
            logger.warning("%s: the answer cannot be read: %s", self.exchange.id, e)
            error = WireError(502, f"The upstream's answer cannot be read: {e}", code="internal")
        else:
            logger.exception("%s: the answer cannot be rewritten", self.exchange.id)
            error = WireError(500, "Detour failed on this answer; its log has the details.", code="internal")
        try:
            return self._pipe.error(error)
        except Exception:
            logger.exception("%s: nor can the client be told", self.exchange.id)
            return b""

    def _choose(self) -> Pipe:
        context, exchange, surface = self.context, self.exchange, self.exchange.surface
        if self.status < 200 or self.status in (204, 205, 304) or exchange.request.method == "HEAD":
            return Plain()
        translator = None
        if context.format is not surface.format and surface.operation is not Operation.LIST_MODELS:
            if self._rules.translator is None:
                raise ValueError(f"no translation from {context.format} to {surface.format}")
            translator = self._rules.translator.answer(exchange, context.attempt)
        asked = list(self._rules.answering(context))
        for rule in asked:
            if rule.answer_headers is not None:
                self._head.changed = False
                rule.answer_headers(context)
                if self._head.changed:
                    mark(rule, context)
        coding = self._head.get("content-encoding")
        # Before the headers are touched: with an encoding that nobody knows, the answer passes as it came.
        decode = decoder(coding) if codings(coding) else None
        # A client that asks its own host gets what that host answers, as it was asked for.
        own = self._own
        if self.status >= 400:
            return Plain() if own else self._error_pipe(asked, coding, translator)
        kind = self._kind()
        generates = surface.operation is Operation.GENERATE
        reshapes = kind is None or kind == "array" or (kind == "body") is exchange.stream
        rewrites = any(r.answer or r.event for r in asked)
        streams = kind in ("stream", "array") and exchange.stream and generates and not own
        reshapes = reshapes or (streams and self._framing().media != self._media())
        if kind == "other" or not (translator or rewrites or (reshapes and generates and not own)):
            return PassingPipe(self._framing()) if kind == "stream" and generates and not coding else Plain()

        def begin(kind: str) -> Pipe:
            if kind == "body":
                return self._body_pipe(asked, translator)
            return self._event_pipe(asked, kind, translator) if generates else Plain()

        self._fit()
        if streams:
            self._call_it(self._framing().media)
        return Sniffing(decode, begin, kind, self._show)

    def _kind(self) -> str | None:
        """``stream``, ``body``, ``array`` where it may be one, ``other``, or None where only a look tells."""
        media = self._media()
        if media == "text/event-stream":
            return "stream"
        if media.endswith("json") and "ndjson" not in media:
            return "array" if self.context.format is Format.GEMINI and self.exchange.stream else "body"
        return None if media in ("", "text/plain", "application/octet-stream") else "other"

    def _media(self) -> str:
        return (self._head.get("content-type") or "").partition(";")[0].strip().lower()

    def _call_it(self, media: str) -> None:
        if self._media() != media:
            self._head.set("content-type", media)

    def _event_pipe(self, asked: list[Rule], kind: str, translator: AnswerTranslator | None) -> Pipe:
        events = translator.events() if translator else None
        reader, self._known = reader_for(kind, self._known), ()
        if not self.exchange.stream and not self._own:
            self.whole = True
            self._head.set("content-type", "application/json")
            upstream, client = self._stages(asked)
            incoming = Incoming(reader, upstream, events, self._show)
            return FoldPipe(incoming, client, self.exchange.surface.format, self._set_status)
        framing = self._framing()
        kept = translator is None and isinstance(framing, ArrayFraming) is (kind == "array")
        # In one format both sides are one, so that an event is parsed once.
        upstream, client = (
            self._stages(asked) if translator else (Stage([], self.context), self._stage(asked))
        )
        return EventPipe(Incoming(reader, upstream, events, self._show), client, framing, kept)

    def _stages(self, asked: list[Rule]) -> tuple[Stage, Stage]:
        """Rules of the upstream's format, and of the client's."""
        return self._stage([r for r in asked if not r.client_side]), self._stage(
            [r for r in asked if r.client_side]
        )

    def _stage(self, rules: list[Rule]) -> Stage:
        return Stage(sorted(rules, key=lambda rule: rule.client_side), self.context)

    def _body_pipe(self, asked: list[Rule], translator: AnswerTranslator | None) -> Pipe:
        upstream, client = self._stages(asked)
        framing = None
        generates = self.exchange.surface.operation is Operation.GENERATE
        if self.exchange.stream and generates and not self._own:
            framing = self._framing()
            self._head.set("content-type", framing.media)
        limit = self._rules.limits.json_answer if self._rules.limits else JSON_LIMIT
        whole = translator is not None or framing is not None or upstream.whole or client.whole
        return BodyPipe(
            upstream,
            translator,
            client,
            self.exchange.surface.format,
            framing,
            MAX_WHOLE if whole else limit,
            whole,
            self._set_status,
            self._show,
        )

    def _error_pipe(self, asked: list[Rule], coding: str | None, translator: AnswerTranslator | None) -> Pipe:
        self.whole = True
        rules = [r for r in asked if r.status is not None]
        limit = self._rules.limits.error_body if self._rules.limits else ERROR_LIMIT
        self._fit()
        if translator is not None:
            self._head.set("content-type", "application/json")

        def status_of(body: bytes) -> int:
            status = self.status
            for rule in rules:
                assert rule.status is not None
                mapped = rule.status(status, body, self.context)
                if mapped != status:
                    mark(rule, self.context)
                    status = mapped
            return status

        return ErrorPipe(coding, limit, status_of, translator, self._set_status)

    def _framing(self) -> SseFraming | ArrayFraming | LineFraming:
        format = self.exchange.surface.format
        if format is Format.OLLAMA:
            return LineFraming()
        array = format is Format.GEMINI and not wants_events(self.exchange.request.path)
        return ArrayFraming() if array else SseFraming(format)

    def _fit(self) -> None:
        """What follows may be of another length and is not encoded."""
        for name in _FITTED:
            self._head.drop(name)

    def _set_status(self, status: int) -> None:
        self.status = status


def _kept(headers: Headers, own: bool, status: int) -> Headers:
    """The upstream's headers that the client gets too."""
    gone = set() if status == 101 else set(HOP_BY_HOP)
    for name, value in headers:
        if name.lower() == "connection" and status != 101:
            gone |= {token.strip().lower() for token in value.split(",")}
    if not own:
        gone |= _OF_ACCOUNT
    return [(n, v) for n, v in headers if n.lower() not in gone and not n.lower().startswith("x-detour-")]
