"""What recording costs: a Detour that records everything beside one that records nothing, in turns."""

from __future__ import annotations

import os
import statistics
import tempfile
from collections import defaultdict
from pathlib import Path

from rich.table import Table

from scripts.benchmark import load
from scripts.benchmark.load import percentile
from scripts.benchmark.proxies import Child, start_detour, start_upstream

type Figures = dict[str, dict[str, list[float]]]

STREAMS = ((100, 100, 25), (100, 300, 5))
"""(concurrent, events each, milliseconds between them): what tools do, and more than a core can carry."""
RECORDING = "capture: {mode: all}"


async def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Row -> ``plain`` and ``captured``: medians of the rounds. Raises RuntimeError if a record is missing."""
    figures: Figures = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        children = [start_upstream()]
        try:
            port = children[0].port
            plain = start_detour(folder, port, "plain")
            captured = start_detour(folder, port, "captured", RECORDING)
            children += [plain, captured]
            for proxy in (plain, captured):
                await load.streams(proxy.port, 10, 10, 1)  # warm up; the writer's process starts
            for turn in range(rounds):
                for proxy in (plain, captured) if turn % 2 == 0 else (captured, plain):
                    await _round(proxy, figures)
        finally:
            for child in reversed(children):
                child.stop()
        expected = 10 + rounds * sum(concurrent for concurrent, _, _ in STREAMS)
        found = len(list((folder / "captured" / "data" / "captures").glob("*-*-*/*.jsonl")))
        if found != expected:
            raise RuntimeError(f"{found} of {expected} streams were recorded")
    return {row: {name: statistics.median(v) for name, v in by.items()} for row, by in figures.items()}


async def _round(proxy: Child, figures: Figures) -> None:
    for concurrent, events, interval in STREAMS:
        spent = cpu_seconds(proxy.process.pid)
        result = await load.streams(proxy.port, concurrent, events, interval)
        spent = cpu_seconds(proxy.process.pid) - spent
        if result.failures:
            raise RuntimeError(f"{proxy.name}: {result.failures} of {concurrent} streams failed")
        name = f"{concurrent} x {1000 // interval}/s"
        figures[f"events/s, {name}"][proxy.name].append(result.events / result.elapsed)
        figures[f"proxy's CPU us an event, {name}"][proxy.name].append(spent / result.events * 1e6)
        figures[f"first byte p50 ms, {name}"][proxy.name].append(percentile(result.first_bytes, 0.5) * 1000)
    figures["memory MB"][proxy.name].append(proxy.resident / (1 << 20))


def cpu_seconds(pid: int) -> float:
    """Seconds of CPU that a process has spent (proc(5): utime, stime); 0 where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def table(medians: dict[str, dict[str, float]]) -> Table:
    shown = Table(title="what recording costs")
    for heading in ("", "not recorded", "recorded", "ratio"):
        shown.add_column(heading, justify="left" if not heading else "right")
    for row, by in medians.items():
        plain, captured = by["plain"], by["captured"]
        shown.add_row(row, f"{plain:,.1f}", f"{captured:,.1f}", f"{captured / plain:.2f}" if plain else "-")
    return shown
