"""Chat Completions chunks into a completion, and back; fields of other hosts are kept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import orjson

from router_core.formats.openai_chat.tool_calls import CallReader
from router_core.formats.openai_chat.write_events import DONE

_JOINED: Final = ("reasoning_content", "reasoning", "refusal")
"""Fields of a delta that are text to join, beside ``content``."""
_PER_CHUNK: Final = frozenset({"choices", "object", "obfuscation", "usage", "p"})


class _Choice:
    def __init__(self, number: int):
        self.fields: dict[str, Any] = {"index": number}
        self.message: dict[str, Any] = {"role": "assistant", "content": None}
        self.texts: dict[str, list[str]] = {}
        self.content: list[Any] = []
        """Mistral's parts."""
        self.details: list[dict[str, Any]] = []
        self.logprobs: dict[str, list[Any]] = {}
        self.calls = CallReader(number)
        self.next = 0


class Folder:
    """Builds the completion from chunks; `document` may be asked for at any time."""

    def __init__(self) -> None:
        self._fields: dict[str, Any] = {}
        self._choices: dict[int, _Choice] = {}
        self._usage: dict[str, Any] | None = None
        self._error: dict[str, Any] | None = None

    def feed(self, chunk: dict[str, Any]) -> None:
        if chunk is DONE:
            return
        if chunk.get("error"):
            self._error = chunk
            return
        for key, value in chunk.items():
            if key not in _PER_CHUNK and value not in (None, "", 0):
                # The first chunk names the answer; hosts vary it later, or leave it empty at first.
                self._fields.setdefault(key, value)
        if chunk.get("usage"):
            self._usage = chunk["usage"]
        for item in chunk.get("choices") or ():
            if isinstance(item, dict):
                self._choice(item)

    @property
    def error(self) -> dict[str, Any] | None:
        """The chunk with the error that ended the stream."""
        return self._error

    @property
    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = {"id": "", "object": "chat.completion", "created": 0, "model": ""}
        document.update(self._fields)
        document["choices"] = [_finished(self._choices[number]) for number in sorted(self._choices)]
        usage = self._usage
        if usage is None and isinstance(document.get("x_groq"), dict):
            usage = document["x_groq"].get("usage")
        if usage is not None:
            document["usage"] = usage
        return document

    def _choice(self, item: dict[str, Any]) -> None:
        number = item.get("index")
        number = number if isinstance(number, int) else 0
        choice = self._choices.get(number)
        if choice is None:
            choice = self._choices[number] = _Choice(number)
        for key, value in item.items():
            if key not in ("delta", "message", "index", "logprobs") and value not in (None, ""):
                choice.fields[key] = value
        for name, values in (item.get("logprobs") or {}).items():
            if isinstance(values, list):
                choice.logprobs.setdefault(name, []).extend(values)
        delta = item.get("delta") or item.get("message") or {}
        for key, value in delta.items():
            if value is not None:
                _merge(choice, key, value)


def _merge(choice: _Choice, key: str, value: Any) -> None:
    if key == "content" and isinstance(value, list):
        choice.content += value
    elif key == "content" or key in _JOINED:
        if isinstance(value, str) and value:
            choice.texts.setdefault(key, []).append(value)
        elif key == "content":
            choice.texts.setdefault(key, [])
    elif key == "tool_calls":
        _, choice.next = choice.calls.read(value, choice.next)
    elif key == "reasoning_details":
        for entry in value:
            _merge_detail(choice.details, entry)
    elif key == "audio":
        audio = choice.message.setdefault("audio", {})
        for name, piece in value.items():
            joined = name in ("data", "transcript") and isinstance(piece, str)
            audio[name] = audio.get(name, "") + piece if joined else piece
    elif isinstance(value, list) and isinstance(choice.message.get(key), list):
        choice.message[key] = [*choice.message[key], *value]
    else:
        choice.message[key] = value


def _merge_detail(details: list[dict[str, Any]], entry: Any) -> None:
    if not isinstance(entry, dict):
        return
    same = details and details[-1].get("index") == entry.get("index")
    if not same or details[-1].get("type") != entry.get("type"):
        details.append(dict(entry))
        return
    last = details[-1]
    for key, value in entry.items():
        if key in ("text", "summary", "data") and isinstance(value, str):
            last[key] = (last.get(key) or "") + value
        elif value is not None:
            last[key] = value


def _finished(choice: _Choice) -> dict[str, Any]:
    message = choice.message
    for key, pieces in choice.texts.items():
        message[key] = "".join(pieces)
    if choice.content:
        text = message.get("content")
        tail = [{"type": "text", "text": text}] if text else []
        message["content"] = [*choice.content, *tail]
    if choice.details:
        message["reasoning_details"] = choice.details
    calls = [_call(call) for call in choice.calls.calls if call.named]
    if calls:
        message["content"] = message["content"] or None
        message["tool_calls"] = calls
    finished = {"index": choice.fields["index"], "message": message, "logprobs": choice.logprobs or None}
    finished.update(choice.fields)
    finished.setdefault("finish_reason", None)
    return finished


def _call(call: Any) -> dict[str, Any]:
    text = "".join(call.arguments)
    if call.kind == "function" and not text.strip():
        text = "{}"
    inner = {"name": call.name, "input" if call.kind == "custom" else "arguments": text}
    return {"id": call.id, "type": call.kind, call.kind: inner, **call.extra}


def fold(chunks: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The completion that `chunks` amount to, or the error that ended them."""
    folder = Folder()
    for chunk in chunks:
        folder.feed(chunk)
    return folder.error or folder.document


def unfold(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The chunks of a stream that amounts to `document`."""
    if document.get("error"):
        return [document, DONE]
    envelope = {key: value for key, value in document.items() if key not in ("choices", "usage")}
    envelope["object"] = "chat.completion.chunk"
    chunks: list[dict[str, Any]] = []
    for choice in document.get("choices") or ():
        delta = dict(choice.get("message") or {})
        delta["tool_calls"] = [{**call, "index": i} for i, call in enumerate(delta.get("tool_calls") or ())]
        if not delta["tool_calls"]:
            del delta["tool_calls"]
        index = choice.get("index", 0)
        first = {"index": index, "delta": delta, "logprobs": choice.get("logprobs"), "finish_reason": None}
        last = {key: value for key, value in choice.items() if key not in ("message", "logprobs")}
        chunks.append({**envelope, "choices": [first]})
        chunks.append({**envelope, "choices": [{**last, "index": index, "delta": {}}]})
    if document.get("usage") is not None:
        chunks.append({**envelope, "choices": [], "usage": document["usage"]})
    return [*chunks, DONE]


def encode(chunk: dict[str, Any]) -> bytes:
    """One chunk as it goes over the wire."""
    return b"data: [DONE]\n\n" if chunk is DONE else b"data: %s\n\n" % orjson.dumps(chunk)
