"""OpenAI Responses: https://platform.openai.com/docs/api-reference/responses-streaming"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from router_core.fold.events import Named, UnfoldError, new_event
from router_core.json_document import Json
from router_core.sse import Event

_ENDS: Final = frozenset({"response.completed", "response.incomplete", "response.done", "response.cancelled"})


def fold(events: list[Named]) -> Json:
    """The response that the last event holds, its output filled in where it is empty; None without an end."""
    items: dict[int, Json] = {}
    response: dict[str, Any] | None = None
    for name, value in events:
        kind = value.get("type") or name
        if kind == "response.output_item.done":
            items[value.get("output_index", len(items))] = value["item"]
        elif kind in _ENDS:
            response = value["response"]
    if response is not None and not response.get("output") and items:
        response = response | {"output": [items[index] for index in sorted(items)]}
    return response


def unfold(body: Json) -> list[Event]:
    """The events that `body` would have come as."""
    if not isinstance(body, dict) or not isinstance(body.get("output"), list):
        raise UnfoldError("The upstream's answer is no response.", is_error=isinstance(body, dict))
    begun = body | {"status": "in_progress", "output": [], "usage": None}
    values: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
    ]
    for index, item in enumerate(body["output"]):
        values += _item(index, item)
    end = "response.incomplete" if body.get("status") == "incomplete" else "response.completed"
    values.append({"type": end, "response": body})
    return [new_event(v["type"], v | {"sequence_number": i}) for i, v in enumerate(values)]


def _item(index: int, item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    where = {"output_index": index, "item_id": item.get("id", "")}
    kind = item.get("type")
    empty = item | ({"status": "in_progress"} if "status" in item else {})
    for key, hollow in (("content", []), ("summary", []), ("arguments", ""), ("input", "")):
        if isinstance(item.get(key), type(hollow)):
            empty[key] = hollow
    yield {"type": "response.output_item.added", "output_index": index, "item": empty}
    if kind == "message":
        for i, part in enumerate(item.get("content") or ()):
            yield from _content(where | {"content_index": i}, part)
    elif kind == "reasoning":
        for i, part in enumerate(item.get("summary") or ()):
            yield from _summary(where | {"summary_index": i}, part)
    elif kind == "function_call":
        text = item.get("arguments", "")
        yield {"type": "response.function_call_arguments.delta", **where, "delta": text}
        yield {
            "type": "response.function_call_arguments.done",
            **where,
            "name": item.get("name"),
            "arguments": text,
        }
    elif kind == "custom_tool_call":
        text = item.get("input", "")
        yield {"type": "response.custom_tool_call_input.delta", **where, "delta": text}
        yield {"type": "response.custom_tool_call_input.done", **where, "input": text}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _content(where: dict[str, Any], part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    key = "refusal" if part.get("type") == "refusal" else "text"
    name = "refusal" if key == "refusal" else "output_text"
    text = part.get(key, "")
    logprobs: dict[str, Any] = {"logprobs": part.get("logprobs") or []} if key == "text" else {}
    yield {
        "type": "response.content_part.added",
        **where,
        "part": part | {key: ""} | {name: [] for name in logprobs},
    }
    yield {"type": f"response.{name}.delta", **where, "delta": text, **logprobs}
    for i, annotation in enumerate(part.get("annotations") or ()):
        yield {
            "type": "response.output_text.annotation.added",
            **where,
            "annotation_index": i,
            "annotation": annotation,
        }
    yield {"type": f"response.{name}.done", **where, key: text, **logprobs}
    yield {"type": "response.content_part.done", **where, "part": part}


def _summary(where: dict[str, Any], part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    text = part.get("text", "")
    yield {"type": "response.reasoning_summary_part.added", **where, "part": part | {"text": ""}}
    yield {"type": "response.reasoning_summary_text.delta", **where, "delta": text}
    yield {"type": "response.reasoning_summary_text.done", **where, "text": text}
    yield {"type": "response.reasoning_summary_part.done", **where, "part": part}
