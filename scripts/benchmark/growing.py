"""Whether a translated stream costs the same however long it is: what is held of it, and the time of an event."""

from __future__ import annotations

import gc
import statistics
import time
import tracemalloc
from dataclasses import dataclass
from typing import Any, Final

from rich.table import Table

from router_core.formats import Format
from router_core.respond import Responder
from scripts.benchmark.translating import DELTAS, MODEL, OPENINGS, TEXT, frame, responder

EVENTS: Final = 4000
"""Of a long stream; a short one has a tenth."""

_OPEN: Final = '{"content": "'
ARGUMENT_OPENINGS: Final[dict[Format, list[dict[str, Any]]]] = {
    Format.ANTHROPIC: [
        OPENINGS[Format.ANTHROPIC][0],
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "tool_use", "id": "t", "name": "write", "input": {}},
        },
    ],
    Format.OPENAI_CHAT: [
        {
            "id": "c",
            "model": MODEL,
            "choices": [
                {
                    "index": 0,
                    "delta": {
                        "tool_calls": [
                            {"index": 0, "id": "t", "function": {"name": "write", "arguments": ""}}
                        ]
                    },
                }
            ],
        },
    ],
    Format.OPENAI_RESPONSES: [
        OPENINGS[Format.OPENAI_RESPONSES][0],
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {"id": "i", "type": "function_call", "call_id": "t", "name": "write", "arguments": ""},
        },
    ],
}
"""Gemini sends calls whole."""


def _arguments(upstream: Format, text: str) -> dict[str, Any]:
    match upstream:
        case Format.ANTHROPIC:
            delta: dict[str, Any] = {"type": "input_json_delta", "partial_json": text}
            return {"type": "content_block_delta", "index": 0, "delta": delta}
        case Format.OPENAI_CHAT:
            call = {"index": 0, "function": {"arguments": text}}
            return {"id": "c", "model": MODEL, "choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}
        case _:
            return {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": text}


@dataclass(frozen=True, slots=True)
class Growth:
    held: float
    """Bytes that are held for each byte that was said."""
    short: float
    """Microseconds of CPU for an event of a short stream."""
    long: float


def measure(rounds: int = 5) -> dict[str, Growth]:
    """Row to growth, for texts and for the arguments of one call."""
    rows: dict[str, Growth] = {}
    for what, openings in (("text", OPENINGS), ("arguments", ARGUMENT_OPENINGS)):
        for upstream in openings:
            piece = frame(DELTAS[upstream] if what == "text" else _arguments(upstream, TEXT))
            for client in DELTAS:
                if client is upstream:
                    continue
                begun = [frame(opening) for opening in openings[upstream]]
                if what == "arguments":
                    begun.append(frame(_arguments(upstream, _OPEN)))
                pairs = [
                    (
                        _time(client, upstream, begun, piece, EVENTS // 10),
                        _time(client, upstream, begun, piece, EVENTS),
                    )
                    for _ in range(rounds)
                ]
                short, long = (statistics.median(values) * 1e6 for values in zip(*pairs, strict=True))
                rows[f"{what}, {upstream} to {client}"] = Growth(
                    _held(client, upstream, begun, piece), short, long
                )
    return rows


def _begin(client: Format, upstream: Format, begun: list[bytes]) -> Responder:
    between = responder(client, upstream)
    for opening in begun:
        between.feed(opening)
    return between


def _time(client: Format, upstream: Format, begun: list[bytes], piece: bytes, events: int) -> float:
    between = _begin(client, upstream, begun)
    begin = time.process_time()
    for _ in range(events):
        between.feed(piece)
    return (time.process_time() - begin) / events


def _held(client: Format, upstream: Format, begun: list[bytes], piece: bytes) -> float:
    between = _begin(client, upstream, begun)
    sizes = []
    tracemalloc.start()
    try:
        # The first half is more than is held of a call until it is complete (docs/translation.md).
        for _ in range(2):
            for _ in range(EVENTS // 2):
                between.feed(piece)
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    return (sizes[1] - sizes[0]) / (EVENTS // 2 * len(TEXT))


def table(rows: dict[str, Growth]) -> Table:
    shown = Table(title=f"translating: streams of {EVENTS // 10} and {EVENTS} events")
    shown.add_column("")
    shown.add_column("bytes held for a byte", justify="right")
    shown.add_column("CPU us an event, short", justify="right")
    shown.add_column("long", justify="right")
    for row, growth in rows.items():
        shown.add_row(row, f"{growth.held:.2f}", f"{growth.short:,.1f}", f"{growth.long:,.1f}")
    return shown
