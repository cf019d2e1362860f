"""What translating a stream costs an event, beside a pass-through of the same stream."""

from __future__ import annotations

import statistics
import time
from typing import Any, Final

from rich.table import Table

from router_core.exchange import Attempt, ClientInfo, Exchange, Request, Surface
from router_core.formats import PATHS, Format, Operation
from router_core.formats.translator import FormatTranslator
from router_core.json_document import parse, serialise
from router_core.prepare import prepare
from router_core.providers.model import Endpoint, Provider
from router_core.respond import Responder
from router_core.rewrite import catalogue
from router_core.rewrite.rules import Rules

EVENTS: Final = 2000
MODEL: Final = "m"
RULES: Final = Rules(catalogue.BUILT_IN, translator=FormatTranslator())
TEXT: Final = "Hello world"

PROMPTS: Final[dict[Format, dict[str, Any]]] = {
    Format.ANTHROPIC: {"max_tokens": 64, "messages": [{"role": "user", "content": "hello"}]},
    Format.OPENAI_CHAT: {"messages": [{"role": "user", "content": "hello"}]},
    Format.OPENAI_RESPONSES: {"input": "hello"},
    Format.GEMINI: {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]},
}
PATH: Final = {
    Format.ANTHROPIC: "/v1/messages",
    Format.OPENAI_CHAT: "/v1/chat/completions",
    Format.OPENAI_RESPONSES: "/v1/responses",
    Format.GEMINI: f"/v1beta/models/{MODEL}:streamGenerateContent?alt=sse",
}
OPENINGS: Final[dict[Format, list[dict[str, Any]]]] = {
    Format.ANTHROPIC: [
        {"type": "message_start", "message": {"id": "m", "role": "assistant", "model": MODEL, "content": []}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    ],
    Format.OPENAI_CHAT: [
        {"id": "c", "model": MODEL, "choices": [{"index": 0, "delta": {"role": "assistant"}}]},
    ],
    Format.OPENAI_RESPONSES: [
        {"type": "response.created", "response": {"id": "r", "model": MODEL, "output": []}},
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {"id": "i", "type": "message", "role": "assistant", "content": []},
        },
        {
            "type": "response.content_part.added",
            "output_index": 0,
            "content_index": 0,
            "part": {"type": "output_text", "text": ""},
        },
    ],
    Format.GEMINI: [],
}
DELTAS: Final[dict[Format, dict[str, Any]]] = {
    Format.ANTHROPIC: {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": TEXT},
    },
    Format.OPENAI_CHAT: {"id": "c", "model": MODEL, "choices": [{"index": 0, "delta": {"content": TEXT}}]},
    Format.OPENAI_RESPONSES: {
        "type": "response.output_text.delta",
        "item_id": "i",
        "output_index": 0,
        "content_index": 0,
        "delta": TEXT,
    },
    Format.GEMINI: {"candidates": [{"index": 0, "content": {"role": "model", "parts": [{"text": TEXT}]}}]},
}


def frame(data: dict[str, Any]) -> bytes:
    name = b"event: %s\n" % data["type"].encode() if "type" in data else b""
    return b"%sdata: %s\n\n" % (name, serialise(data))


def responder(client: Format, upstream: Format) -> Responder:
    """What stands between an upstream's stream and a client of another format, at its beginning."""
    body = {"model": MODEL, "stream": True, **PROMPTS[client]}
    if client is Format.GEMINI:
        body = PROMPTS[client]
    surface = Surface(client, Operation.GENERATE, None, None, False, "gateway", MODEL, True)
    request = Request("POST", PATH[client], [("content-type", "application/json")], serialise(body))
    exchange = Exchange("x", surface, ClientInfo("127.0.0.1"), request, parse(request.body), MODEL, True)
    endpoint = Endpoint(upstream, "https://upstream.test", "", tuple(PATHS[upstream]))
    provider = Provider("upstream", "Upstream", (), (endpoint,), (), ())
    attempt = Attempt(1, provider, endpoint, MODEL, "c")
    prepare(exchange, attempt, RULES)
    return Responder(exchange, attempt, RULES, 200, [("content-type", "text/event-stream")])


def measure(rounds: int = 5) -> dict[str, float]:
    """Row to microseconds an event. The pass-through is measured again in each turn."""
    pairs = [(client, upstream) for upstream in DELTAS for client in DELTAS]
    times: dict[str, list[float]] = {}
    for _ in range(rounds):
        for client, upstream in pairs:
            row = f"{upstream} as it came" if client is upstream else f"{upstream} to {client}"
            times.setdefault(row, []).append(_one(client, upstream))
    return {row: statistics.median(values) * 1e6 for row, values in times.items()}


def _one(client: Format, upstream: Format) -> float:
    between, piece = responder(client, upstream), frame(DELTAS[upstream])
    for opening in OPENINGS[upstream]:
        between.feed(frame(opening))
    begin = time.process_time()
    out = [between.feed(piece) for _ in range(EVENTS)]
    spent = time.process_time() - begin
    if TEXT.encode() not in out[-1]:
        raise RuntimeError(f"{upstream} to {client}: an event did not come through: {out[-1]!r}")
    return spent / EVENTS


def table(rows: dict[str, float]) -> Table:
    shown = Table(title="translating: an event of a stream")
    shown.add_column("")
    shown.add_column("CPU us", justify="right")
    for row, microseconds in rows.items():
        shown.add_row(row, f"{microseconds:,.1f}")
    return shown
