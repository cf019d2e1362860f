"""Requests of any client format for any upstream format, and the answers back.

The one joining piece: it reads with one codec and writes with another. Same format on both sides never
comes here; bytes are kept then.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

import orjson

from router_core import sse
from router_core.errors import Code, Refusal
from router_core.formats import PATHS, Format, Operation, counting, effort, failures, ir, listing
from router_core.formats.client_view import ClientView
from router_core.formats.codec import CODECS, Document, payloads
from router_core.formats.context import Context, Target
from router_core.formats.cutting import Cutter
from router_core.formats.memory import SessionMemory
from router_core.formats.openai_chat.write_events import DONE
from router_core.formats.ordering import Sequencer
from router_core.providers.model import ModelInfo


@dataclass(slots=True)
class TranslatedRequest:
    document: Document | None
    """The upstream's body; None where the operation has none."""
    path: str
    """Below the base URL, with its query where the format needs one."""
    context: Context
    """For the `Answer`."""
    dropped: list[str] = field(default_factory=list)
    """Fields of the client's document that the upstream cannot be told."""
    notes: list[str] = field(default_factory=list)
    """What was approximated, in words."""


def translatable(client: Format, upstream: Format, operation: Operation) -> bool:
    """Whether `operation` of a `client`'s surface can be served by an `upstream` of another format."""
    if client is upstream or CODECS[upstream].write_request is None:
        return False
    match operation:
        case Operation.GENERATE | Operation.LIST_MODELS:
            return True
        case Operation.COUNT_TOKENS:
            return client in counting.FORMATS and upstream in counting.FORMATS
    return False


def request(
    client: Format,
    upstream: Format,
    operation: Operation,
    document: Document | None,
    *,
    model: str,
    stream: bool,
    model_info: ModelInfo | None = None,
    session: SessionMemory | None = None,
    effort: str | None = None,
    quirks: frozenset[str] = frozenset(),
    client_model: str | None = None,
    now: float = 0.0,
) -> TranslatedRequest | Refusal:
    """The request that `model` of the upstream gets; a Refusal where it cannot be expressed.

    `stream` is whether the upstream is asked to stream; `now` is in seconds since the epoch. The client's
    `document` is not changed.
    """
    context = Context(operation, client_model or model, model, created=int(now), memory=session)
    if operation is Operation.LIST_MODELS:
        return TranslatedRequest(None, _path(upstream, operation, model, stream), context)
    target = Target(client, upstream, model, stream, model_info, quirks, context)
    write = CODECS[upstream].write_request
    if write is None or not translatable(client, upstream, operation):
        return Refusal(Code.UNSUPPORTED, f"{operation} of {client} clients has no counterpart in {upstream}")
    try:
        wanted = CODECS[client].read_request(document if document is not None else {})
        context.model = client_model or wanted.model or model
        _settings(wanted, client, effort, target)
        written = write(wanted, target)
    except ir.Unsupported as refusal:
        return Refusal(Code.UNSUPPORTED, f"{model} ({upstream}) cannot serve this request: {refusal}")
    except ir.Malformed as problem:
        return Refusal(Code.INVALID_REQUEST, str(problem))
    except (TypeError, ValueError, KeyError, AttributeError, IndexError, RecursionError) as problem:
        return Refusal(Code.INVALID_REQUEST, f"the request is no {client} request ({type(problem).__name__})")
    for name in wanted.unread:
        target.drop(name)
    if operation is Operation.COUNT_TOKENS:
        written = counting.request(upstream, written, model)
    return TranslatedRequest(
        written, _path(upstream, operation, model, stream), context, target.dropped, target.notes
    )


def _settings(wanted: ir.Request, client: Format, asked: str | None, target: Target) -> None:
    """What the target and the session say beside the document."""
    context = target.context
    if asked is not None:
        override = effort.parse(asked)
        if override is None:
            target.note(f"reasoning: {asked!r} is no effort")
        else:
            override.show = wanted.reasoning.show if wanted.reasoning else None
            wanted.reasoning = override
    reasoning = wanted.reasoning
    if reasoning is not None and reasoning.show is False:
        context.hide_reasoning = True
        # A client that switched reasoning off may not know its blocks at all.
        context.carry_reasoning = reasoning.enabled is not False
    context.include_usage = wanted.include_usage
    context.reasoning_field = wanted.reasoning_field
    context.choices = wanted.n
    context.echo.update(wanted.echo)
    if context.memory is not None:
        _restore(wanted, context.memory)


def _restore(wanted: ir.Request, memory: SessionMemory) -> None:
    ids: dict[str, str] = {}
    turns: list[ir.Turn] = []
    for turn in wanted.turns:
        if turn.role == "assistant":
            ids.update(memory.upstream_ids(turn))
            turn = memory.restore(turn)
        turns.append(turn)
    if ids:
        for turn in turns:
            turn.parts = [
                replace(part, id=ids[part.id])
                if isinstance(part, ir.ToolCall | ir.ToolResult) and part.id in ids
                else part
                for part in turn.parts
            ]
    wanted.turns = turns


def _path(upstream: Format, operation: Operation, model: str, stream: bool) -> str:
    paths = PATHS[upstream][operation]
    if upstream is not Format.GEMINI or operation is Operation.LIST_MODELS:
        return paths[0][1]
    path = paths[1 if operation is Operation.GENERATE and stream else 0][1]
    path = path.replace("{model}", quote(model, safe="/@"))
    return f"{path}?alt=sse" if operation is Operation.GENERATE and stream else path


class Answer:
    """One upstream answer for a client of another format. Takes anything and never raises."""

    def __init__(
        self,
        client: Format,
        upstream: Format,
        context: Context,
        stream_upstream: bool,
        stream_client: bool,
        *,
        array: bool = False,
    ):
        """`array`: a streaming Gemini client that asked for a JSON array instead of events."""
        codec = CODECS[client]
        reader = CODECS[upstream].reader
        if reader is None:
            raise ValueError(f"{upstream} is no upstream's format")
        if not stream_client:
            context.include_usage = True
        self._client = client
        self._upstream = upstream
        self._context = context
        self._reader = reader(context)
        self._writer = codec.writer(context)
        self._encode = codec.encode
        self._folder = None if stream_client else codec.folder()
        self._stages: list[Any] = [Sequencer()]
        if context.stop:
            self._stages.append(Cutter(context.stop))
        self._stages.append(ClientView(client, context))
        self._body: bytearray | None = None if stream_upstream else bytearray()
        self._array = array
        self._elements = 0
        self._over = False
        self.failure: ir.Failure | None = None
        """The error that the answer ended with."""
        self.status: int = 200
        """For the whole answer, as far as it is still to be chosen (a JSON answer after `close`)."""

    def feed(self, data: sse.Event | bytes | list[sse.Event]) -> bytes:
        """The client's bytes for one event of the upstream's stream (or several), or a piece of its JSON."""
        if self._over:
            return b""
        try:
            if self._body is not None:
                self._body += data if isinstance(data, bytes | bytearray) else b"".join(_raw(data))
                return b""
            if isinstance(data, list):
                return b"".join([self._event(item) for item in data])
            return self._event(data)
        except Exception as error:
            return self._broken(error)

    def close(self) -> bytes:
        """The rest: what the end of the upstream's answer leaves to say, or the whole JSON answer."""
        if self._over:
            return b""
        try:
            written = b""
            if self._body is not None:
                written = self._whole(bytes(self._body))
            if not self._over:
                written += self._push(self._reader.close())
        except Exception as error:
            written = self._broken(error)
        self._over = True
        if self._folder is not None:
            return self._folded()
        if self._array:
            written += b"[]" if not self._elements else b"]"
        return written

    def _event(self, item: sse.Event | bytes) -> bytes:
        documents = payloads(item)
        if not documents:
            return self._push([ir.KeepAlive()]) if _is_comment(item) else b""
        return b"".join([self._push(self._read(document)) for document in documents])

    def _read(self, document: Document) -> list[ir.Event]:
        if document is DONE:
            done = getattr(self._reader, "done", None)
            return done() if done else []
        return self._reader.read(document)

    def _whole(self, body: bytes) -> bytes:
        """A JSON answer, read as the stream that it is the fold of."""
        try:
            document = orjson.loads(body)
        except ValueError:
            message = (
                "the upstream's answer is not JSON" if body.strip() else "the upstream's answer was empty"
            )
            return self._push([ir.Failure("api", message, 502)])
        documents = document if isinstance(document, list) else [document]
        context = self._context
        if context.operation is not Operation.GENERATE:
            translated = {
                Operation.COUNT_TOKENS: counting.answer,
                Operation.LIST_MODELS: listing.answer,
            }[context.operation](self._client, self._upstream, document)
            self._over, self._folder = True, None
            return orjson.dumps(translated)
        unfold = CODECS[self._upstream].unfold
        events = [event for d in documents if isinstance(d, dict) for event in unfold(d)]
        return b"".join([self._push(self._read(event)) for event in events])

    def _push(self, events: list[ir.Event]) -> bytes:
        """Sends events through the stages to the writer."""
        for stage in self._stages:
            push = stage.push
            if len(events) == 1:
                events = push(events[0])
            else:
                events = [passed for event in events for passed in push(event)]
            if not events:
                return b""
        written: list[bytes] = []
        for event in events:
            if type(event) is ir.Failure and self.failure is None:
                self.failure = event
                self.status = failures.status_for(self._client, event)
            for document in self._writer.write(event):
                if self._folder is not None:
                    self._folder.feed(document)
                else:
                    written.append(self._frame(document))
        return written[0] if len(written) == 1 else b"".join(written)

    def _frame(self, document: Document) -> bytes:
        if not self._array:
            return self._encode(document)
        self._elements += 1
        return (b"[" if self._elements == 1 else b",\r\n") + orjson.dumps(document)

    def _folded(self) -> bytes:
        assert self._folder is not None
        if self.failure is not None:
            return orjson.dumps(failures.WRITERS[self._client](self.failure))
        return orjson.dumps(self._folder.document)

    def _broken(self, error: Exception) -> bytes:
        """An answer that this code could not read ends with an error, never with an exception."""
        failure = ir.Failure("api", f"detour could not translate the answer ({type(error).__name__})")
        try:
            written = self._push([failure])
        except Exception:
            written = b""
        self.failure, self.status = failure, failures.status_for(self._client, failure)
        self._over = self._folder is None
        return written


def _raw(data: sse.Event | list[sse.Event]) -> list[bytes]:
    return [event.raw for event in (data if isinstance(data, list) else [data])]


def _is_comment(item: Any) -> bool:
    raw = item if isinstance(item, bytes) else getattr(item, "raw", b"")
    return raw.lstrip()[:1] == b":"


def error(client: Format, upstream: Format, status: int, body: bytes) -> tuple[int, bytes]:
    """(status, body) of an upstream's HTTP error for a client of another format."""
    status, document = failures.write(client, failures.read_body(status, body))
    return status, orjson.dumps(document)
