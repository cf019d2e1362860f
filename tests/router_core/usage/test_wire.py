"""Counts and costs against the providers' own figures in the recorded pairs."""

import csv
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from router_core.exchange import Usage
from router_core.formats import Format
from router_core.sse import EventReader
from router_core.usage.count import Meter

CORPUS = Path(os.environ.get("DETOUR_WIRE_CORPUS") or Path(__file__).parents[4] / "shared" / "wire")
INDEX = CORPUS / "INDEX.tsv"

pytestmark = pytest.mark.skipif(
    not INDEX.exists(), reason=f"no recorded pairs in {CORPUS} (DETOUR_WIRE_CORPUS)"
)


def pairs() -> list[dict[str, str]]:
    if not INDEX.exists():
        return []
    with INDEX.open() as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


def documents(folder: Path) -> list[object]:
    """Every JSON document of a recorded answer, in order."""
    stream = folder / "response.sse"
    if not stream.exists():
        body = orjson.loads((folder / "response.json").read_bytes())
        return body if isinstance(body, list) else [body]
    reader = EventReader()
    data = [e.data for e in reader.feed(stream.read_bytes()) + reader.close()]
    return [orjson.loads(d) for d in data if d and d.startswith(b"{")]


def count(folder: Path, format: Format) -> Usage:
    meter = Meter(format)
    stream = folder / "response.sse"
    if stream.exists():
        reader = EventReader()
        raw = stream.read_bytes()
        # Pieces of 7 bytes cut inside characters, lines and line ends.
        for at in range(0, len(raw), 7):
            for event in reader.feed(raw[at : at + 7]):
                meter.feed(event)
        for event in reader.close():
            meter.feed(event)
    else:
        meter.feed((folder / "response.json").read_bytes())
    return meter.usage


def last(value: object, name: str) -> Any:
    """The last value of a key anywhere in recorded documents, if it is not null."""
    found = None
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == name and inner is not None:
                found = inner
            deeper = last(inner, name)
            found = deeper if deeper is not None else found
    elif isinstance(value, list):
        for inner in value:
            deeper = last(inner, name)
            found = deeper if deeper is not None else found
    return found


@pytest.mark.parametrize("pair", pairs(), ids=lambda p: p["path"].rpartition("/")[2])
def test_counts_agree_with_the_provider(pair: dict[str, str]) -> None:
    folder, format = CORPUS / pair["path"], Format(pair["api format"])
    answer, usage = documents(folder), count(folder, format)
    assert usage.notes == ()
    if format is Format.ANTHROPIC:
        names = {"input": "input_tokens", "output": "output_tokens", "cache_read": "cache_read_input_tokens"}
        compacted = "compaction" in orjson.dumps(last(answer, "iterations")).decode()
        for field, name in names.items():
            reported = last([_without_iterations(a) for a in answer], name)
            ours = getattr(usage, field)
            assert ours > reported if compacted and reported else ours == reported
        return
    total = last(answer, "totalTokenCount" if format is Format.GEMINI else "total_tokens")
    if total is None:
        assert usage == Usage()
        return
    assert usage.prompt is not None
    if "provider_metadata" in orjson.dumps(answer).decode() or pair["provider"] == "vercel-gateway":
        # This gateway's total leaves the reasoning out, though its cost holds it.
        total += usage.reasoning
    assert usage.prompt + (usage.output or 0) == total


def _without_iterations(value: object) -> object:
    if isinstance(value, dict):
        return {k: _without_iterations(v) for k, v in value.items() if k != "iterations"}
    return [_without_iterations(v) for v in value] if isinstance(value, list) else value


def test_costs_as_reported_are_read() -> None:
    reported = 0
    for pair in pairs():
        folder = CORPUS / pair["path"]
        ticks, cost = last(documents(folder), "cost_in_usd_ticks"), last(documents(folder), "cost")
        if pair["api format"] != "openai-chat" or (ticks is None and cost is None):
            continue
        usage = count(folder, Format.OPENAI_CHAT)
        expected = Decimal(str(cost)) if ticks is None else Decimal(str(ticks)) / 10**10
        assert usage.cost == expected, pair["path"]
        reported += 1
    assert reported >= 10
