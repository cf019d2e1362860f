"""OpenAI's Responses API as a server speaks it, over an event stream or over a WebSocket.

On the WebSocket a client sends ``{"type": "response.create", ...}`` and each event is one text message with
the same JSON as the ``data`` of the event stream.
"""

from __future__ import annotations

import json
from typing import Any

from detour.fakes import openai_chat
from detour.fakes.call import Call, Wire, compact, json_reply
from detour.fakes.openai_chat import ERRORS, error, keys, refusal
from detour.fakes.steps import Reply

_ID = "resp_0f2c7e1a9b"
_ITEM = "msg_0f2c7e1a9b"


def check(call: Call) -> Reply | None:
    if call.operation == "list_models" or not keys(call):
        return openai_chat.check(call)
    if not isinstance(call.document, dict):
        return refusal(400, "We could not parse the JSON body of your request.")
    for name in ("model", "input"):
        if name not in call.document:
            message = f"Missing required parameter: '{name}'."
            return refusal(400, message, code="missing_required_parameter", param=name)
    if not isinstance(call.document["model"], str):
        return refusal(
            400, "Invalid type for 'model': expected a string.", code="invalid_type", param="model"
        )
    return None


def answer(call: Call) -> Reply:
    if call.operation == "list_models":
        return openai_chat.model_list()
    if call.operation == "count_tokens":
        return json_reply(200, {"object": "response.input_tokens", "input_tokens": call.prompt_tokens()})
    if not call.stream:
        return json_reply(200, _response(call, "completed"))
    headers = (("Content-Type", "text/event-stream; charset=utf-8"), ("x-request-id", "req_5b1f4d4a9c1e"))
    events = _events(call)
    parts = tuple(f"event: {e['type']}\ndata: {compact(e)}\n\n".encode() for e in events)
    content = len(call.words())
    return Reply(200, headers, parts, 4, content, "chunked")


def stream_error(call: Call, variety: str) -> bytes:
    """`variety`: ``failed`` (response.failed alone), ``flat`` (the documented error event) or a nested error."""
    kind, code, message = ERRORS[503]
    event: dict[str, Any]
    if variety == "failed":
        failure = {"code": "server_error", "message": message}
        event = {"type": "response.failed", "response": {**_response(call, "failed"), "error": failure}}
    elif variety == "flat":
        event = {"type": "error", "code": "server_error", "message": message, "param": None}
    else:
        event = {"type": "error", "error": {"type": kind, "code": code, "message": message, "param": None}}
    return f"event: {event['type']}\ndata: {compact({**event, 'sequence_number': 2})}\n\n".encode()


def messages(parts: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """The WebSocket messages that carry the events of an event stream's `parts`."""
    return tuple(p.split(b"data: ", 1)[1].rstrip() for p in parts)


def unwrap(message: str) -> Any:
    """The request in a client's WebSocket message, or None when it is none.

    Codex writes the fields beside ``type``; the documentation's first form nested them in ``response``.
    """
    try:
        document = json.loads(message)
    except ValueError:
        return None
    if not isinstance(document, dict) or document.get("type") != "response.create":
        return None
    nested = document.get("response")
    fields = nested if isinstance(nested, dict) else document
    return {k: v for k, v in fields.items() if k != "type"}


def _events(call: Call) -> list[dict[str, Any]]:
    place = {"item_id": _ITEM, "output_index": 0, "content_index": 0}
    empty = {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}
    full = {**empty, "text": call.text}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": _response(call, "in_progress")},
        {"type": "response.in_progress", "response": _response(call, "in_progress")},
        {"type": "response.output_item.added", "output_index": 0, "item": _item("in_progress", [])},
        {"type": "response.content_part.added", **place, "part": empty},
        *({"type": "response.output_text.delta", **place, "delta": w, "logprobs": []} for w in call.words()),
        {"type": "response.output_text.done", **place, "text": call.text, "logprobs": []},
        {"type": "response.content_part.done", **place, "part": full},
        {"type": "response.output_item.done", "output_index": 0, "item": _item("completed", [full])},
        {"type": "response.completed", "response": _response(call, "completed")},
    ]
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def _item(status: str, content: list[Any]) -> dict[str, Any]:
    return {"id": _ITEM, "type": "message", "status": status, "content": content, "role": "assistant"}


def _response(call: Call, status: str) -> dict[str, Any]:
    done = status == "completed"
    text = {"type": "output_text", "annotations": [], "logprobs": [], "text": call.text}
    prompt, output = call.prompt_tokens(), len(call.words())
    usage = {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": prompt + output,
    }
    return {
        "id": _ID,
        "object": "response",
        "created_at": 1762300000,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "model": call.model,
        "output": [_item("completed", [text])] if done else [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "store": False,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": usage if done else None,
        "metadata": {},
    }


WIRE = Wire("openai-responses", check, answer, error, stream_error, keys)
