"""What the rules of one attempt may look at, and what its request leaves behind for its answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from typing import Any, Final

from router_core.exchange import Attempt, Exchange
from router_core.formats import Format, Operation
from router_core.json_document import Json
from router_core.providers.model import ModelInfo, Provider
from router_core.rewrite.headers import HeaderEdit

logger = logging.getLogger(__name__)

MAX_NOTES: Final = 100


@dataclass(slots=True)
class Context:
    """One attempt, as its rewrite rules see it."""

    exchange: Exchange
    attempt: Attempt
    headers: HeaderEdit
    """Of the request while it is prepared, of the answer after that."""
    original: Json = None
    """The body before any rule: what `default` is judged by."""
    path: str = ""
    """Path and query below the endpoint's base URL."""
    message: bool = False
    """The body is a WebSocket message, not a request of its own."""
    state: dict[str, Any] = field(default_factory=dict)
    """What request rules leave for the rules of the answer, by rule name."""
    fired: list[str] = field(default_factory=list)
    """Names of the rules that changed something, in order and once."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Why each of them did."""
    said: list[str] = field(default_factory=list)
    """What rules have said so far of what they left alone."""
    unfound: list[Callable[[], None]] = field(default_factory=list)
    """Says what takes time to find out."""
    _blocks: tuple[Json, list[tuple[Json, dict[str, Json]]]] = (None, [])

    @property
    def notes(self) -> list[str]:
        """Why rules left something alone: all that was `said`, and what is found out now."""
        while self.unfound:
            self.unfound.pop(0)()
        return self.said

    @property
    def format(self) -> Format:
        """The upstream's format, which is the body's."""
        return self.attempt.endpoint.format

    @property
    def operation(self) -> Operation:
        return self.exchange.surface.operation

    @property
    def provider(self) -> Provider:
        return self.attempt.provider

    def among(self, names: Container[str]) -> str | None:
        """The one of `names` that the provider is called, or else the nearest that it extends."""
        return next((name for name in self.provider.kin if name in names), None)

    @property
    def model(self) -> str:
        """The upstream's name of the model, or an empty text."""
        return self.attempt.model or ""

    @property
    def model_info(self) -> ModelInfo | None:
        return self.provider.model(self.model)

    @property
    def streams(self) -> bool:
        """Whether the client asked for a stream."""
        return self.exchange.stream

    @property
    def upstream_streams(self) -> bool:
        """Whether the upstream is asked for a stream."""
        return self.exchange.stream or bool(self.state.get("force-stream"))

    def blocks(self, messages: Json) -> list[tuple[Json, dict[str, Json]]]:
        """The content blocks of a conversation, each with the role of its message.

        Several rules look at all of them, and a conversation may have thousands, so the list is made once.
        """
        if messages is not self._blocks[0]:
            self._blocks = (messages, _blocks(messages) if isinstance(messages, list) else [])
        return self._blocks[1]

    def note(self, rule: str, text: str) -> None:
        line = f"{rule}: {text}"
        # A stream may meet the same with every event.
        if line not in self.said and len(self.said) < MAX_NOTES:
            self.said.append(line)
            logger.debug("%s %s", self.exchange.id, line)

    def find_later(self, rule: str, find: Callable[[], list[str]]) -> None:
        """Notes the texts that `find` returns, when somebody asks for `notes`; at once where they are logged."""

        def note() -> None:
            for text in find():
                self.note(rule, text)

        if logger.isEnabledFor(logging.DEBUG):
            note()
        else:
            self.unfound.append(note)

    def mark(self, rule: str, reason: str) -> None:
        if rule not in self.reasons:
            self.fired.append(rule)
            self.reasons[rule] = reason


def _blocks(messages: list[Json]) -> list[tuple[Json, dict[str, Json]]]:
    return [
        (message.get("role"), block)
        for message in messages
        if isinstance(message, dict) and isinstance(content := message.get("content"), list)
        for block in content
        if isinstance(block, dict)
    ]
