"""Parts of Gemini contents in requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

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
from router_core.formats.shape import array, mapping, string


def read_parts(parts: Any, place: str) -> list[Part]:
    """The parts of one content; opaque reasoning of other formats becomes a part of its own."""
    if isinstance(parts, dict):
        parts = [parts]
    read: list[Part] = []
    for number, native in enumerate(array(parts or [], place)):
        if isinstance(native, str):
            native = {"text": native}
        signature, thought = _signature(mapping(native, f"{place}[{number}]"))
        if signature is not None and signature.origin is not Format.GEMINI:
            _carried(read, signature, thought)
            signature = None
        part = _read_part(native, f"{place}[{number}]", signature)
        if part is not None:
            read.append(part)
    return read


def _signature(native: dict[str, Any]) -> tuple[Signature | None, str | None]:
    value = get(native, "thoughtSignature")
    if not isinstance(value, str) or not value:
        return None, None
    carried = carrier.unpack(value)
    if carried is not None:
        return carried
    return Signature(Format.GEMINI, value), None


def _carried(read: list[Part], signature: Signature, thought: str | None) -> None:
    """Puts another format's reasoning before the part that carried it."""
    last = read[-1] if read else None
    if type(last) is Thinking and last.signature is None and last.text:
        last.signature = signature
    else:
        read.append(Thinking(thought or "", signature, redacted=not thought))


def _read_part(native: dict[str, Any], place: str, signature: Signature | None) -> Part | None:
    text = native.get("text")
    if isinstance(text, str):
        if native.get("thought"):
            return Thinking(text, signature)
        return Text(text, signature=signature) if text or signature else None
    for name, read in _READERS.items():
        value = get(native, name)
        if isinstance(value, dict):
            return read(value, f"{place}.{name}", signature)
    for name in ("executableCode", "codeExecutionResult", "toolCall", "toolResponse"):
        if get(native, name) is not None:
            return ServerTool("code_execution", "", native=(Format.GEMINI, native))
    if signature is not None:
        return Text("", signature=signature)
    if not native.keys() - {"thought", "thoughtSignature", "thought_signature", "videoMetadata"}:
        return None
    raise Malformed(f"{place}: no known kind of part")


def _inline(value: dict[str, Any], place: str, signature: Signature | None) -> Media:
    type_ = get(value, "mimeType")
    data = string(value.get("data"), f"{place}.data")
    # Google's clients write URL-safe base64, which only they read.
    data = data.replace("-", "+").replace("_", "/")
    name = get(value, "displayName")
    return Media(kind_of(type_), type_, data=data, name=name, signature=signature)  # type: ignore[arg-type]


def _file(value: dict[str, Any], place: str, signature: Signature | None) -> Media:
    uri = string(get(value, "fileUri"), f"{place}.fileUri")
    type_ = get(value, "mimeType") or guess(uri)
    own = "generativelanguage.googleapis.com" in uri or uri.startswith(("gs://", "files/"))
    place_of = {"file_id": uri} if own else {"url": uri}
    return Media(kind_of(type_), type_, signature=signature, **place_of)  # type: ignore[arg-type]


def _call(value: dict[str, Any], place: str, signature: Signature | None) -> ToolCall:
    name = string(value.get("name"), f"{place}.name")
    return ToolCall(value.get("id") or "", name, value.get("args") or {}, signature=signature)


def _response(value: dict[str, Any], place: str, signature: Signature | None) -> ToolResult:
    name = string(value.get("name"), f"{place}.name")
    content, error = _response_text(value.get("response"))
    media = read_parts(value.get("parts"), f"{place}.parts")
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


_READERS: Final[dict[str, Callable[[dict[str, Any], str, Signature | None], Part]]] = {
    "functionCall": _call,
    "functionResponse": _response,
    "inlineData": _inline,
    "fileData": _file,
}
