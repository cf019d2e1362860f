"""What Anthropic streams, said in a few words: events, and what a client of another format reads of them."""

import json
from typing import Any

from router_core.formats import Format
from tests.router_core.formats import clients
from tests.router_core.formats.translated import events

OTHERS = (Format.OPENAI_CHAT, Format.OPENAI_RESPONSES, Format.GEMINI)
TEXT = {"type": "text", "text": ""}


def stream(*values: dict[str, Any]) -> bytes:
    return "".join(f"event: {value['type']}\ndata: {json.dumps(value)}   \n\n" for value in values).encode()


def start(**usage: int) -> dict[str, Any]:
    usage = usage or {"input_tokens": 5, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": []}
    return {"type": "message_start", "message": {**message, "usage": usage}}


def block(
    index: int, native: dict[str, Any], *deltas: dict[str, Any], open: bool = False
) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": native},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        *([] if open else [{"type": "content_block_stop", "index": index}]),
    ]


def said(text: str) -> dict[str, Any]:
    return {"type": "text_delta", "text": text}


def given(text: str) -> dict[str, Any]:
    return {"type": "input_json_delta", "partial_json": text}


def tool(id: str, name: str = "f") -> dict[str, Any]:
    return {"type": "tool_use", "id": id, "name": name, "input": {}, "caller": {"type": "direct"}}


def end(reason: str | None = "end_turn", details: Any = None, **usage: Any) -> list[dict[str, Any]]:
    delta = {"stop_reason": reason, "stop_sequence": None, "stop_details": details}
    usage = usage or {"output_tokens": 9}
    return [{"type": "message_delta", "delta": delta, "usage": usage}, {"type": "message_stop"}]


def read(client: Format, *values: Any) -> Any:
    return clients.read(client, events(client, Format.ANTHROPIC, stream(*values)), streaming=True)
