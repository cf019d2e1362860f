"""What the road asks of a translation between two formats; `router_core.formats.translator` does it."""

from __future__ import annotations

from typing import Protocol

from router_core.errors import Refusal
from router_core.exchange import Attempt, Exchange
from router_core.json_document import Json
from router_core.sse import Event


class Translator(Protocol):
    """Between two formats; `router_core.formats` makes it, `Rules.translator` holds it."""

    def request(self, exchange: Exchange, attempt: Attempt) -> Json | Refusal:
        """The body for the attempt's upstream, or why it cannot be expressed."""
        ...

    def answer(self, exchange: Exchange, attempt: Attempt) -> AnswerTranslator:
        """What translates the answer to the request that was translated last for `attempt`."""
        ...


class EventTranslator(Protocol):
    """Translates the events of one answer; an event may become none or several."""

    def feed(self, event: Event) -> list[Event]: ...

    def close(self) -> list[Event]: ...


class AnswerTranslator(Protocol):
    """Translates one answer into the client's format."""

    def events(self) -> EventTranslator: ...

    def body(self, body: Json) -> Json: ...

    def error(self, status: int, body: bytes) -> tuple[int, bytes]:
        """The client's status and body for an upstream's error."""
        ...
