"""What translating a long conversation costs, beside reading its JSON and writing it again."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from router_core.formats import Format, Operation
from router_core.formats.translate import TranslatedRequest, request
from router_core.json_document import parse, serialise

SIZE: Final = 1_000_000
"""Bytes of a request, about."""
RESULT: Final = 2000
"""Characters that a tool gives back: half of a usual file."""
MESSAGES: Final = 12_000
"""Short ones, which make a request of that size."""
CALLS: Final = 4_500
"""Tiny ones, the same."""
REPEATS: Final = 5
"""Within a round; the least of them counts, because others share the machine."""
MODELS: Final = {
    Format.ANTHROPIC: "claude-opus-4-5",
    Format.OPENAI_CHAT: "kimi-k2",
    Format.OPENAI_RESPONSES: "gpt-5.2",
    Format.GEMINI: "gemini-3-pro-preview",
}
ROOT: Final = Path(__file__).parents[2]


def conversation() -> dict[str, Any]:
    """An agent at work: it says a line, reads two pieces of this project, and goes on."""
    source = "".join(path.read_text() for path in sorted((ROOT / "router_core").rglob("*.py")))
    pieces = (source[i : i + RESULT] for i in range(0, SIZE - SIZE // 10, RESULT))
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Explain this project."}]
    for number, (one, other) in enumerate(zip(pieces, pieces, strict=False)):
        calls = [
            {"type": "tool_use", "id": f"toolu_{number}_{n}", "name": "read", "input": {"offset": number + n}}
            for n in (0, 1)
        ]
        results = [
            {"type": "tool_result", "tool_use_id": call["id"], "content": text}
            for call, text in zip(calls, (one, other), strict=True)
        ]
        said = {"type": "text", "text": f"These are the parts {number} and {number + 1}. I read on."}
        messages += [{"role": "assistant", "content": [said, *calls]}, {"role": "user", "content": results}]
    schema = {"type": "object", "properties": {"offset": {"type": "integer"}}, "required": ["offset"]}
    tools = [{"name": "read", "description": "Reads on", "input_schema": schema}]
    return {"max_tokens": 9000, "system": "You read.", "tools": tools, "messages": messages}


def chatter() -> dict[str, Any]:
    """Short messages by the thousand, in which everything but their number is small."""
    said = ("Here is one more line of what I mean.", "I see, that is what you want. Please go on.")
    messages = [
        {"role": ("user", "assistant")[number % 2], "content": f"{number}: {said[number % 2]}"}
        for number in range(MESSAGES)
    ]
    return {"max_tokens": 9000, "messages": messages}


def calls() -> dict[str, Any]:
    """Nothing but calls with little in them and results of a word, the densest that a conversation can be."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Look at all of it."}]
    for number in range(CALLS):
        call = {
            "type": "tool_use",
            "id": f"toolu_{number:05}",
            "name": "stat",
            "input": {"file": f"{number}.py"},
        }
        result = {"type": "tool_result", "tool_use_id": call["id"], "content": f"{number} bytes"}
        messages += [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    schema = {"type": "object", "properties": {"file": {"type": "string"}}, "required": ["file"]}
    tools = [{"name": "stat", "description": "The size of a file", "input_schema": schema}]
    return {"max_tokens": 9000, "tools": tools, "messages": messages}


SHAPES: Final = {"an agent": conversation, "short messages": chatter, "tiny calls": calls}


def translate(client: Format, upstream: Format, document: dict[str, Any]) -> dict[str, Any]:
    translated = request(client, upstream, Operation.GENERATE, document, model=MODELS[upstream], stream=True)
    if not isinstance(translated, TranslatedRequest):
        raise RuntimeError(f"{client} to {upstream}: {translated.message}")
    return translated.document


def measure(rounds: int = 5) -> dict[str, tuple[float, float]]:
    """Row to (milliseconds, times one parse and one serialisation of the same request)."""
    bodies = {(shape, client): _body(client, make()) for shape, make in SHAPES.items() for client in MODELS}
    rows: dict[str, list[tuple[float, float]]] = {}
    for _ in range(rounds):
        for (shape, client), body in bodies.items():
            document = parse(body)
            both = _least(_again, body)
            for upstream in MODELS:
                if upstream is not client:
                    spent = _least(translate, client, upstream, document)
                    row = f"{shape}, {client} to {upstream}"
                    rows.setdefault(row, []).append((spent * 1e3, spent / both))
    return {
        row: (statistics.median(ms for ms, _ in values), statistics.median(ratio for _, ratio in values))
        for row, values in rows.items()
    }


def _body(client: Format, given: dict[str, Any]) -> bytes:
    """Anthropic's request `given`, as `client` says it."""
    return serialise(given if client is Format.ANTHROPIC else translate(Format.ANTHROPIC, client, given))


def _again(body: bytes) -> bytes:
    return serialise(parse(body))


def _least(work: Callable[..., object], *given: object) -> float:
    times = []
    for _ in range(REPEATS):
        begin = time.process_time()
        work(*given)
        times.append(time.process_time() - begin)
    return min(times)


def table(rows: dict[str, tuple[float, float]]) -> Table:
    shown = Table(title=f"translating: a request of {SIZE / 1e6:.0f} MB")
    for name in ("", "CPU ms", "x parse and write"):
        shown.add_column(name, justify="right" if name else "left")
    for row, (milliseconds, ratio) in rows.items():
        shown.add_row(row, f"{milliseconds:.1f}", f"{ratio:.1f}")
    return shown
