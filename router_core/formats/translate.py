"""Requests of any client format for any upstream format, and the answers back.

The one joining piece: it reads with one codec and writes with another. Same format on both sides never
comes here; bytes are kept then.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from router_core.errors import Code, Refusal
from router_core.formats import Format, Operation, counting, effort, embeddings, ir
from router_core.formats.answer import Answer
from router_core.formats.codec import CODECS, Document
from router_core.formats.context import Context, Target
from router_core.formats.memory import SessionMemory
from router_core.formats.openai_responses.stored import StoredAnswers
from router_core.providers.model import ModelInfo

__all__ = ["Answer", "TranslatedRequest", "request", "translatable"]


@dataclass(slots=True)
class TranslatedRequest:
    document: Document
    """The upstream's body."""
    context: Context
    """For the `Answer`."""
    unsaid: list[str] = field(default_factory=list)
    """What was read of the client's document and the upstream cannot be told."""
    unread: Callable[[], list[str]] = list
    """Finds what was not read of it, for which all of it is looked through."""
    notes: list[str] = field(default_factory=list)
    """What was approximated, in words."""

    def dropped(self) -> list[str]:
        """Fields of the client's document that the upstream is not told."""
        return list(dict.fromkeys((*self.unsaid, *self.unread())))


def translatable(client: Format, upstream: Format, operation: Operation) -> bool:
    """Whether `operation` of a `client`'s surface can be served by an `upstream` of another format."""
    if client is upstream or CODECS[upstream].write_request is None:
        return False
    match operation:
        case Operation.GENERATE:
            return True
        case Operation.COUNT_TOKENS:
            return client in counting.FORMATS and upstream in counting.FORMATS
        case Operation.EMBEDDINGS:
            return client in embeddings.FORMATS and upstream in embeddings.FORMATS
    return False


def request(
    client: Format,
    upstream: Format,
    operation: Operation,
    document: Document,
    *,
    model: str,
    stream: bool,
    model_info: ModelInfo | None = None,
    session: SessionMemory | None = None,
    restores: bool = True,
    stored: StoredAnswers | None = None,
    effort: str | None = None,
    quirks: frozenset[str] = frozenset(),
    client_model: str | None = None,
    now: float = 0.0,
) -> TranslatedRequest | Refusal:
    """The request that `model` of the upstream gets; a Refusal where it cannot be expressed.

    What the `session` keeps goes back to the model if it `restores`; what the model says now is kept in any case.
    `stream` is whether the upstream is asked to stream; `now` is in seconds since the epoch. The client's
    `document` is not changed.
    """
    counts = operation is Operation.COUNT_TOKENS
    context = Context(client_model or model, model, upstream, counts=counts, memory=session, created=int(now))
    if client is Format.OPENAI_RESPONSES and stored is not None:
        context.answering = stored.answering(document)
        document = stored.resolved(document)
    target = Target(client, upstream, model, stream, model_info, quirks, context)
    write = CODECS[upstream].write_request
    if write is None or not translatable(client, upstream, operation):
        return Refusal(Code.UNSUPPORTED, f"{operation} of {client} clients has no counterpart in {upstream}")
    try:
        if operation is Operation.EMBEDDINGS:
            return _embeddings(client, document, target)
        with _uncollected():
            wanted = _wanted(client, document, target, effort, client_model)
            if session and restores:
                _restore(wanted, session)
            written = write(wanted, target)
    except ir.Unsupported as refusal:
        return Refusal(Code.UNSUPPORTED, f"{model} ({upstream}) cannot serve this request: {refusal}")
    except ir.Malformed as problem:
        return Refusal(Code.INVALID_REQUEST, str(problem))
    except (TypeError, ValueError, KeyError, AttributeError, IndexError, RecursionError) as problem:
        return Refusal(Code.INVALID_REQUEST, f"the request is no {client} request ({type(problem).__name__})")
    if counts:
        written = counting.request(upstream, written, model)
    unread = partial(CODECS[client].unread, document)
    return TranslatedRequest(written, context, target.dropped, unread, target.notes)


def _wanted(
    client: Format, document: Document, target: Target, effort: str | None, client_model: str | None
) -> ir.Request:
    wanted = CODECS[client].read_request(document)
    target.context.model = client_model or wanted.model or target.model
    _settings(wanted, effort, target)
    return wanted


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the cycle collector, which would walk a long conversation again and again while it is built."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _embeddings(client: Format, document: Document, target: Target) -> TranslatedRequest:
    wanted = target.context.embeds = embeddings.read(client, document)
    written = embeddings.write(target.format, wanted, target.model)
    return TranslatedRequest(written, target.context, wanted.unread)


def _settings(wanted: ir.Request, asked: str | None, target: Target) -> None:
    """What the target says beside the document."""
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
    # A JSON answer always says what it used.
    context.include_usage = wanted.include_usage or not wanted.stream
    context.reasoning_field = wanted.reasoning_field
    context.choices = wanted.n
    context.compacts = wanted.compacts
    if wanted.compacts:
        target.note("compaction: a summary in words")
    context.customs = frozenset(tool.name for tool in wanted.tools if tool.kind == "custom")
    context.typed = frozenset(tool.name for tool in wanted.tools if tool.typed)
    context.echo.update(wanted.echo)


def _restore(wanted: ir.Request, memory: SessionMemory) -> None:
    ids: dict[str, str] = {}
    turns: list[ir.Turn] = []
    for turn in wanted.turns:
        if turn.role == "assistant":
            turn = memory.restore(turn, ids)
        turns.append(turn)
    if ids:
        for turn in turns:
            for part in () if type(turn.content) is str else turn.parts:
                if isinstance(part, ir.ToolCall | ir.ToolResult) and part.id in ids:
                    part.id = ids[part.id]
    wanted.turns = turns
