"""What hosts of Chat Completions stream, said in a few words: chunks, and what a client of another format reads of them."""

import json
from typing import Any

from router_core.formats import Format
from tests.router_core.formats import clients
from tests.router_core.formats.translated import events

OTHERS = (Format.ANTHROPIC, Format.OPENAI_RESPONSES, Format.GEMINI)


def stream(*chunks: Any, done: bool = True) -> bytes:
    written = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    return "".join([*written, "data: [DONE]\n\n" if done else ""]).encode()


def delta(reason: str | None = None, index: int = 0, **fields: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": fields, "finish_reason": reason}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def call(
    index: int | None, id: str | None = None, name: str | None = None, text: Any = None
) -> dict[str, Any]:
    function = {key: value for key, value in (("name", name), ("arguments", text)) if value is not None}
    fields: dict[str, Any] = {"function": function}
    if index is not None:
        fields["index"] = index
    if id is not None:
        fields["id"] = id
    return fields


def read(client: Format, *chunks: Any, done: bool = True) -> Any:
    body = stream(*chunks, done=done)
    return clients.read(client, events(client, Format.OPENAI_CHAT, body), streaming=True)
