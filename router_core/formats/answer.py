"""One upstream answer for a client of another format: events, a JSON body, or an error."""

from __future__ import annotations

import logging
from typing import Any, Final

from router_core.fold import UnfoldError, fold, unfold
from router_core.formats import counting, embeddings, failures, ir, upstream_errors
from router_core.formats.call_arguments import CallArguments
from router_core.formats.characters import WholeCharacters
from router_core.formats.client_view import ClientView
from router_core.formats.codec import CODECS, Document, Reader
from router_core.formats.compaction import Compactor
from router_core.formats.context import COMMENT, DONE, Context
from router_core.formats.cutting import Cutter
from router_core.formats.ir import Format
from router_core.formats.ordering import Sequencer
from router_core.json_document import serialise
from router_core.sse import Event, encode

logger = logging.getLogger(__name__)

_UNNAMED: Final = frozenset({Format.OPENAI_CHAT, Format.GEMINI, Format.OLLAMA})
"""Formats whose events have no names."""
_CHOICES: Final = frozenset({Format.OPENAI_CHAT, Format.GEMINI})
"""Formats whose answers may hold several choices side by side."""
_COMMENT: Final = Event(b": keep-alive\n\n", parsed=True)
_DONE: Final = Event(b"data: [DONE]\n\n", None, b"[DONE]", parsed=True)


class AnswerEvents:
    """The events of one answer, one by one. `feed` and `close` take anything and never raise."""

    def __init__(self, client: Format, upstream: Format, context: Context):
        codec, reader = CODECS[client], CODECS[upstream].reader
        if reader is None:
            raise ValueError(f"{upstream} is no upstream's format")
        self._client = client
        self._reader: Reader = reader(context)
        self._writer = codec.writer(context)
        self._named = client not in _UNNAMED
        cutter = [Cutter(context.stop)] if context.stop else []
        compactor = [Compactor(context)] if context.compacts else []
        sequencer = Sequencer(choices=client in _CHOICES)
        free = {name for name, tool in context.tools.items() if tool.custom}
        arguments, view = CallArguments(free), ClientView(client, context)
        stages: list[Any] = [sequencer, WholeCharacters(), arguments, *cutter, *compactor, view]
        self._pushes = [stage.push for stage in stages]
        self._over = False
        self.failure: ir.Failure | None = None
        """The error that the answer ended with."""

    def feed(self, event: Event) -> list[Event]:
        """The client's events for one event of the upstream's."""
        if self._over:
            return []
        try:
            return self._read(event)
        except Exception as error:
            return self._broken(error)

    def close(self) -> list[Event]:
        """What the end of the upstream's answer leaves to say."""
        if self._over:
            return []
        try:
            events = self._write(self._reader.close())
        except Exception as error:
            events = self._broken(error)
        self._over = True
        return events

    def _read(self, event: Event) -> list[Event]:
        data = event.data
        if not data:
            return self._write([ir.KeepAlive()]) if event.raw.lstrip()[:1] == b":" else []
        try:
            document = event.document
        except ValueError:
            return self._write(self._reader.done()) if data.strip() == b"[DONE]" else []
        if isinstance(document, dict):
            return self._write(self._reader.read(document))
        found: list[Event] = []
        for element in document if isinstance(document, list) else ():
            if isinstance(element, dict):
                found += self._write(self._reader.read(element))
        return found

    def _write(self, events: list[ir.Event]) -> list[Event]:
        """Sends events through the stages to the writer."""
        for push in self._pushes:
            if len(events) == 1:
                events = push(events[0])
            else:
                events = [passed for event in events for passed in push(event)]
            if not events:
                return []
        written: list[Event] = []
        for event in events:
            if type(event) is ir.Failure and self.failure is None:
                self.failure = event
            for document in self._writer.write(event):
                written.append(self._event(document))
        return written

    def _event(self, document: Document) -> Event:
        if document is DONE:
            return _DONE
        if document is COMMENT:
            return _COMMENT
        data = serialise(document)
        name = document["type"] if self._named else None
        return Event(encode(name, data), name, data, parsed=True)

    def _broken(self, error: Exception) -> list[Event]:
        """An answer that this code cannot read ends with an error event, never with an exception."""
        logger.exception("an answer cannot be translated")
        self._over = True
        self.failure = ir.Failure("api", f"The answer could not be translated ({type(error).__name__}).")
        try:
            return [self._event(document) for document in self._writer.write(self.failure)]
        except Exception:
            return []


class Answer:
    """What one attempt's upstream answers, in any of the three ways that answers come."""

    def __init__(self, client: Format, upstream: Format, context: Context):
        self._client = client
        self._upstream = upstream
        self._context = context

    def events(self) -> AnswerEvents:
        """For a stream."""
        return AnswerEvents(self._client, self._upstream, self._context)

    def body(self, body: Any) -> Any:
        """For a JSON body that was answered with a status below 400: the fold of its events."""
        if self._context.counts:
            return counting.answer(self._client, body)
        if self._context.embeds is not None:
            return self._embeddings(self._context.embeds, body)
        # A JSON answer always says what it used.
        self._context.include_usage = True
        translator = self.events()
        documents = body if isinstance(body, list) and self._upstream is Format.GEMINI else [body]
        events: list[Event] = []
        try:
            for document in documents:
                for event in unfold(self._upstream, document):
                    events += translator.feed(event)
        except UnfoldError as problem:
            found = upstream_errors.find(body)
            failure = failures.read(found) if found else ir.Failure("api", str(problem))
            return failures.document(self._client, failure)
        events += translator.close()
        if translator.failure is not None:
            return failures.document(self._client, translator.failure)
        folded, _ = fold(self._client, events)
        return folded

    def _embeddings(self, wanted: embeddings.Wanted, body: Any) -> dict[str, Any]:
        try:
            return embeddings.answer(self._client, wanted, self._context.model, body)
        except (ValueError, TypeError) as problem:
            return failures.document(self._client, ir.Failure("api", str(problem)))

    def error(self, status: int, body: bytes) -> tuple[int, bytes]:
        """(status, body) for an upstream's HTTP error."""
        return failures.translate(self._client, status, body)
