"""OpenAI Chat Completions and look-alikes: https://platform.openai.com/docs/api-reference/chat-streaming"""

from __future__ import annotations

from typing import Any, Final

from router_core.fold.events import Named, UnfoldError, concatenated, new_event
from router_core.json_document import Json
from router_core.sse import Event, encode

_REPLACED: Final = frozenset({"role", "obfuscation"})
_DONE: Final = Event(encode(None, b"[DONE]"), None, b"[DONE]", parsed=True)


def fold(events: list[Named]) -> Json:
    """The completion, or None where the stream holds no chunk."""
    body: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    for _, value in events:
        if not isinstance(value, dict) or not isinstance(value.get("choices"), list):
            continue
        for key, item in value.items():
            # Azure's first chunk has an empty id and model, and created 0.
            if key not in ("choices", "obfuscation") and (key not in body or item not in (None, "", 0)):
                body[key] = item
        for position, chunk in enumerate(value["choices"]):
            _extend(choices, chunk, position)
    if not body and not choices:
        return None
    body["object"] = "chat.completion"
    completed = {"choices": [_completed(choices[index]) for index in sorted(choices)]}
    usage = {"usage": body.pop("usage")} if body.get("usage") is not None else {}
    body.pop("usage", None)
    return body | completed | usage


def _extend(choices: dict[int, dict[str, Any]], chunk: dict[str, Any], position: int) -> None:
    index = chunk.get("index")
    index = index if isinstance(index, int) else position
    choice = choices.setdefault(index, {"index": index, "message": {"role": "assistant", "content": None}})
    message = choice["message"]
    for key, item in (chunk.get("delta") or {}).items():
        if key == "tool_calls":
            _extend_calls(message.setdefault("tool_calls", []), item or [])
        elif key == "content":
            message["content"] = _content(message["content"], item)
        elif key == "function_call" and isinstance(item, dict):
            call = message.setdefault("function_call", {})
            message["function_call"] = call | {k: concatenated(call.get(k), v) for k, v in item.items()}
        elif key == "reasoning_details" and isinstance(item, list):
            _extend_details(message.setdefault("reasoning_details", []), item)
        elif key in _REPLACED:
            message[key] = item or message.get(key)
        elif item is not None or key not in message:
            message[key] = concatenated(message.get(key), item)
    for key, item in chunk.items():
        if key == "logprobs" and isinstance(item, dict):
            old = choice.get("logprobs") or {}
            choice["logprobs"] = old | {k: concatenated(old.get(k), v) for k, v in item.items()}
        elif key not in ("delta", "index") and (item is not None or key not in choice):
            choice[key] = item


def _content(old: Json, new: Json) -> Json:
    """Texts are joined. Mistral's parts (thinking, text) may be followed by plain text in the same stream."""
    if isinstance(old, list) and isinstance(new, str):
        new = [{"type": "text", "text": new}] if new else []
    elif isinstance(old, str) and isinstance(new, list):
        old = [{"type": "text", "text": old}] if old else []
    if not (isinstance(old, list) and isinstance(new, list)):
        return concatenated(old, new)
    parts = list(old)
    for part in new:
        last = parts[-1] if parts else {}
        if part.get("type") == "text" and last.get("type") == "text":
            parts[-1] = last | {"text": last.get("text", "") + part.get("text", "")}
        elif part.get("type") == "thinking" and last.get("type") == "thinking":
            parts[-1] = last | {"thinking": _content(last.get("thinking", []), part.get("thinking", []))}
        else:
            parts.append(part)
    return parts


def _extend_calls(calls: list[dict[str, Any]], deltas: list[dict[str, Any]]) -> None:
    for delta in deltas:
        call = _call_for(calls, delta)
        if call is None:
            call = {"index": delta.get("index")}
            calls.append(call)
        for key, item in delta.items():
            if key == "function" and isinstance(item, dict):
                function = call.setdefault("function", {})
                for k, v in item.items():
                    # Names come whole; some repeat them in every chunk.
                    function[k] = (
                        concatenated(function.get(k), v) if k == "arguments" else v or function.get(k)
                    )
            elif key == "custom" and isinstance(item, dict):
                custom = call.setdefault("custom", {})
                for k, v in item.items():
                    custom[k] = concatenated(custom.get(k), v) if k == "input" else v or custom.get(k)
            elif item not in (None, ""):
                call[key] = item


def _call_for(calls: list[dict[str, Any]], delta: dict[str, Any]) -> dict[str, Any] | None:
    """The call that `delta` continues: the same index and no other id. Some give no index, or one to all."""
    index, id = delta.get("index"), delta.get("id")
    for call in reversed(calls):
        same_id = not id or not call.get("id") or call["id"] == id
        if same_id and (index is None or call["index"] == index):
            return None if index is None and id and call.get("id") != id else call
    return None


def _extend_details(details: list[dict[str, Any]], deltas: list[dict[str, Any]]) -> None:
    """OpenRouter's pieces of one detail share index and type."""
    for delta in deltas:
        same = next((d for d in details if d.get("index") == delta.get("index") and d.get("type") == delta.get("type")), None)  # fmt: skip
        if same is None or delta.get("index") is None:
            details.append(dict(delta))
            continue
        for key, item in delta.items():
            same[key] = concatenated(same.get(key), item) if key in ("text", "summary", "data") else (item if item is not None else same.get(key))  # fmt: skip


def _completed(choice: dict[str, Any]) -> dict[str, Any]:
    for call in choice["message"].get("tool_calls") or ():
        call.pop("index", None)
        call.setdefault("type", "function")
        if call["type"] == "function":
            function = call.setdefault("function", {})
            function["arguments"] = function.get("arguments") or "{}"
    return choice | {"finish_reason": choice.get("finish_reason")}


def unfold(body: Json) -> list[Event]:
    """The chunks that `body` would have come as, with usage in one of its own."""
    if not isinstance(body, dict) or not isinstance(body.get("choices"), list):
        raise UnfoldError("The upstream's answer is no completion.", is_error=isinstance(body, dict))
    base = {k: v for k, v in body.items() if k not in ("choices", "usage")} | {
        "object": "chat.completion.chunk"
    }
    said, ended = [], []
    for choice in body["choices"]:
        message = dict(choice.get("message") or {})
        if message.get("tool_calls"):
            message["tool_calls"] = [{"index": i} | c for i, c in enumerate(message["tool_calls"])]
        index = choice.get("index", 0)
        rest = {k: v for k, v in choice.items() if k not in ("message", "index", "finish_reason")}
        said.append({"index": index, "delta": message} | rest | {"finish_reason": None})
        ended.append({"index": index, "delta": {}, "finish_reason": choice.get("finish_reason")})
    chunks = [base | {"choices": [c]} for c in (*said, *ended)]
    if body.get("usage") is not None:
        chunks.append(base | {"choices": [], "usage": body["usage"]})
    return [*(new_event(None, chunk) for chunk in chunks), _DONE]
