"""Parts of Gemini contents in requests."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from router_core.formats import carrier
from router_core.formats.gemini.fields import get
from router_core.formats.ir import (
    Format,
    Malformed,
    Media,
    Part,
    ServerTool,
    Signature,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from router_core.formats.media import guess, kind_of
from router_core.formats.placeholder import PLACEHOLDERS
from router_core.formats.shape import each, optional_string, read_arguments, string


def read_parts(parts: Any, place: str = "parts") -> list[Part]:
    """The parts of one content; opaque reasoning of other formats becomes a part of its own."""
    read: list[Part] = []
    each([parts] if isinstance(parts, dict) else parts, place, partial(_read_signed, read))
    return read


def read_content(parts: Any) -> str | list[Part]:
    """The parts of one content, or its text where it is nothing else."""
    if type(parts) is list and len(parts) == 1:
        part = parts[0]
        if type(part) is dict and len(part) == 1 and type(text := part.get("text")) is str:
            return text
    return read_parts(parts)


def _read_signed(read: list[Part], native: dict[str, Any]) -> None:
    """Adds a part to those that were `read` before it."""
    signature: Signature | None = None
    if "thoughtSignature" in native or "thought_signature" in native:
        signature, thought = _signature(native)
        if signature is not None and signature.origin is not Format.GEMINI:
            # Another format's reasoning stands before the part that carried it.
            read.append(Thinking(thought or "", signature, redacted=not thought))
            signature = None
    part = _read_part(native, signature)
    if part is not None:
        read.append(part)


def _signature(native: dict[str, Any]) -> tuple[Signature | None, str | None]:
    value = get(native, "thoughtSignature")
    if not isinstance(value, str) or not value or value in PLACEHOLDERS:
        return None, None
    carried = carrier.unpack(value)
    if carried is not None:
        return carried
    return Signature(Format.GEMINI, value), None


def _read_part(native: dict[str, Any], signature: Signature | None) -> Part | None:
    text = native.get("text")
    if isinstance(text, str):
        if native.get("thought"):
            return Thinking(text, signature)
        return Text(text, signature=signature) if text or signature else None
    for key, value in native.items():
        read = _READERS.get(key)
        if read is not None and isinstance(value, dict):
            try:
                return read(value, signature)
            except Malformed as problem:
                raise problem.within(key) from None
    for name in ("executableCode", "codeExecutionResult", "toolCall", "toolResponse"):
        if get(native, name) is not None:
            return ServerTool("code_execution", "", native=(Format.GEMINI, native))
    if signature is not None:
        return Text("", signature=signature)
    if not native.keys() - {"thought", "thoughtSignature", "thought_signature", "videoMetadata"}:
        return None
    raise Malformed("no known kind of part")


def _inline(value: dict[str, Any], signature: Signature | None) -> Media:
    type_ = get(value, "mimeType")
    data = string(value.get("data"), "data")
    # Google's clients write URL-safe base64, which only they read.
    data = data.replace("-", "+").replace("_", "/")
    name = get(value, "displayName")
    return Media(kind_of(type_), type_, data=data, name=name, signature=signature)  # type: ignore[arg-type]


_YOUTUBE: Final = frozenset({"youtube.com", "www.youtube.com", "m.youtube.com", "youtu.be"})
"""Whose pages Google reads as videos ("Video understanding")."""


def _file(value: dict[str, Any], signature: Signature | None) -> Media:
    uri = string(get(value, "fileUri"), "fileUri")
    type_ = get(value, "mimeType") or guess(uri)
    own = "generativelanguage.googleapis.com" in uri or uri.startswith(("gs://", "files/"))
    if type_ is None and urlsplit(uri).hostname in _YOUTUBE:
        type_ = "video/mp4"
    place_of = {"file_id": uri} if own else {"url": uri}
    return Media(kind_of(type_), type_, signature=signature, **place_of)  # type: ignore[arg-type]


def _call(value: dict[str, Any], signature: Signature | None) -> ToolCall:
    name = string(value.get("name"), "name")
    id = optional_string(value.get("id"), "id") or ""
    return ToolCall(id, name, read_arguments(value.get("args"), "args"), signature=signature)


def _response(value: dict[str, Any], signature: Signature | None) -> ToolResult:
    name = string(value.get("name"), "name")
    content, error = _response_text(value.get("response"))
    media = read_parts(value.get("parts"))
    if media:
        return ToolResult(value.get("id") or "", [*([Text(content)] if content else []), *media], name, error)
    return ToolResult(value.get("id") or "", content, name, error)


def _response_text(response: Any) -> tuple[str, bool]:
    """(text, error) of ``response``: Google's keys are ``output`` and ``error``, its SDKs write ``result``."""
    if response is None:
        return "", False
    error = False
    if isinstance(response, dict) and len(response) == 1:
        key = next(iter(response))
        if key in ("output", "result", "error"):
            response, error = response[key], key == "error"
    return (response if isinstance(response, str) else orjson.dumps(response).decode()), error


_READERS: Final[dict[str, Callable[[dict[str, Any], Signature | None], Part]]] = {
    "functionCall": _call,
    "function_call": _call,
    "functionResponse": _response,
    "function_response": _response,
    "inlineData": _inline,
    "inline_data": _inline,
    "fileData": _file,
    "file_data": _file,
}
