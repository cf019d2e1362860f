"""What a request carries of an account's own state, and how it goes on without.

Answers leave things behind that only the account (or the provider) that made them can read: stored
responses, encrypted reasoning, signed thinking. A follow-up that carries them may move to another account
only when they can be taken out and the request still means the same:

    kind                  where                                      taken out by
    previous_response_id  Responses: a response that is stored       - (the history is there and only there)
    conversation          Responses: a conversation that is stored   -
    item_reference        Responses: an item that is stored          -
    container             Anthropic: files of a code sandbox         -
    thread                Anthropic: a conversation that is stored   -
    encrypted_reasoning   Responses: input[].encrypted_content       dropping the reasoning items
    thinking              Anthropic: thinking and redacted_thinking  dropping the blocks; in the middle of a
                                                                     tool loop the ``thinking`` parameter too
    thought_signature     Gemini: parts[].thoughtSignature           the documented placeholder on calls
    reasoning_details     OpenAI Chat (OpenRouter): messages[]       dropping the field

Sources: platform.openai.com/docs/guides/reasoning (encrypted reasoning items, conversation state);
docs.anthropic.com/en/docs/build-with-claude/extended-thinking (preserving thinking blocks, toggling thinking
modes in conversations); ai.google.dev/gemini-api/docs/thought-signatures (FAQ on histories of other models);
openrouter.ai/docs/use-cases/reasoning-tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from router_core.formats import Format, compaction
from router_core.formats.placeholder import PLACEHOLDER, PLACEHOLDERS

FIXED: Final = frozenset({"previous_response_id", "conversation", "item_reference", "container", "thread"})
"""Kinds that cannot be taken out."""

type Json = Any


@dataclass(frozen=True, slots=True)
class Carried:
    kinds: frozenset[str] = frozenset()
    open_turn: bool = False
    """The model waits for tool results: what it thought belongs to the turn under way."""

    @property
    def fixed(self) -> bool:
        """Whether the request can only go to the account that made its state."""
        return bool(self.kinds & FIXED)


def carried(document: Json, format: Format) -> Carried:
    """The state in a request body of `format`."""
    read = _READERS.get(format)
    return read(document) if read and isinstance(document, dict) else Carried()


def without_state(document: Json, format: Format) -> Json:
    """`document` without the state that can be taken out; what is not touched is shared with it."""
    take = _TAKERS.get(format)
    return take(document) if take and isinstance(document, dict) else document


def _items(value: Json) -> list[dict[str, Json]]:
    return [v for v in value if isinstance(v, dict)] if isinstance(value, list) else []


# -- Anthropic


def _is_thinking(block: Json) -> bool:
    return isinstance(block, dict) and (
        (block.get("type") == "thinking" and bool(block.get("signature")))
        or block.get("type") == "redacted_thinking"
    )


def _has_thinking(message: dict[str, Json]) -> bool:
    return message.get("role") == "assistant" and any(_is_thinking(b) for b in _items(message.get("content")))


def _anthropic_open(messages: list[dict[str, Json]]) -> bool:
    """The last message answers tool calls, so the assistant's turn goes on."""
    last = messages[-1] if messages else {}
    return last.get("role") == "user" and any(
        b.get("type") == "tool_result" for b in _items(last.get("content"))
    )


def _anthropic(document: dict[str, Json]) -> Carried:
    messages = _items(document.get("messages"))
    kinds = {"thinking"} if any(_has_thinking(m) for m in messages) else set()
    if isinstance(document.get("container"), str):
        kinds.add("container")
    thread = document.get("thread")
    if isinstance(thread, dict) and thread.get("type") == "continue":
        kinds.add("thread")
    return Carried(frozenset(kinds), _anthropic_open(messages))


def _without_thinking(document: dict[str, Json]) -> Json:
    messages = document.get("messages")
    if not isinstance(messages, list) or not any(_has_thinking(m) for m in _items(messages)):
        return document
    kept = []
    for message in messages:
        if isinstance(message, dict) and _has_thinking(message):
            content = [b for b in message["content"] if not _is_thinking(b)]
            if not content:
                continue
            message = {**message, "content": content}
        kept.append(message)
    changed = {**document, "messages": kept}
    if _anthropic_open(_items(messages)):
        # With thinking on, a turn that uses tools has to begin with a signed block.
        changed.pop("thinking", None)
    return changed


# -- OpenAI Responses


def _is_encrypted(item: Json) -> bool:
    return (
        isinstance(item, dict)
        and item.get("type") in ("reasoning", "compaction")
        and bool(item.get("encrypted_content"))
    )


def _responses(document: dict[str, Json]) -> Carried:
    items = _items(document.get("input"))
    kinds = {k for k in ("previous_response_id", "conversation") if document.get(k)}
    if any(i.get("type") == "item_reference" for i in items):
        kinds.add("item_reference")
    # A compaction stands for the history that it replaced; reasoning can be done again. Detour's own can be
    # read everywhere.
    if any(_is_encrypted(i) and i["type"] == "compaction" and compaction.unpack(i) is None for i in items):
        kinds.add("item_reference")
    if any(_is_encrypted(i) and i["type"] == "reasoning" for i in items):
        kinds.add("encrypted_reasoning")
    last = items[-1] if items else {}
    return Carried(frozenset(kinds), str(last.get("type", "")).endswith("_output"))


def _without_reasoning(document: dict[str, Json]) -> Json:
    items = document.get("input")
    if not isinstance(items, list):
        return document
    kept = []
    for item in items:
        if _is_encrypted(item) and item["type"] == "reasoning":
            continue
        # An id names an item that the other account has never stored.
        if isinstance(item, dict) and "id" in item and item.get("type") != "item_reference":
            item = {k: v for k, v in item.items() if k != "id"}
        kept.append(item)
    return {**document, "input": kept} if len(kept) != len(items) else document


# -- Gemini


def _signed(part: Json) -> bool:
    if not isinstance(part, dict):
        return False
    signature = part.get("thoughtSignature") or part.get("thought_signature")
    return bool(signature) and signature not in PLACEHOLDERS


def _gemini(document: dict[str, Json]) -> Carried:
    contents = _items(document.get("contents"))
    signed = any(_signed(p) for c in contents for p in _items(c.get("parts")))
    last = _items(contents[-1].get("parts")) if contents else []
    open_turn = any("functionResponse" in p or "function_response" in p for p in last)
    return Carried(frozenset({"thought_signature"}) if signed else frozenset(), open_turn)


def _without_signatures(document: dict[str, Json]) -> Json:
    contents = document.get("contents")
    if not isinstance(contents, list):
        return document
    changed = [_content_without_signatures(c) for c in contents]
    return (
        document
        if all(a is b for a, b in zip(contents, changed, strict=True))
        else {**document, "contents": changed}
    )


def _content_without_signatures(content: Json) -> Json:
    parts = content.get("parts") if isinstance(content, dict) else None
    if not isinstance(parts, list) or not any(_signed(p) for p in parts):
        return content
    kept = []
    for part in parts:
        if _signed(part):
            name = "thoughtSignature" if "thoughtSignature" in part else "thought_signature"
            if "functionCall" in part or "function_call" in part:
                part = {**part, name: PLACEHOLDER}
            else:
                part = {k: v for k, v in part.items() if k != name}
        kept.append(part)
    return {**content, "parts": kept}


# -- OpenAI Chat


def _chat(document: dict[str, Json]) -> Carried:
    messages = _items(document.get("messages"))
    held = any(m.get("reasoning_details") for m in messages)
    last = messages[-1] if messages else {}
    return Carried(frozenset({"reasoning_details"}) if held else frozenset(), last.get("role") == "tool")


def _without_details(document: dict[str, Json]) -> Json:
    messages = document.get("messages")
    if not isinstance(messages, list):
        return document
    changed = [
        {k: v for k, v in m.items() if k != "reasoning_details"}
        if isinstance(m, dict) and m.get("reasoning_details")
        else m
        for m in messages
    ]
    return (
        document
        if all(a is b for a, b in zip(messages, changed, strict=True))
        else {**document, "messages": changed}
    )


_READERS: Final = {
    Format.ANTHROPIC: _anthropic,
    Format.OPENAI_RESPONSES: _responses,
    Format.GEMINI: _gemini,
    Format.OPENAI_CHAT: _chat,
}
_TAKERS: Final = {
    Format.ANTHROPIC: _without_thinking,
    Format.OPENAI_RESPONSES: _without_reasoning,
    Format.GEMINI: _without_signatures,
    Format.OPENAI_CHAT: _without_details,
}
