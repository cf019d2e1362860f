"""What the Responses API streams, said in a few words: events, and what a client of another format reads of them."""

import json
from typing import Any

from router_core.formats import Format
from tests.router_core.formats import clients
from tests.router_core.formats.translated import events

OTHERS = (Format.ANTHROPIC, Format.OPENAI_CHAT, Format.GEMINI)


def stream(*values: dict[str, Any], numbered: bool = True) -> bytes:
    lines = []
    for number, value in enumerate(values):
        value = {**value, "sequence_number": number} if numbered else value
        lines.append(f"event: {value['type']}\ndata: {json.dumps(value)}\n\n")
    return "".join(lines).encode()


def created() -> dict[str, Any]:
    return {
        "type": "response.created",
        "response": {"id": "resp_1", "model": "gpt", "created_at": 1, "output": []},
    }


def added(index: int, **item: Any) -> dict[str, Any]:
    return {"type": "response.output_item.added", "output_index": index, "item": item}


def done(index: int, **item: Any) -> dict[str, Any]:
    return {"type": "response.output_item.done", "output_index": index, "item": item}


def text(index: int, words: str, content: int = 0) -> dict[str, Any]:
    return {
        "type": "response.output_text.delta",
        "item_id": f"rotated_{index}_{words}",
        "output_index": index,
        "content_index": content,
        "delta": words,
    }


def message(*texts: str, **fields: Any) -> dict[str, Any]:
    content = [{"type": "output_text", "text": words, "annotations": []} for words in texts]
    return {"type": "message", "role": "assistant", "content": content, **fields}


def completed(*output: dict[str, Any], status: str = "completed", **fields: Any) -> dict[str, Any]:
    usage = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    response = {"id": "resp_1", "status": status, "output": list(output), "usage": usage, **fields}
    return {"type": f"response.{status}", "response": response}


def read(client: Format, *values: dict[str, Any], numbered: bool = True) -> Any:
    body = stream(*values, numbered=numbered)
    return clients.read(client, events(client, Format.OPENAI_RESPONSES, body), streaming=True)
