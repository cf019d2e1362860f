"""Reasoning in Chat Completions, which the format itself does not know: the dialects of its kin.

========================  ==========================================================================
``reasoning_content``     DeepSeek, xAI, Z.ai, Moonshot, Qwen, llama.cpp, vLLM
``reasoning``             OpenRouter, Groq, Cerebras, Ollama
``reasoning_details[]``   OpenRouter: texts with signatures, summaries, encrypted data
``reasoning_text``        GitHub Copilot, with ``reasoning_opaque``, which only its maker can read
``content[].thinking``    Mistral
``<think>`` in the text   open-weight models behind hosts that do not look for it (`think_tags`)
``extra_content.google``  Google's compatible surface: ``thought_signature`` of a call or message
========================  ==========================================================================

A model gets its reasoning back in the field that it came in, and only that model does.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import orjson

from router_core.formats import carrier
from router_core.formats.ir import Format, Part, Signature, Text, Thinking
from router_core.formats.openai_chat import think_tags

CONTENT: Final = "reasoning_content"
SHORT: Final = "reasoning"
DETAILS: Final = "reasoning_details"
TEXT: Final = "reasoning_text"
OPAQUE: Final = "reasoning_opaque"
MISTRAL: Final = "content.thinking"
TAGS: Final = "<think>"
FIELDS: Final = (CONTENT, SHORT, TEXT)
"""Fields of a message that hold reasoning as a string."""

DETAIL_FORMATS: Final = {
    "anthropic-claude-v1": Format.ANTHROPIC,
    "google-gemini-v1": Format.GEMINI,
    "openai-responses-v1": Format.OPENAI_RESPONSES,
}
"""OpenRouter's names for whose reasoning an entry is."""


def plain_text(fields: dict[str, Any]) -> tuple[str, str] | None:
    """(field, text) of the reasoning in a message or delta, None where there is none."""
    for name in FIELDS:
        value = fields.get(name)
        if isinstance(value, str) and value:
            return name, value
    return None


def detail_text(entry: dict[str, Any]) -> str:
    value = entry.get("text") or entry.get("summary")
    return value if isinstance(value, str) else ""


def read_message(message: dict[str, Any]) -> list[Part]:
    """The reasoning of an assistant message in a request."""
    details = message.get(DETAILS)
    parts: list[Part] = []
    for entry in details if isinstance(details, list) else ():
        if isinstance(entry, dict):
            parts += _read_detail(entry)
    if parts:
        return parts
    found = plain_text(message)
    opaque = message.get(OPAQUE)
    opaque = opaque if isinstance(opaque, str) else ""
    if found is None:
        return [Thinking("", opaque_signature(opaque, None), redacted=True)] if opaque else []
    name, text = found
    return [Thinking(text, Signature(Format.OPENAI_CHAT, opaque, dialect=name))]


def read_tags(parts: list[Part]) -> list[Part]:
    """An assistant's texts, the first of which may begin with tagged reasoning."""
    first = parts[0] if parts else None
    if type(first) is not Text or not think_tags.opens(first.text):
        return parts
    thought, answer = think_tags.split(first.text)
    rest = [replace(first, text=answer), *parts[1:]] if answer else parts[1:]
    return [Thinking(thought, Signature(Format.OPENAI_CHAT, "", dialect=TAGS)), *rest]


def _read_detail(entry: dict[str, Any]) -> list[Part]:
    opaque = entry.get("signature") or entry.get("data")
    text = detail_text(entry)
    redacted = entry.get("type") == "reasoning.encrypted"
    if isinstance(opaque, str) and opaque.startswith(carrier.MARK):
        carried = carrier.unpack(opaque)
        return [Thinking(text, carried[0], redacted)] if carried else []
    origin = DETAIL_FORMATS.get(str(entry.get("format")))
    if isinstance(opaque, str) and opaque and origin is not None:
        dialect = carrier.REDACTED if redacted and origin is Format.ANTHROPIC else None
        return [Thinking(text, Signature(origin, opaque, entry.get("id"), dialect), redacted)]
    return [Thinking(text, detail_signature(entry, None), redacted)]


def detail_signature(entry: dict[str, Any], model: str | None) -> Signature:
    """What keeps a whole entry of ``reasoning_details`` for the host that made it."""
    kept = {key: value for key, value in entry.items() if key not in ("text", "summary")}
    return Signature(Format.OPENAI_CHAT, orjson.dumps(kept).decode(), dialect=DETAILS, model=model)


def opaque_signature(opaque: str, model: str | None) -> Signature:
    """GitHub Copilot's proof of a message's reasoning."""
    return Signature(Format.OPENAI_CHAT, opaque, dialect=TEXT, model=model)


def write_message(message: dict[str, Any], thinking: list[Thinking], model: str) -> bool:
    """Puts back the reasoning that this model made, in its own dialect; False if some stayed out."""
    complete = True
    details: list[dict[str, Any]] = []
    texts: dict[str, list[str]] = {}
    for part in thinking:
        signature = part.signature
        if signature is None or signature.origin is not Format.OPENAI_CHAT:
            complete = complete and not (part.text or (signature is not None and signature.data))
        elif signature.model is not None and signature.model != model:
            complete = False
        elif signature.dialect == DETAILS:
            entry = orjson.loads(signature.data)
            if part.text:
                entry["summary" if entry.get("type") == "reasoning.summary" else "text"] = part.text
            details.append({**entry, "index": len(details)})
        else:
            texts.setdefault(signature.dialect or CONTENT, []).append(part.text)
            if signature.dialect == TEXT and signature.data:
                message[OPAQUE] = signature.data
    if details:
        message[DETAILS] = details
    for name, pieces in texts.items():
        if name == MISTRAL:
            block = {"type": "thinking", "thinking": [{"type": "text", "text": t} for t in pieces]}
            content = message.get("content")
            rest = [{"type": "text", "text": content}] if isinstance(content, str) and content else []
            message["content"] = [block, *(content if isinstance(content, list) else rest)]
        elif name == TAGS:
            _tag(message, "".join(pieces))
        elif any(pieces):
            message[name] = "".join(pieces)
    return complete


def _tag(message: dict[str, Any], thought: str) -> None:
    content = message.get("content")
    if isinstance(content, list):
        message["content"] = [{"type": "text", "text": think_tags.join(thought, "")}, *content]
    else:
        message["content"] = think_tags.join(thought, content or "")
