"""WebSocket messages of a Responses session, rewritten like the requests and events that they are.

A client's ``response.create`` holds a request body, flat as Codex writes it or under ``response``; each
message of the server is an event. Everything else passes as it came. Source: codex-rs, Responses over
WebSocket; https://developers.openai.com/api/docs/guides/websocket-mode
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from router_core.exchange import Attempt, Exchange
from router_core.json_document import Json, parse, splice
from router_core.reading import is_text
from router_core.rewrite.context import Context
from router_core.rewrite.headers import HeaderEdit
from router_core.rewrite.models import name_model
from router_core.rewrite.rules import Rules
from router_core.rewrite.stage import Stage
from router_core.sse import Event

logger = logging.getLogger(__name__)


class Messages:
    """The messages of one session. Neither direction ever raises; what cannot be read passes."""

    def __init__(self, exchange: Exchange, attempt: Attempt, rules: Rules) -> None:
        self._rules = rules
        headers = HeaderEdit(exchange.request.headers)
        self.context = Context(exchange, attempt, headers, message=True)
        self._stage: Stage | None = None

    def sent(self, data: bytes) -> bytes:
        """A message of the client, for the upstream."""
        if b'"response.create"' not in data:
            return data
        try:
            value = parse(data)
            edited = self._edited(value)
            return splice(data, value, edited)
        except ValueError as e:
            self.context.note("all", f"left alone: {e}")
        except Exception:
            logger.exception("%s: a message passes as it came", self.context.exchange.id)
        return data

    def received(self, message: Event) -> bytes | None:
        """A message of the upstream, for the client; None where a rule removes it."""
        try:
            if self._stage is None:
                self._stage = Stage(list(self._rules.answering(self.context)), self.context)
            event = self._stage.event(message)
            return None if event is None else event.raw
        except Exception:
            logger.exception("%s: a message passes as it came", self.context.exchange.id)
            return message.raw

    def _edited(self, value: Json) -> Json:
        if not isinstance(value, dict) or value.get("type") != "response.create":
            return value
        inner = value.get("response")
        body: dict[str, Any] = inner if isinstance(inner, dict) else value
        # What an earlier request left for its answer is over.
        self.context = replace(self.context, original=body, state={})
        self._stage = None
        edited = self._rules.apply(body, self.context)
        edited = name_model(edited, self.context) if isinstance(edited, dict) else body
        if edited is body:
            return value
        self.context.exchange.fired[:] = self.context.fired
        return value | {"response": edited} if body is inner else edited


def asked_model(data: bytes) -> str | None:
    """The model that a client's ``response.create`` asks for; None for anything else. Never raises."""
    if b'"response.create"' not in data:
        return None
    try:
        value = parse(data)
    except ValueError:
        return None
    if not isinstance(value, dict) or value.get("type") != "response.create":
        return None
    inner = value.get("response")
    model = (inner if isinstance(inner, dict) else value).get("model")
    return model if isinstance(model, str) and model and is_text(model) else None
