"""Ollama's chat, as its clients read it: https://github.com/ollama/ollama/blob/main/docs/api.md"""

from __future__ import annotations

from typing import Any

from router_core.fold.events import Named, UnfoldError, concatenated, new_event
from router_core.json_document import Json
from router_core.sse import Event


def fold(events: list[Named]) -> Json:
    """The answer, or None where the stream holds no line."""
    body: dict[str, Any] = {}
    message: dict[str, Any] = {}
    for _, value in events:
        if isinstance(value, dict):
            for key, item in (value.get("message") or {}).items():
                message[key] = item if key == "role" else concatenated(message.get(key), item)
            body |= {k: v for k, v in value.items() if k != "message"}
    return body | {"message": message} if body else None


def unfold(body: Json) -> list[Event]:
    """One line that says it all, and one that ends it."""
    if not isinstance(body, dict) or not isinstance(body.get("message"), dict):
        raise UnfoldError("The upstream's answer is no message.", is_error=isinstance(body, dict))
    base = {k: v for k, v in body.items() if k in ("model", "created_at")}
    said = base | {"message": body["message"], "done": False}
    ended = body | {
        "message": {"role": body["message"].get("role", "assistant"), "content": ""},
        "done": True,
    }
    return [new_event(None, said), new_event(None, ended)]
