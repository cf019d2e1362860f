"""What Gemini streams, said in a few words: chunks, and what a client of another format reads of them."""

import json
from typing import Any

from router_core.formats import Format
from tests.router_core.formats import clients
from tests.router_core.formats.translated import events

OTHERS = (Format.ANTHROPIC, Format.OPENAI_CHAT, Format.OPENAI_RESPONSES)


def chunk(*parts: dict[str, Any], reason: Any = None, **usage: int) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}}
    if reason is not None:
        candidate["finishReason"] = reason
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "g", "responseId": "r"}


def stream(*chunks: Any) -> bytes:
    return "".join(f"data: {json.dumps(value)}\r\n\r\n" for value in chunks).encode()


def read(client: Format, *chunks: Any) -> Any:
    return clients.read(client, events(client, Format.GEMINI, stream(*chunks)), streaming=True)


def call(name: str, args: Any = None, **fields: Any) -> dict[str, Any]:
    return {"functionCall": {"name": name, **({} if args is None else {"args": args})}, **fields}
