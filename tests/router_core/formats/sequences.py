"""What the order of a stream's events must be, by the format's own rules; no client library is so strict."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from router_core.formats import Format
from router_core.sse import EventReader


@dataclass
class Said:
    """What a stream said, and whether it ended with an error."""

    text: str = ""
    reasoning: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    """(name, parsed arguments), or free text where the tool is a custom one."""
    cut: bool = False
    """The answer ended at a limit, so that its last call may be cut off."""
    failed: bool = False


def read(format: Format, body: bytes) -> Said:
    """What `body` says. Raises AssertionError where its events do not follow the format's rules."""
    return _READERS[format](documents(body))


def documents(body: bytes) -> list[Any]:
    """The values of a stream's events; "[DONE]" for itself. Every event must be whole, and named if it has a type."""
    reader = EventReader()
    events = [*reader.feed(body), *reader.close()]
    found = []
    for event in events:
        if event.data is None:
            assert event.raw.startswith(b":")
            continue
        value = "[DONE]" if event.data == b"[DONE]" else json.loads(event.data)
        if event.name is not None:
            assert value["type"] == event.name
        found.append(value)
    return found


def _arguments(text: str, said: Said) -> Any:
    if not text:
        return {}
    try:
        value = json.loads(text)
    except ValueError:
        assert said.cut, f"arguments are no JSON: {text[:200]}"
        return text
    assert isinstance(value, dict), f"arguments are no object: {text[:200]}"
    return value


_DELTAS = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "signature_delta": ("thinking", "signature"),
    "input_json_delta": ("tool_use", "partial_json"),
    "citations_delta": ("text", "citation"),
}


def _anthropic(events: list[Any]) -> Said:
    said = Said()
    calls: list[tuple[str, str]] = []
    kind: str | None = None
    count = -1
    state = "new"
    for event in events:
        assert state not in ("over", "failed"), f"{event} after the end"
        match event["type"]:
            case "ping":
                continue
            case "error":
                assert event["error"]["type"] and event["error"]["message"]
                said.failed, state = True, "failed"
            case "message_start":
                assert state == "new"
                assert event["message"]["role"] == "assistant" and event["message"]["content"] == []
                state = "open"
            case "content_block_start":
                assert state == "open" and kind is None and event["index"] == count + 1
                count += 1
                block = event["content_block"]
                kind = block["type"]
                if kind == "tool_use":
                    assert block["id"] and block["name"] and block["input"] == {}
                    assert block["id"] not in [id for id, *_ in calls]
                    calls.append((block["id"], block["name"], ""))  # type: ignore[arg-type]
            case "content_block_delta":
                assert state == "open" and event["index"] == count
                delta = event["delta"]
                expected, name = _DELTAS[delta["type"]]
                assert kind == expected or (kind == "server_tool_use" and name == "partial_json")
                if kind == "text":
                    said.text += delta.get("text", "")
                elif kind == "thinking":
                    said.reasoning += delta.get("thinking", "")
                elif kind == "tool_use":
                    id, tool, text = calls[-1]  # type: ignore[misc]
                    calls[-1] = (id, tool, text + delta["partial_json"])  # type: ignore[assignment]
            case "content_block_stop":
                assert state == "open" and kind is not None and event["index"] == count
                kind = None
            case "message_delta":
                assert state == "open" and kind is None
                reason = event["delta"]["stop_reason"]
                assert reason
                assert (reason == "tool_use") <= bool(calls)
                said.cut = reason in ("max_tokens", "model_context_window_exceeded", "refusal", "pause_turn")
                assert event["usage"]["output_tokens"] >= 0
                state = "told"
            case "message_stop":
                assert state == "told"
                state = "over"
            case other:
                raise AssertionError(other)
    assert state in ("over", "failed"), f"the stream is left {state}"
    if not said.failed:
        said.calls = [(tool, _arguments(text, said)) for _, tool, text in calls]  # type: ignore[misc]
    return said


def _chat(events: list[Any]) -> Said:
    said = Said()
    if not events or events[-1] != "[DONE]":
        raise AssertionError("no [DONE]")
    *chunks, _ = events
    assert "[DONE]" not in chunks
    calls: dict[tuple[int, int], list[str]] = {}
    finished: dict[int, str] = {}
    begun: set[int] = set()
    ids = set()
    for number, chunk in enumerate(chunks):
        if "error" in chunk:
            assert number == len(chunks) - 1 and chunk["error"]["message"]
            said.failed = True
            continue
        ids.add(chunk["id"])
        assert chunk["object"] == "chat.completion.chunk"
        if not chunk["choices"]:
            assert number == len(chunks) - 1 and chunk["usage"]
        for choice in chunk["choices"]:
            index, delta = choice["index"], choice["delta"]
            assert index not in finished
            assert ("role" in delta) == (index not in begun)
            begun.add(index)
            if index == 0:
                said.text += (delta.get("content") or "") + (delta.get("refusal") or "")
                said.reasoning += delta.get("reasoning_content") or ""
            for call in delta.get("tool_calls", ()):
                key = (index, call["index"])
                if key not in calls:
                    assert call["index"] == sum(i == index for i, _ in calls)
                    assert call["id"] and call["function"]["name"]
                    calls[key] = [call["function"]["name"], ""]
                else:
                    assert "id" not in call
                calls[key][1] += call["function"]["arguments"]
            if choice["finish_reason"]:
                finished[index] = choice["finish_reason"]
    assert len(ids) <= 1
    said.cut = finished.get(0) in ("length", "content_filter")
    if not said.failed:
        assert set(finished) == begun and 0 in begun
        found = [call for (index, _), call in calls.items() if index == 0]
        assert (finished[0] == "tool_calls") <= bool(found)
        said.calls = [(name, _arguments(text, said)) for name, text in found]
    return said


def _responses(events: list[Any]) -> Said:
    said = Said()
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    items: list[Any] = []
    open_item: Any = None
    pieces = ""
    done: str | None = None
    state = "open"
    for event in events[2:]:
        assert state != "over", f"{event} after the end"
        type_ = event["type"]
        if "output_index" in event:
            assert event["output_index"] == len(items)
        if "item_id" in event:
            assert open_item is not None and event["item_id"] == open_item["id"]
        if state == "failed":
            assert type_ == "response.failed"
        match type_.removeprefix("response."):
            case "output_item.added":
                assert open_item is None
                open_item, pieces, done = event["item"], "", None
            case "output_item.done":
                item = event["item"]
                assert (
                    open_item is not None
                    and item["id"] == open_item["id"]
                    and item["type"] == open_item["type"]
                )
                if item["type"] in ("function_call", "custom_tool_call"):
                    text = item.get("arguments", item.get("input"))
                    assert text == pieces == done
                items.append(item)
                open_item = None
            case "content_part.added" | "reasoning_summary_part.added":
                pieces, done = "", None
            case "function_call_arguments.delta" | "custom_tool_call_input.delta" | "output_text.delta" | "refusal.delta" | "reasoning_summary_text.delta":  # fmt: skip
                assert done is None
                pieces += event["delta"]
            case "function_call_arguments.done" | "custom_tool_call_input.done" | "output_text.done" | "refusal.done" | "reasoning_summary_text.done":  # fmt: skip
                done = event.get("arguments", event.get("text", event.get("input", event.get("refusal"))))
                assert done == pieces
            case "content_part.done" | "reasoning_summary_part.done":
                part = event["part"]
                assert part.get("text", part.get("refusal")) == done
            case "output_text.annotation.added":
                pass
            case "completed" | "incomplete":
                assert open_item is None
                response = event["response"]
                assert response["output"] == items
                assert response["status"] == type_.removeprefix("response.")
                said.cut = type_ == "response.incomplete"
                state = "over"
            case "failed":
                assert event["response"]["error"]["message"] and state == "failed"
                state = "over"
            case "error":
                assert event["message"]
                state, said.failed = "failed", True
            case other:
                raise AssertionError(other)
    assert state == "over", f"the stream is left {state}"
    for item in items if not said.failed else ():
        match item["type"]:
            case "message":
                said.text += "".join(b.get("text", b.get("refusal", "")) for b in item["content"])
            case "function_call":
                said.calls.append((item["name"], _arguments(item["arguments"], said)))
            case "custom_tool_call":
                said.calls.append((item["name"], item["input"]))
            case "reasoning":
                said.reasoning += "".join(block["text"] for block in item["summary"])
    return said


def _gemini(events: list[Any]) -> Said:
    said = Said()
    finished: set[int] = set()
    for number, chunk in enumerate(events):
        if "error" in chunk:
            assert number == len(events) - 1 and chunk["error"]["message"] and chunk["error"]["status"]
            said.failed = True
            continue
        for candidate in chunk["candidates"]:
            index = candidate["index"]
            assert index not in finished
            for part in candidate["content"]["parts"]:
                if index:
                    continue
                if "functionCall" in part:
                    assert isinstance(part["functionCall"]["args"], dict) and part["functionCall"]["name"]
                    said.calls.append((part["functionCall"]["name"], part["functionCall"]["args"]))
                elif part.get("thought"):
                    said.reasoning += part["text"]
                else:
                    said.text += part.get("text", "")
            if candidate.get("finishReason"):
                finished.add(index)
                said.cut |= candidate["finishReason"] in ("MAX_TOKENS", "SAFETY")
    assert said.failed or 0 in finished, "no finishReason"
    if said.failed:
        said.calls = []
    return said


_READERS = {
    Format.ANTHROPIC: _anthropic,
    Format.OPENAI_CHAT: _chat,
    Format.OPENAI_RESPONSES: _responses,
    Format.GEMINI: _gemini,
}
