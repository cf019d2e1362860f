"""Requests and answers as a conversation that a person reads, whatever the wire format and however damaged.

Unlike the readers in `router_core.formats`, which refuse what cannot be translated, these show everything:
what is not understood appears as the JSON that it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from router_core.capture.partial import heard
from router_core.fold import fold
from router_core.formats import Format
from router_core.json_document import serialise
from router_core.sse import ArrayReader, Event, EventReader, Reader, encode, looks_like_stream

LONG: Final = 4000
"""Characters of one part that are shown unless everything is asked for."""


@dataclass(slots=True)
class Part:
    kind: str
    """``text``, ``thinking``, ``call``, ``result``, ``media``, ``refusal`` or a type that only the format knows."""
    text: str
    name: str = ""
    """The tool's name or the call's id."""


@dataclass(slots=True)
class Turn:
    role: str
    parts: list[Part] = field(default_factory=list)


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
        return Conversation(turns=[Turn("request", [_other(document)])])
    if format is Format.GEMINI and isinstance(document.get("request"), dict):
        document = {**{k: v for k, v in document.items() if k != "request"}, **document["request"]}
    conversation = Conversation()
    system, messages, read = _REQUESTS[format]
    for key in system:
        if document.get(key):
            conversation.turns.append(Turn("system", list(read(document[key]))))
    contents = document.get(messages)
    if isinstance(contents, str):
        conversation.turns.append(Turn("user", [Part("text", contents)]))
    for item in _list(contents):
        conversation.turns += _turns(format, item, read)
    conversation.tools = [name for tool in _list(document.get("tools")) for name in _tool_names(tool)]
    shown = {*system, messages, "tools"}
    conversation.settings = [(k, _short(v)) for k, v in document.items() if k not in shown]
    return conversation


def read_answer(format: Format, document: Any) -> Conversation:
    """An answer's JSON as a conversation."""
    if not isinstance(document, dict):
        return Conversation(turns=[Turn("answer", [_other(document)])])
    if isinstance(document.get("error"), dict | str) and document["error"]:
        return Conversation(turns=[Turn("error", [Part("text", _words(document["error"]))])])
    conversation = Conversation(usage=_usage(document.get("usage") or document.get("usageMetadata")))
    shown = {"usage", "usageMetadata"}
    match format:
        case Format.ANTHROPIC:
            conversation.turns = [
                Turn(str(document.get("role", "assistant")), list(_anthropic(document.get("content"))))
            ]
            shown |= {"content", "role"}
        case Format.OPENAI_CHAT:
            conversation.turns = [
                turn for choice in _list(document.get("choices")) for turn in _choice(choice)
            ]
            shown |= {"choices"}
        case Format.OPENAI_RESPONSES:
            conversation.turns = [
                t for item in _list(document.get("output")) for t in _turns(format, item, _responses)
            ]
            shown |= {"output", "input", "instructions", "tools"}
        case Format.GEMINI:
            # The code assistant's API wraps each answer once more.
            inner = document.get("response")
            if isinstance(inner, dict) and "candidates" in inner:
                return read_answer(format, inner)
            conversation.turns = [turn for c in _list(document.get("candidates")) for turn in _candidate(c)]
            shown |= {"candidates"}
        case Format.OLLAMA:
            conversation.turns = _turns(format, document.get("message"), _chat)
            shown |= {"message"}
    conversation.settings = [(k, _short(v)) for k, v in document.items() if k not in shown and v is not None]
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


def render(conversation: Conversation, limit: int | None = LONG) -> str:
    """`conversation` as text; parts of more than `limit` characters are folded, None shows all."""
    lines: list[str] = []
    if conversation.settings:
        lines += [f"{name}: {value}" for name, value in conversation.settings]
    if conversation.tools:
        lines.append(f"tools ({len(conversation.tools)}): {', '.join(conversation.tools)}")
    for turn in conversation.turns:
        lines += ["", f"[{turn.role}]"]
        for part in turn.parts:
            lines += _indented(_label(part), part.text, limit)
    if conversation.usage:
        lines += ["", "usage: " + ", ".join(f"{name} {value}" for name, value in conversation.usage)]
    return "\n".join(lines).strip("\n") + "\n"


def _label(part: Part) -> str:
    match part.kind:
        case "text":
            return ""
        case "call":
            return f"-> {part.name} "
        case "result":
            return f"<- {part.name} "
        case kind:
            return f"({kind}{' ' + part.name if part.name else ''}) "


def _indented(label: str, text: str, limit: int | None) -> Iterable[str]:
    if limit is not None and len(text) > limit:
        half = limit // 2
        text = f"{text[:half]}\n... {len(text) - 2 * half} characters ...\n{text[-half:]}"
    first, *rest = (label + text).splitlines() or [label]
    return [f"  {first}", *(f"  {line}" for line in rest)]


# -- parts of messages, format by format --------------------------------------------------------------


def _anthropic(content: Any) -> Iterable[Part]:
    """A string or content blocks of Anthropic Messages."""
    for block in _blocks(content):
        match block.get("type"):
            case "text":
                yield Part("text", _words(block.get("text")))
            case "thinking":
                yield Part("thinking", _words(block.get("thinking")) or "not shown")
            case "redacted_thinking":
                yield Part("thinking", "redacted by the provider")
            case "tool_use" | "server_tool_use" | "mcp_tool_use":
                yield Part("call", _json(block.get("input")), _named(block))
            case "image" | "document" | "file":
                yield _media(block.get("source") or block)
            case str(kind) if kind.endswith("_result"):
                text = "\n".join(p.text for p in _anthropic(block.get("content"))) or "(empty)"
                yield Part(
                    "result",
                    text,
                    _named(block, "tool_use_id") + (" failed" if block.get("is_error") else ""),
                )
            case _:
                yield _other(block)


def _chat(content: Any) -> Iterable[Part]:
    """A string or content parts of OpenAI Chat Completions."""
    for block in _blocks(content):
        match block.get("type"):
            case "text":
                yield Part("text", _words(block.get("text")))
            case "thinking":
                yield Part("thinking", "".join(p.text for p in _chat(block.get("thinking"))))
            case "refusal":
                yield Part("refusal", _words(block.get("refusal")))
            case "image_url" | "input_audio" | "file":
                yield _media(block.get(str(block["type"])))
            case _:
                yield _other(block)


def _chat_message(message: dict[str, Any]) -> Turn:
    role = str(message.get("role") or "assistant")
    turn = Turn(role)
    if thinking := message.get("reasoning_content") or message.get("reasoning") or message.get("thinking"):
        turn.parts.append(Part("thinking", _words(thinking)))
    parts = list(_chat(message.get("content")))
    if role == "tool":
        text = "\n".join(p.text for p in parts)
        parts = [Part("result", text, str(message.get("tool_call_id") or message.get("name") or ""))]
    turn.parts += parts
    if message.get("refusal"):
        turn.parts.append(Part("refusal", _words(message["refusal"])))
    for call in _list(message.get("tool_calls")):
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            name = f"{function.get('name', '?')} [{call.get('id', '')}]".removesuffix(" []")
            turn.parts.append(Part("call", _words(function.get("arguments")), name))
        else:
            turn.parts.append(_other(call))
    return turn


def _responses(content: Any) -> Iterable[Part]:
    """A string or content parts of OpenAI Responses."""
    for block in _blocks(content):
        match block.get("type"):
            case "input_text" | "output_text" | "text" | "summary_text" | "reasoning_text":
                yield Part("text", _words(block.get("text")))
            case "refusal":
                yield Part("refusal", _words(block.get("refusal")))
            case "input_image" | "input_file" | "input_audio":
                yield _media(block)
            case _:
                yield _other(block)


def _responses_item(item: dict[str, Any]) -> Turn:
    match item.get("type", "message"):
        case "message":
            return Turn(str(item.get("role", "assistant")), list(_responses(item.get("content"))))
        case "reasoning":
            parts = [*_responses(item.get("summary")), *_responses(item.get("content"))]
            return Turn("assistant", [Part("thinking", "\n".join(p.text for p in parts) or "not shown")])
        case "function_call" | "custom_tool_call" as kind:
            text = _words(item.get("arguments") if kind == "function_call" else item.get("input"))
            return Turn("assistant", [Part("call", text, _named(item, "call_id"))])
        case str(kind) if kind.endswith("_output"):
            text = "\n".join(p.text for p in _responses(item.get("output")))
            return Turn("tool", [Part("result", text, str(item.get("call_id", "")))])
        case _:
            return Turn("assistant", [_other(item)])


def _gemini(content: Any) -> Iterable[Part]:
    """A Content of Gemini, or its parts. Both camelCase and snake_case are on the wire."""
    parts = content.get("parts") if isinstance(content, dict) else content
    if isinstance(parts, str):
        yield Part("text", parts)
        return
    for part in _list(parts):
        if not isinstance(part, dict):
            yield _other(part)
        elif "text" in part:
            yield Part("thinking" if part.get("thought") else "text", _words(part["text"]))
        elif isinstance(call := part.get("functionCall") or part.get("function_call"), dict):
            yield Part("call", _json(call.get("args")), _named(call))
        elif isinstance(result := part.get("functionResponse") or part.get("function_response"), dict):
            yield Part("result", _json(result.get("response")), _named(result))
        elif media := part.get("inlineData") or part.get("inline_data") or part.get("fileData"):
            yield _media(media)
        else:
            yield _other(part)


def _choice(choice: Any) -> list[Turn]:
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict):
        return [Turn("choice", [_other(choice)])]
    return [_ended(_chat_message(message), choice.get("finish_reason"))]


def _candidate(candidate: Any) -> list[Turn]:
    if not isinstance(candidate, dict):
        return [Turn("candidate", [_other(candidate)])]
    turn = Turn("model", list(_gemini(candidate.get("content") or {})))
    return [_ended(turn, candidate.get("finishReason"))]


def _ended(turn: Turn, reason: Any) -> Turn:
    if reason:
        turn.role += f", {reason}"
    return turn


def _turns(format: Format, item: Any, read: Callable[[Any], Iterable[Part]]) -> list[Turn]:
    if not isinstance(item, dict):
        return [Turn("message", [_other(item)])]
    match format:
        case Format.OPENAI_RESPONSES:
            return [_responses_item(item)]
        case Format.OPENAI_CHAT | Format.OLLAMA:
            return [_chat_message(item)]
        case Format.GEMINI:
            return [Turn(str(item.get("role", "user")), list(read(item)))]
    return [Turn(str(item.get("role", "?")), list(read(item.get("content"))))]


_REQUESTS: Final[dict[Format, tuple[tuple[str, ...], str, Callable[[Any], Iterable[Part]]]]] = {
    # format: (keys of the system text, key of the messages, reader of their content)
    Format.ANTHROPIC: (("system",), "messages", _anthropic),
    Format.OPENAI_CHAT: ((), "messages", _chat),
    Format.OPENAI_RESPONSES: (("instructions",), "input", _responses),
    Format.GEMINI: (("systemInstruction", "system_instruction"), "contents", _gemini),
    Format.OLLAMA: ((), "messages", _chat),
}


def _blocks(content: Any) -> Iterable[dict[str, Any]]:
    """Content as blocks: strings become text blocks."""
    for block in [content] if isinstance(content, str | dict) else _list(content):
        yield (
            {"type": "text", "text": block}
            if isinstance(block, str)
            else block
            if isinstance(block, dict)
            else {}
        )


def _tool_names(tool: Any) -> Iterable[str]:
    if not isinstance(tool, dict):
        yield _short(tool)
        return
    declarations = tool.get("functionDeclarations") or tool.get("function_declarations")
    if isinstance(declarations, list):
        yield from (str(d.get("name", "?")) for d in declarations if isinstance(d, dict))
        return
    function = tool.get("function")
    name = (
        (function.get("name") if isinstance(function, dict) else None) or tool.get("name") or tool.get("type")
    )
    yield str(name or ", ".join(tool))


def _media(source: Any) -> Part:
    """What is known of an image, a file or a recording, without its bytes."""
    if not isinstance(source, dict):
        return Part("media", _short(source))
    keys = ("media_type", "mimeType", "mime_type", "format", "filename", "file_id", "fileUri", "detail")
    known = [str(source[k]) for k in keys if source.get(k)]
    url = source.get("url") or source.get("image_url") or source.get("file_url")
    if isinstance(url, str):
        known.append(
            url if not url.startswith("data:") else f"{url.partition(',')[0]}, {len(url)} characters"
        )
    data = source.get("data") or source.get("file_data")
    if isinstance(data, str):
        known.append(f"{len(data)} characters of base64")
    return Part("media", ", ".join(known) or _short(source))


def _named(block: dict[str, Any], id_key: str = "id") -> str:
    name, id = block.get("name"), block.get(id_key)
    return f"{name} [{id}]" if name and id else str(name or id or "?")


def _usage(usage: Any, prefix: str = "") -> list[tuple[str, str]]:
    """The numbers of a usage object, nested names joined by dots; zeros are left out."""
    if not isinstance(usage, dict):
        return []
    numbers: list[tuple[str, str]] = []
    for key, value in usage.items():
        if isinstance(value, dict):
            numbers += _usage(value, f"{prefix}{key}.")
        elif isinstance(value, int | float) and value:
            numbers.append((prefix + key, str(value)))
    return numbers


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _other(value: Any) -> Part:
    kind = value.get("type") if isinstance(value, dict) else None
    return Part(str(kind or "unknown"), _json(value))


def _words(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else _json(value)


def _json(value: Any) -> str:
    return serialise(value).decode()


def _short(value: Any) -> str:
    text = _words(value)
    return text if len(text) <= 200 else f"{text[:200]}... ({len(text)} characters)"
