"""Token counts read from answers while they pass, without parsing what carries none.

A `Meter` sees the upstream's answer in the upstream's own format: the parsed JSON body, the data of each
event of a stream, or each WebSocket message. Streams report cumulative figures, sometimes several times
and in parts, so later figures replace earlier ones of the same name and are never added up:

- Anthropic: ``message_start`` holds the input side, ``message_delta`` the final output and, when server
  tools ran, corrected inputs; a second ``message_start`` (a gateway that began again) starts over.
- OpenAI Chat: the last chunk that carries ``usage``, which may come after the finish reason.
- OpenAI Responses: the ``response`` of the terminal event; one WebSocket carries several responses.
- Gemini: ``usageMetadata`` of the last chunk that has figures.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from router_core.exchange import Usage
from router_core.formats import Format, Operation
from router_core.json_document import parse
from router_core.sse import Event
from router_core.usage.identities import IDENTITIES, MAX_NOTES, add

# In JSON text a quote inside a string is escaped, so these match keys and nothing that a model wrote.
_USAGE: Final = re.compile(rb'"usage"\s*:\s*\{')
_HINTS: Final[dict[Format, re.Pattern[bytes]]] = {
    Format.ANTHROPIC: _USAGE,
    Format.OPENAI_CHAT: _USAGE,
    Format.OPENAI_RESPONSES: _USAGE,
    Format.GEMINI: re.compile(rb'"usage(?:Metadata|_metadata)"\s*:\s*\{'),
    Format.OLLAMA: re.compile(rb'"eval_count"\s*:'),
}

_SERVER_TOOL_ITEMS: Final = frozenset(
    {"web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call", "mcp_call"}
)
"""Output items of the Responses API that the provider ran; its usage object does not count them."""

_TERMINAL: Final = frozenset(
    {"response.completed", "response.incomplete", "response.failed", "response.done"}
)

_UNCOUNTED: Final = frozenset({Operation.COUNT_TOKENS, Operation.LIST_MODELS})
"""Their answers may hold figures named like usage, but nothing was used."""


class Meter:
    """Counts one attempt's answer. Takes anything, never raises, and holds a few hundred bytes."""

    __slots__ = (
        "_done",
        "_ended",
        "_find",
        "_hint",
        "_identity",
        "_notes",
        "_raw",
        "_responses",
        "_tools",
        "version",
    )

    def __init__(self, format: Format, operation: Operation = Operation.GENERATE):
        self.version = 0
        """Grows with every figure that was reported, and every note; `usage` is the same as long as it stays."""
        self._hint = None if operation in _UNCOUNTED else _HINTS[format]
        self._find = _FIND[format]
        self._identity = IDENTITIES[format]
        self._raw: dict[str, Any] = {}
        self._tools: dict[str, int] = {}
        self._ended = False
        self._done = Usage()
        self._responses = 0
        self._notes: list[str] = []

    def feed(self, event: Event | bytes) -> None:
        """Takes one event of a stream (or its data), one WebSocket message, or a whole JSON body."""
        data = event if isinstance(event, bytes) else event.data
        if not data or self._hint is None or not self._hint.search(data):
            return
        try:
            document = parse(event) if isinstance(event, bytes) else event.document
        except ValueError:
            self._note("answer: not readable as JSON")
            return
        self.feed_json(document)

    def feed_json(self, document: Any) -> None:
        """Takes a parsed event or body. Gemini's array of chunks counts as its chunks one by one."""
        if self._hint is None:
            return
        for part in document if isinstance(document, list) else (document,):
            if isinstance(part, Mapping):
                self._find(self, part)

    @property
    def reported(self) -> bool:
        """Whether the upstream has said anything about usage yet."""
        return bool(self._raw) or self._responses > 0

    @property
    def usage(self) -> Usage:
        """All that was reported until now."""
        usage = self._identity(self._raw) if self._raw else Usage()
        for name, calls in self._tools.items():
            usage.server_tools[name] = max(calls, usage.server_tools.get(name, 0))
        if self._responses:
            total = Usage()
            add(total, self._done)
            add(total, usage)
            usage = total
        if self._notes:
            usage.notes = tuple(dict.fromkeys((*usage.notes, *self._notes)))[:MAX_NOTES]
        return usage

    def _note(self, text: str) -> None:
        if text not in self._notes and len(self._notes) < MAX_NOTES:
            self._notes.append(text)
            self.version += 1

    def _merge(self, usage: object, outer: Mapping[str, Any]) -> None:
        if not isinstance(usage, Mapping):
            return
        self.version += 1
        for name, value in usage.items():
            if value is not None:
                self._raw[name] = value
        if isinstance(outer.get("service_tier"), str):
            self._raw["service_tier"] = outer["service_tier"]

    def _anthropic(self, part: Mapping[str, Any]) -> None:
        if part.get("type") == "message_start":
            message = part.get("message")
            self._raw = {}
            if isinstance(message, Mapping):
                self._merge(message.get("usage"), {})
            return
        usage = part.get("usage")
        if not isinstance(usage, Mapping):
            return
        if usage.get("input_tokens") == 0 and not usage.get("cache_read_input_tokens"):
            # No prompt is empty: some compatible servers repeat the key with 0 in message_delta.
            usage = {k: v for k, v in usage.items() if k != "input_tokens" or not self._raw.get(k)}
        self._merge(usage, {})

    def _openai_chat(self, part: Mapping[str, Any]) -> None:
        usage = part.get("usage")
        if not isinstance(usage, Mapping):
            usage = _path(part, "x_groq", "usage")
        if not isinstance(usage, Mapping):
            # Moonshot's streams put it into the choice.
            choices = part.get("choices")
            usage = _path(choices[0], "usage") if isinstance(choices, list) and choices else None
        self._merge(usage, part)

    def _openai_responses(self, part: Mapping[str, Any]) -> None:
        response = part.get("response")
        body = response if isinstance(response, Mapping) else part
        usage = body.get("usage")
        if not isinstance(usage, Mapping):
            return
        if self._ended and self._raw:
            # The next turn of a connection; each is billed by itself.
            self._done, self._responses = self._total(), self._responses + 1
            self._raw, self._tools = {}, {}
        self._ended = part.get("type") in _TERMINAL
        self._merge(usage, body)
        self._tools = {}
        output = body.get("output")
        for item in output if isinstance(output, list) else ():
            kind = item.get("type") if isinstance(item, Mapping) else None
            if kind in _SERVER_TOOL_ITEMS:
                tool = str(kind).removesuffix("_call")
                self._tools[tool] = self._tools.get(tool, 0) + 1

    def _gemini(self, part: Mapping[str, Any]) -> None:
        # Code Assist wraps each chunk in {"response": ...}.
        inner = part.get("response")
        body = inner if isinstance(inner, Mapping) else part
        self._merge(body.get("usageMetadata", body.get("usage_metadata")), {})

    def _ollama(self, part: Mapping[str, Any]) -> None:
        self._merge({k: part.get(k) for k in ("prompt_eval_count", "eval_count")}, {})

    def _total(self) -> Usage:
        notes, self._notes = self._notes, []
        total = self.usage
        self._notes = notes
        return total


def _path(value: object, *names: str) -> object:
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


_FIND: Final[dict[Format, Callable[[Meter, Mapping[str, Any]], None]]] = {
    Format.ANTHROPIC: Meter._anthropic,
    Format.OPENAI_CHAT: Meter._openai_chat,
    Format.OPENAI_RESPONSES: Meter._openai_responses,
    Format.GEMINI: Meter._gemini,
    Format.OLLAMA: Meter._ollama,
}
