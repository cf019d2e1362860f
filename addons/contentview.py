"""Views for mitmproxy and mitmweb: conversations instead of JSON, and what Detour changed in a request."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable
from typing import Any, Final

import orjson
from mitmproxy import contentviews, ctx, http

from addons.call import Call, calls
from addons.forget import is_looked_at
from router_core.capture import timeline
from router_core.capture.conversation import read_answer, read_body, read_request
from router_core.capture.redaction import Redactor
from router_core.capture.transcript import render
from router_core.exchange import Headers
from router_core.formats import PATHS, Format, Operation
from router_core.sse import EventReader, looks_like_stream

BEFORE_OTHERS: Final = 2.0
"""mitmproxy's own view of JSON says 1."""
BY_HAND: Final = 0.0
UNSUITED: Final = -1.0
COLUMN: Final = 78
"""Characters of each side in the view of two requests."""


class Conversation(contentviews.Contentview):
    """Requests, answers, streams and WebSocket messages of one wire format, for a person to read."""

    syntax_highlight = "none"

    def __init__(self, name: str, format: Format) -> None:
        self._name = name
        self.format = format

    @property
    def name(self) -> str:
        return self._name

    def prettify(self, data: bytes, metadata: contentviews.Metadata) -> str:
        """Raises ValueError for what is neither JSON nor a stream; mitmproxy then shows it raw."""
        if metadata.websocket_message is not None:
            return _message(self.format, data, metadata.websocket_message.from_client)
        if isinstance(metadata.http_message, http.Request):
            return render(read_request(self.format, orjson.loads(data)), limit=None)
        return render(read_body(self.format, data), limit=None)

    def render_priority(self, data: bytes, metadata: contentviews.Metadata) -> float:
        return BEFORE_OTHERS if data and format_of(data, metadata) is self.format else UNSUITED


class TwoRequests(contentviews.Contentview):
    """The client's own request beside the one that Detour sent upstream. Only while the flow lives."""

    name = "Detour: original and forwarded"
    syntax_highlight = "none"

    def __init__(self) -> None:
        # Placeholders need not outlive the program that shows them.
        self._redactor = Redactor(os.urandom(32))

    def prettify(self, data: bytes, metadata: contentviews.Metadata) -> str:
        """Raises ValueError where there is no original."""
        call = _call(metadata)
        if call is None or call.exchange is None or call.outgoing is None:
            raise ValueError("Detour did not route this request, or it was loaded from a file")
        one, two = call.exchange.request, call.outgoing
        left = self._lines(one.method, one.path, one.headers, one.body)
        right = self._lines(two.method, two.url, two.headers, two.body)
        return "\n".join(side_by_side(left, right, "the client's request", "sent upstream"))

    def render_priority(self, data: bytes, metadata: contentviews.Metadata) -> float:
        call = _call(metadata)
        shown = call is not None and isinstance(metadata.http_message, http.Request)
        return BY_HAND if shown else UNSUITED

    def _lines(self, method: str, url: str, headers: Headers, body: bytes) -> list[str]:
        head = [f"{method} {self._redactor.url(url)}"]
        head += [f"{name.lower()}: {value}" for name, value in self._redactor.headers(headers)]
        try:
            text = orjson.dumps(orjson.loads(body), option=orjson.OPT_INDENT_2).decode()
        except ValueError:
            text = body.decode("utf-8", "replace")
        return [*head, "", *self._redactor.text(text).splitlines()]


VIEWS: Final = (
    Conversation("Anthropic", Format.ANTHROPIC),
    Conversation("OpenAI Chat", Format.OPENAI_CHAT),
    Conversation("OpenAI Responses", Format.OPENAI_RESPONSES),
    Conversation("Gemini", Format.GEMINI),
    TwoRequests(),
)


class Contentview:
    """Registers the views, and gives flows the words that ``~meta provider=anthropic`` looks for."""

    def load(self, loader) -> None:
        for view in VIEWS:
            contentviews.add(view)

    def running(self) -> None:
        # Where flows are looked at, streams should be there to be looked at.
        if is_looked_at():
            ctx.options.update(store_streamed_bodies=True)

    def request(self, flow: http.HTTPFlow) -> None:
        if call := calls.get(flow):
            flow.metadata["detour.words"] = words(call)

    def upstream_attempt(self, call: Call) -> None:
        call.flow.metadata["detour.words"] = words(call)


def words(call: Call) -> str:
    """What a flow can be found by: ``provider=anthropic model=claude-sonnet-4-5 credential=work ...``."""
    exchange = call.exchange
    attempt = exchange.attempt if exchange else None
    provider = attempt.provider if attempt else call.surface.provider
    found = {
        "id": exchange.id if exchange else None,
        "provider": provider.name if provider else None,
        "model": exchange.model if exchange else None,
        "target": attempt.model if attempt else None,
        "credential": attempt.credential_id if attempt else None,
        "format": str(call.surface.format),
        "attempts": str(len(exchange.attempts)) if exchange else None,
        "tool": exchange.client.tool if exchange else None,
    }
    return " ".join(f"{name}={value}" for name, value in found.items() if value)


# -- which format it is -----------------------------------------------------------------------------------


def _suffixes() -> Iterable[tuple[re.Pattern[str], Format]]:
    # What tells most comes first: /v1/messages is nobody else's.
    for format in (Format.ANTHROPIC, Format.GEMINI, Format.OPENAI_CHAT, Format.OPENAI_RESPONSES):
        for operation in (Operation.GENERATE, Operation.COUNT_TOKENS):
            for _, path in PATHS[format].get(operation, ()):
                yield (
                    re.compile(re.escape(path).replace(re.escape("{model}"), "[^/:]+") + r"(?:\?|$)"),
                    format,
                )


_SUFFIXES: Final = tuple(_suffixes())


def format_of(data: bytes, metadata: contentviews.Metadata) -> Format | None:
    """The wire format of a message: by its flow's path, else by what it looks like."""
    if isinstance(metadata.flow, http.HTTPFlow):
        path = metadata.flow.request.path
        for pattern, format in _SUFFIXES:
            if pattern.search(path):
                return format
    return _by_shape(data)


def _by_shape(data: bytes) -> Format | None:
    if looks_like_stream(data[:64]):
        reader = EventReader()
        found = next((e.data for e in reader.feed(data[: 64 << 10]) + reader.close() if e.data), b"")
    else:
        found = data
    try:
        document = orjson.loads(found)
    except ValueError:
        return None
    if not isinstance(document, dict):
        return None
    kind = str(document.get("type", ""))
    if kind == "message_start" or (kind == "message" and "content" in document):
        return Format.ANTHROPIC
    if str(document.get("object", "")).startswith("chat.completion"):
        return Format.OPENAI_CHAT
    if document.get("object") == "response" or kind.startswith("response."):
        return Format.OPENAI_RESPONSES
    if "candidates" in document or "contents" in document:
        return Format.GEMINI
    if isinstance(document.get("messages"), list) and "model" in document:
        return Format.ANTHROPIC if "max_tokens" in document and "system" in document else Format.OPENAI_CHAT
    return None


# -- text -------------------------------------------------------------------------------------------------


def _message(format: Format, data: bytes, from_client: bool) -> str:
    """A WebSocket message: a request, an answer's event, or a whole answer."""
    document = orjson.loads(data)
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")
    if from_client and ("input" in document or "messages" in document):
        return render(read_request(format, document), limit=None)
    head = f"{document.get('type', 'message')}\n"
    if isinstance(document.get("response"), dict) and document["response"].get("output"):
        return head + render(read_answer(format, document["response"]), limit=None)
    gist = timeline.gist(document)
    pretty = orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()
    return head + (f"{gist}\n\n" if gist else "\n") + pretty + "\n"


def side_by_side(left: list[str], right: list[str], left_title: str, right_title: str) -> list[str]:
    """Two texts in two columns, equal lines on one height; ``|`` differs, ``<`` and ``>`` stand alone."""
    rows = [_row(left_title, " ", right_title), _row("-" * len(left_title), " ", "-" * len(right_title))]
    matcher = difflib.SequenceMatcher(None, left, right, autojunk=False)
    for operation, i1, i2, j1, j2 in matcher.get_opcodes():
        height = max(i2 - i1, j2 - j1)
        for k in range(height):
            one = left[i1 + k] if i1 + k < i2 else None
            two = right[j1 + k] if j1 + k < j2 else None
            mark = " " if operation == "equal" else "<" if two is None else ">" if one is None else "|"
            rows.append(_row(one or "", mark, two or ""))
    return rows


def _row(left: str, mark: str, right: str) -> str:
    return f"{_fit(left):<{COLUMN}} {mark} {_fit(right)}".rstrip()


def _fit(text: str) -> str:
    return text if len(text) <= COLUMN else text[: COLUMN - 3] + "..."


def _call(metadata: contentviews.Metadata) -> Call | None:
    flow: Any = metadata.flow
    return calls.get(flow) if isinstance(flow, http.HTTPFlow) else None
