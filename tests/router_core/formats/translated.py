"""Requests and answers translated on the very way that clients' requests and answers go."""

from __future__ import annotations

import json
from typing import Any

from router_core.exchange import Exchange
from router_core.formats import Format, Operation
from router_core.formats.answer import AnswerEvents
from router_core.formats.context import Context
from router_core.formats.translate import TranslatedRequest, request
from router_core.formats.translator import FormatTranslator
from router_core.rewrite.rules import Rules
from router_core.sse import EventReader
from tests.router_core.wire import answered, exchange, provider

CLIENTS = tuple(Format)
UPSTREAMS = tuple(format for format in Format if format is not Format.OLLAMA)

MINIMAL: dict[Format, dict[str, Any]] = {
    Format.ANTHROPIC: {"max_tokens": 99, "messages": [{"role": "user", "content": "hi"}]},
    Format.OPENAI_CHAT: {"messages": [{"role": "user", "content": "hi"}]},
    Format.OPENAI_RESPONSES: {"input": "hi"},
    Format.GEMINI: {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
    Format.OLLAMA: {"messages": [{"role": "user", "content": "hi"}]},
}
"""The least that each format's clients send."""


def asked(client: Format, *, streaming: bool, **fields: Any) -> Exchange:
    """A client's request with `fields` beside the least."""
    document = {**MINIMAL[client], **fields}
    path = None
    if client is Format.GEMINI:
        action = "streamGenerateContent?alt=sse" if streaming else "generateContent"
        path = f"/v1beta/models/client-model:{action}"
    else:
        document |= {"model": "client-model", "stream": streaming}
    if client is Format.OPENAI_CHAT and streaming:
        document.setdefault("stream_options", {"include_usage": True})
    return exchange(client, json.dumps(document).encode(), path=path)


def translated(
    client: Format,
    upstream: Format,
    body: bytes,
    *,
    streamed: bool,
    streaming: bool,
    status: int = 200,
    step: int = 0,
    **fields: Any,
) -> tuple[int, bytes]:
    """(status, body) that a client gets; `streamed` is the upstream's way, `streaming` the client's.

    The upstream's bytes arrive in pieces of `step`; `fields` are of the client's request.
    """
    rules = Rules()
    rules.translator = FormatTranslator(wall=lambda: 1_700_000_000)
    out, responder = answered(
        asked(client, streaming=streaming, **fields),
        body,
        provider(upstream, "upstream"),
        rules=rules,
        status=status,
        media="text/event-stream" if streamed else "application/json",
        step=step,
        model="upstream-model",
    )
    return responder.status, out


def events(
    client: Format, upstream: Format, body: bytes, given: Context | None = None, step: int = 0
) -> bytes:
    """A stream translated event by event, with the same ids each time."""
    given = given or Context("client-model", "upstream-model", created=1_700_000_000, seed=b"0" * 12)
    reader, translator = EventReader(), AnswerEvents(client, upstream, given)
    step = step or len(body) or 1
    out = [e for i in range(0, len(body), step) for e in reader.feed(body[i : i + step])]
    written = [event for e in (*out, *reader.close()) for event in translator.feed(e)]
    return b"".join(event.raw for event in (*written, *translator.close()))


def asks(
    client: Format, upstream: Format, document: dict[str, Any], *, model: str = "upstream-model", **more: Any
) -> TranslatedRequest:
    """The translated request, which must be possible."""
    translated = request(client, upstream, Operation.GENERATE, document, model=model, stream=False, **more)
    assert isinstance(translated, TranslatedRequest), translated
    return translated
