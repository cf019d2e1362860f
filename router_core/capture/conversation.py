"""Requests and answers as a conversation that a person reads, whatever the wire format and however damaged.

Unlike the readers in `router_core.formats`, which refuse what cannot be translated, these show everything:
what is not understood appears as the JSON that it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson

from router_core.capture.partial import heard
from router_core.capture.turns import (
    REQUESTS,
    Part,
    Turn,
    anthropic,
    candidate_turns,
    chat,
    choice_turns,
    list_of,
    other,
    responses,
    short,
    tool_names,
    turns_of,
    usage_of,
    words,
)
from router_core.fold import fold
from router_core.formats import Format
from router_core.sse import ArrayReader, Event, EventReader, Reader, encode, looks_like_stream


@dataclass(slots=True)
class Conversation:
    settings: list[tuple[str, str]] = field(default_factory=list)
    """Everything that is neither a message nor a tool: model, limits, stop reason ..."""
    tools: list[str] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    usage: list[tuple[str, str]] = field(default_factory=list)


def read_request(format: Format, document: Any) -> Conversation:
    """A request's JSON as a conversation."""
    if not isinstance(document, dict):
        return Conversation(turns=[Turn("request", [other(document)])])
    if format is Format.GEMINI and isinstance(document.get("request"), dict):
        document = {**{k: v for k, v in document.items() if k != "request"}, **document["request"]}
    conversation = Conversation()
    system, messages, read = REQUESTS[format]
    for key in system:
        if document.get(key):
            conversation.turns.append(Turn("system", list(read(document[key]))))
    contents = document.get(messages)
    if isinstance(contents, str):
        conversation.turns.append(Turn("user", [Part("text", contents)]))
    for item in list_of(contents):
        conversation.turns += turns_of(format, item, read)
    conversation.tools = [name for tool in list_of(document.get("tools")) for name in tool_names(tool)]
    shown = {*system, messages, "tools"}
    conversation.settings = [(k, short(v)) for k, v in document.items() if k not in shown]
    return conversation


def read_answer(format: Format, document: Any) -> Conversation:
    """An answer's JSON as a conversation."""
    if not isinstance(document, dict):
        return Conversation(turns=[Turn("answer", [other(document)])])
    if isinstance(document.get("error"), dict | str) and document["error"]:
        return Conversation(turns=[Turn("error", [Part("text", words(document["error"]))])])
    conversation = Conversation(usage=usage_of(document.get("usage") or document.get("usageMetadata")))
    shown = {"usage", "usageMetadata"}
    match format:
        case Format.ANTHROPIC:
            conversation.turns = [
                Turn(str(document.get("role", "assistant")), list(anthropic(document.get("content"))))
            ]
            shown |= {"content", "role"}
        case Format.OPENAI_CHAT:
            conversation.turns = [
                turn for choice in list_of(document.get("choices")) for turn in choice_turns(choice)
            ]
            shown |= {"choices"}
        case Format.OPENAI_RESPONSES:
            conversation.turns = [
                t for item in list_of(document.get("output")) for t in turns_of(format, item, responses)
            ]
            shown |= {"output", "input", "instructions", "tools"}
        case Format.GEMINI:
            # The code assistant's API wraps each answer once more.
            inner = document.get("response")
            if isinstance(inner, dict) and "candidates" in inner:
                return read_answer(format, inner)
            conversation.turns = [
                turn for c in list_of(document.get("candidates")) for turn in candidate_turns(c)
            ]
            shown |= {"candidates"}
        case Format.OLLAMA:
            conversation.turns = turns_of(format, document.get("message"), chat)
            shown |= {"message"}
    conversation.settings = [(k, short(v)) for k, v in document.items() if k not in shown and v is not None]
    return conversation


def read_body(format: Format, body: bytes) -> Conversation:
    """An answer's body as a conversation: JSON, or a stream, which is folded. Raises ValueError for neither."""
    reader: Reader | None = None
    if looks_like_stream(body[:64]):
        reader = EventReader()
    elif format is Format.GEMINI and body.lstrip()[:1] == b"[":
        reader = ArrayReader()
    if reader is None:
        return read_answer(format, orjson.loads(body))
    events = reader.feed(body) + reader.close()
    return _folded(format, events)


def read_messages(format: Format, messages: Iterable[tuple[bool, bytes]]) -> list[Conversation]:
    """(from the client, message) of a WebSocket as requests and answers in turns."""
    found: list[Conversation] = []
    events: list[Event] = []

    def answered() -> None:
        if events:
            found.append(_folded(format, events))
            events.clear()

    for from_client, data in messages:
        if not from_client:
            events.append(Event(encode(None, data), None, data, parsed=True))
            continue
        answered()
        try:
            found.append(read_request(format, orjson.loads(data)))
        except ValueError:
            found.append(
                Conversation(turns=[Turn("client", [Part("text", data.decode("utf-8", "replace"))])])
            )
    answered()
    return found


def _folded(format: Format, events: list[Event]) -> Conversation:
    """What a stream amounts to, or what it had said when it broke off."""
    answer, error = fold(format, events)
    if answer is not None:
        return read_answer(format, answer)
    said = [Part(kind, text, name) for kind, name, text in heard(format, events)]
    turns = [Turn("assistant, not complete", said)] if said else []
    return Conversation(
        turns=[*turns, Turn("error", [Part("text", (error or b"").decode("utf-8", "replace"))])]
    )
