"""Translation where requests are prepared: `router_core.prepare.Translator` over `router_core.formats`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from router_core.errors import Code, Refusal
from router_core.exchange import Attempt, Exchange
from router_core.formats import translate
from router_core.formats.answer import Answer
from router_core.formats.context import Context
from router_core.formats.memory import SessionStore
from router_core.formats.openai_responses.stored import AnswerStore
from router_core.routing.continuity import without_state

STATE: Final = "translate"
"""Where an attempt keeps what its request leaves for its answer."""


class FormatTranslator:
    """Translates for all exchanges of a process; it owns what sessions must be given back."""

    def __init__(self, sessions: SessionStore | None = None, wall: Callable[[], float] = time.time):
        self.sessions = sessions or SessionStore()
        self._answers = AnswerStore()
        self._wall = wall

    def request(self, exchange: Exchange, attempt: Attempt) -> Any | Refusal:
        """The body for the attempt's upstream, or why it cannot be expressed."""
        surface = exchange.surface
        document = exchange.document
        if not isinstance(document, dict):
            return Refusal(Code.INVALID_REQUEST, "The request's body is no JSON object.")
        client = exchange.client
        owner = client.name or client.address
        session = self.sessions.session(owner, exchange.session) if exchange.session else None
        if attempt.drop_state:
            # What another account's models left with the client means nothing to this one.
            document = without_state(document, surface.format)
        rewriting = attempt.rewriting
        translated = translate.request(
            surface.format,
            attempt.endpoint.format,
            surface.operation,
            document,
            model=attempt.model or "",
            stream=exchange.stream,
            model_info=attempt.provider.model(attempt.model or ""),
            session=session,
            restores=not attempt.drop_state,
            stored=self._answers.of(owner),
            effort=attempt.effort,
            quirks=attempt.provider.quirks,
            client_model=exchange.model,
            now=self._wall(),
        )
        if isinstance(translated, Refusal):
            return translated
        context = translated.context
        if not exchange.stream:
            context.include_usage = True
        if rewriting is not None:
            rewriting.state[STATE] = context
            for name in translated.unsaid:
                rewriting.note("translate", f"{name} is dropped")
            for note in translated.notes:
                rewriting.note("translate", note)
            rewriting.find_later("translate", lambda: [f"{name} is dropped" for name in translated.dropped()])
        return translated.document

    def answer(self, exchange: Exchange, attempt: Attempt) -> Answer:
        """What translates the answer to the request that was translated last for `attempt`."""
        state = attempt.rewriting.state if attempt.rewriting is not None else {}
        context = state.get(STATE) or Context(exchange.model or "", attempt.model or "")
        return Answer(exchange.surface.format, attempt.endpoint.format, context)
