"""The turns of a conversation, format by format: messages, items and candidates, and the parts they hold.

What is not understood appears as the JSON that it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from router_core.formats import Format
from router_core.json_document import serialise


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


def anthropic(content: Any) -> Iterable[Part]:
    """A string or content blocks of Anthropic Messages."""
    for block in _blocks(content):
        match block.get("type"):
            case "text":
                yield Part("text", words(block.get("text")))
            case "thinking":
                yield Part("thinking", words(block.get("thinking")) or "not shown")
            case "redacted_thinking":
                yield Part("thinking", "redacted by the provider")
            case "tool_use" | "server_tool_use" | "mcp_tool_use":
                yield Part("call", _json(block.get("input")), _named(block))
            case "image" | "document" | "file":
                yield _media(block.get("source") or block)
            case str(kind) if kind.endswith("_result"):
                text = "\n".join(p.text for p in anthropic(block.get("content"))) or "(empty)"
                yield Part(
                    "result",
                    text,
                    _named(block, "tool_use_id") + (" failed" if block.get("is_error") else ""),
                )
            case _:
                yield other(block)


def chat(content: Any) -> Iterable[Part]:
    """A string or content parts of OpenAI Chat Completions."""
    for block in _blocks(content):
        match block.get("type"):
            case "text":
                yield Part("text", words(block.get("text")))
            case "thinking":
                yield Part("thinking", "".join(p.text for p in chat(block.get("thinking"))))
            case "refusal":
                yield Part("refusal", words(block.get("refusal")))
            case "image_url" | "input_audio" | "file":
                yield _media(block.get(str(block["type"])))
            case _:
                yield other(block)


def _chat_message(message: dict[str, Any]) -> Turn:
    role = str(message.get("role") or "assistant")
    turn = Turn(role)
    if thinking := message.get("reasoning_content") or message.get("reasoning") or message.get("thinking"):
        turn.parts.append(Part("thinking", words(thinking)))
    parts = list(chat(message.get("content")))
    if role == "tool":
        text = "\n".join(p.text for p in parts)
        parts = [Part("result", text, str(message.get("tool_call_id") or message.get("name") or ""))]
    turn.parts += parts
    if message.get("refusal"):
        turn.parts.append(Part("refusal", words(message["refusal"])))
    for call in list_of(message.get("tool_calls")):
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            name = f"{function.get('name', '?')} [{call.get('id', '')}]".removesuffix(" []")
            turn.parts.append(Part("call", words(function.get("arguments")), name))
        else:
            turn.parts.append(other(call))
    return turn


def responses(content: Any) -> Iterable[Part]:
    """A string or content parts of OpenAI Responses."""
    for block in _blocks(content):
        match block.get("type"):
            case "input_text" | "output_text" | "text" | "summary_text" | "reasoning_text":
                yield Part("text", words(block.get("text")))
            case "refusal":
                yield Part("refusal", words(block.get("refusal")))
            case "input_image" | "input_file" | "input_audio":
                yield _media(block)
            case _:
                yield other(block)


def _responses_item(item: dict[str, Any]) -> Turn:
    match item.get("type", "message"):
        case "message":
            return Turn(str(item.get("role", "assistant")), list(responses(item.get("content"))))
        case "reasoning":
            parts = [*responses(item.get("summary")), *responses(item.get("content"))]
            return Turn("assistant", [Part("thinking", "\n".join(p.text for p in parts) or "not shown")])
        case "function_call" | "custom_tool_call" as kind:
            text = words(item.get("arguments") if kind == "function_call" else item.get("input"))
            return Turn("assistant", [Part("call", text, _named(item, "call_id"))])
        case str(kind) if kind.endswith("_output"):
            text = "\n".join(p.text for p in responses(item.get("output")))
            return Turn("tool", [Part("result", text, str(item.get("call_id", "")))])
        case _:
            return Turn("assistant", [other(item)])


def _gemini(content: Any) -> Iterable[Part]:
    """A Content of Gemini, or its parts. Both camelCase and snake_case are on the wire."""
    parts = content.get("parts") if isinstance(content, dict) else content
    if isinstance(parts, str):
        yield Part("text", parts)
        return
    for part in list_of(parts):
        if not isinstance(part, dict):
            yield other(part)
        elif "text" in part:
            yield Part("thinking" if part.get("thought") else "text", words(part["text"]))
        elif isinstance(call := part.get("functionCall") or part.get("function_call"), dict):
            yield Part("call", _json(call.get("args")), _named(call))
        elif isinstance(result := part.get("functionResponse") or part.get("function_response"), dict):
            yield Part("result", _json(result.get("response")), _named(result))
        elif media := part.get("inlineData") or part.get("inline_data") or part.get("fileData"):
            yield _media(media)
        else:
            yield other(part)


def choice_turns(choice: Any) -> list[Turn]:
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict):
        return [Turn("choice", [other(choice)])]
    return [_ended(_chat_message(message), choice.get("finish_reason"))]


def candidate_turns(candidate: Any) -> list[Turn]:
    if not isinstance(candidate, dict):
        return [Turn("candidate", [other(candidate)])]
    turn = Turn("model", list(_gemini(candidate.get("content") or {})))
    return [_ended(turn, candidate.get("finishReason"))]


def _ended(turn: Turn, reason: Any) -> Turn:
    if reason:
        turn.role += f", {reason}"
    return turn


def turns_of(format: Format, item: Any, read: Callable[[Any], Iterable[Part]]) -> list[Turn]:
    if not isinstance(item, dict):
        return [Turn("message", [other(item)])]
    match format:
        case Format.OPENAI_RESPONSES:
            return [_responses_item(item)]
        case Format.OPENAI_CHAT | Format.OLLAMA:
            return [_chat_message(item)]
        case Format.GEMINI:
            return [Turn(str(item.get("role", "user")), list(read(item)))]
    return [Turn(str(item.get("role", "?")), list(read(item.get("content"))))]


REQUESTS: Final[dict[Format, tuple[tuple[str, ...], str, Callable[[Any], Iterable[Part]]]]] = {
    # format: (keys of the system text, key of the messages, reader of their content)
    Format.ANTHROPIC: (("system",), "messages", anthropic),
    Format.OPENAI_CHAT: ((), "messages", chat),
    Format.OPENAI_RESPONSES: (("instructions",), "input", responses),
    Format.GEMINI: (("systemInstruction", "system_instruction"), "contents", _gemini),
    Format.OLLAMA: ((), "messages", chat),
}


def _blocks(content: Any) -> Iterable[dict[str, Any]]:
    """Content as blocks: strings become text blocks."""
    for block in [content] if isinstance(content, str | dict) else list_of(content):
        yield (
            {"type": "text", "text": block}
            if isinstance(block, str)
            else block
            if isinstance(block, dict)
            else {}
        )


def tool_names(tool: Any) -> Iterable[str]:
    if not isinstance(tool, dict):
        yield short(tool)
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
        return Part("media", short(source))
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
    return Part("media", ", ".join(known) or short(source))


def _named(block: dict[str, Any], id_key: str = "id") -> str:
    name, id = block.get("name"), block.get(id_key)
    return f"{name} [{id}]" if name and id else str(name or id or "?")


def usage_of(usage: Any, prefix: str = "") -> list[tuple[str, str]]:
    """The numbers of a usage object, nested names joined by dots; zeros are left out."""
    if not isinstance(usage, dict):
        return []
    numbers: list[tuple[str, str]] = []
    for key, value in usage.items():
        if isinstance(value, dict):
            numbers += usage_of(value, f"{prefix}{key}.")
        elif isinstance(value, int | float) and value:
            numbers.append((prefix + key, str(value)))
    return numbers


def list_of(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def other(value: Any) -> Part:
    kind = value.get("type") if isinstance(value, dict) else None
    return Part(str(kind or "unknown"), _json(value))


def words(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else _json(value)


def _json(value: Any) -> str:
    return serialise(value).decode()


def short(value: Any) -> str:
    text = words(value)
    return text if len(text) <= 200 else f"{text[:200]}... ({len(text)} characters)"
