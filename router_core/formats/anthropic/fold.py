"""Anthropic's stream of events into its JSON message, and back; native fields are kept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from router_core.formats.shape import arguments_object


class Folder:
    """Builds the message from the events of a stream; `document` may be asked for at any time."""

    def __init__(self) -> None:
        self._message: dict[str, Any] = {}
        self._blocks: dict[int, dict[str, Any]] = {}
        self._order: list[dict[str, Any]] = []
        self._texts: dict[int, list[str]] = {}
        self._error: dict[str, Any] | None = None

    def feed(self, event: dict[str, Any]) -> None:
        match event.get("type"):
            case "content_block_delta":
                self._delta(event.get("index", -1), event.get("delta") or {})
            case "content_block_start":
                self._start(event.get("index", -1), event.get("content_block") or {})
            case "content_block_stop":
                self._stop(event.get("index", -1))
            case "message_start":
                self._message_start(event.get("message") or {})
            case "message_delta":
                self._message.update((k, v) for k, v in (event.get("delta") or {}).items() if v is not None)
                for key in ("context_management",):
                    if event.get(key) is not None:
                        self._message[key] = event[key]
                usage = self._message.setdefault("usage", {})
                usage.update((k, v) for k, v in (event.get("usage") or {}).items() if v is not None)
            case "error":
                self._error = event

    @property
    def error(self) -> dict[str, Any] | None:
        """The error event that ended the stream."""
        return self._error

    @property
    def document(self) -> dict[str, Any]:
        for number in list(self._blocks):
            self._stop(number)
        message: dict[str, Any] = {
            "type": "message",
            "role": "assistant",
            "stop_reason": None,
            "stop_sequence": None,
        }
        message.update(self._message)
        message["content"] = list(self._order)
        return message

    def _message_start(self, message: dict[str, Any]) -> None:
        if self._message:
            if not self._order:
                return
            # A gateway began the answer again: blocks under way are void.
            for block in self._blocks.values():
                self._order[:] = [kept for kept in self._order if kept is not block]
            self._blocks.clear()
            self._texts.clear()
        self._message.update(message)
        self._order += self._message.pop("content", None) or []

    def _start(self, number: int, block: dict[str, Any]) -> None:
        if number in self._blocks:
            return
        block = dict(block)
        self._blocks[number] = block
        self._order.append(block)
        self._texts[number] = []

    def _delta(self, number: int, delta: dict[str, Any]) -> None:
        type_ = delta.get("type")
        if number not in self._blocks:
            opening: dict[str, Any] = {"text_delta": {"type": "text", "text": ""}}.get(
                type_ or "", {"type": "thinking", "thinking": "", "signature": ""}
            )
            if type_ not in ("text_delta", "thinking_delta"):
                return
            self._start(number, opening)
        block = self._blocks[number]
        if type_ == "signature_delta":
            block["signature"] = delta.get("signature")
        elif type_ == "citations_delta":
            block["citations"] = [*(block.get("citations") or ()), delta.get("citation")]
        elif type_ == "compaction_delta":
            block["content"] = (block.get("content") or "") + (delta.get("content") or "")
        else:
            for key in ("text", "thinking", "partial_json"):
                if delta.get(key):
                    self._texts[number].append(delta[key])

    def _stop(self, number: int) -> None:
        block = self._blocks.pop(number, None)
        if block is None:
            return
        text = "".join(self._texts.pop(number))
        match block.get("type"):
            case "text":
                block["text"] = (block.get("text") or "") + text
            case "thinking":
                block["thinking"] = (block.get("thinking") or "") + text
            case _ if text:
                block["input"] = arguments_object(text)


def fold(events: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The message that `events` amount to, or the error that ended them."""
    folder = Folder()
    for event in events:
        folder.feed(event)
    return folder.error or folder.document


def unfold(message: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of a stream that amounts to `message`."""
    if message.get("type") == "error":
        return [message]
    opening = {**message, "content": [], "stop_reason": None, "stop_sequence": None}
    usage = message.get("usage") or {}
    opening["usage"] = {**usage, "output_tokens": 0}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": opening}]
    for index, block in enumerate(message.get("content") or ()):
        empty, deltas = _split(block)
        events.append({"type": "content_block_start", "index": index, "content_block": empty})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    closing = {
        key: message[key]
        for key in ("stop_reason", "stop_sequence", "stop_details", "container")
        if key in message
    }
    return [*events, {"type": "message_delta", "delta": closing, "usage": usage}, {"type": "message_stop"}]


def _split(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """(the block as it starts, its deltas)."""
    match block.get("type"):
        case "text":
            deltas = [{"type": "text_delta", "text": block["text"]}] if block.get("text") else []
            cited = [{"type": "citations_delta", "citation": c} for c in block.get("citations") or ()]
            empty = {**block, "text": ""}
            if cited:
                empty["citations"] = []
            return empty, cited + deltas
        case "thinking":
            deltas = (
                [{"type": "thinking_delta", "thinking": block["thinking"]}] if block.get("thinking") else []
            )
            if block.get("signature"):
                deltas.append({"type": "signature_delta", "signature": block["signature"]})
            return {**block, "thinking": "", "signature": ""}, deltas
        case "tool_use" | "server_tool_use":
            text = orjson.dumps(block.get("input") or {}).decode()
            return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": text}]
    return block, []


def encode(event: dict[str, Any]) -> bytes:
    """One event as it goes over the wire."""
    return b"event: %s\ndata: %s\n\n" % (event["type"].encode(), orjson.dumps(event))
