"""Measures Detour and stock mitmdump in turns, so that both meet the same machine.

Usage: scripts/bench [--rounds N] [--seconds S] [--json] [--rewriting | --capturing]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import uvloop
from rich.console import Console
from rich.table import Table

from scripts.benchmark import capturing, load, rewriting
from scripts.benchmark.load import percentile
from scripts.benchmark.proxies import Child, start_detour, start_stock, start_upstream

type Figures = dict[str, dict[str, list[float]]]
"""Row -> proxy -> one figure a round."""

REQUESTS = (1, 16)
STREAMS = ((1, 2000, 0), (50, 40, 25), (200, 20, 50))
"""(concurrent, events each, milliseconds between them)"""


async def measure(proxy: Child, seconds: float, figures: Figures) -> None:
    def note(row: str, value: float) -> None:
        figures[row][proxy.name].append(value)

    for connections in REQUESTS:
        result = await load.requests(proxy.port, connections, seconds, load.request(False))
        if result.failures:
            raise RuntimeError(f"{proxy.name}: {result.failures} of {len(result.latencies)} requests failed")
        note(f"requests/s, {connections} connections", result.rate)
        note(f"p50 ms, {connections} connections", percentile(result.latencies, 0.5) * 1000)
        note(f"p99 ms, {connections} connections", percentile(result.latencies, 0.99) * 1000)
    for concurrent, events, interval in STREAMS:
        result = await load.streams(proxy.port, concurrent, events, interval)
        if result.failures:
            raise RuntimeError(f"{proxy.name}: {result.failures} of {concurrent} streams failed")
        note(f"events/s, {concurrent} streams", result.events / result.elapsed)
        note(f"first byte p50 ms, {concurrent} streams", percentile(result.first_bytes, 0.5) * 1000)
        note(f"first byte p99 ms, {concurrent} streams", percentile(result.first_bytes, 0.99) * 1000)
    note("memory MB", proxy.resident / (1 << 20))


async def run(rounds: int, seconds: float) -> Figures:
    figures: Figures = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        children = [start_upstream()]
        try:
            port = children[0].port
            without = start_detour(folder, port, "ledger off", "usage: {ledger: null}")
            proxies = [start_stock(folder, port), start_detour(folder, port), without]
            children += proxies
            for proxy in proxies:
                await load.requests(proxy.port, 4, 1, load.request(False))  # warm up
            for turn in range(rounds):
                for proxy in proxies if turn % 2 == 0 else reversed(proxies):
                    await measure(proxy, seconds, figures)
        finally:
            for child in reversed(children):
                child.stop()
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each request measurement")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rewriting", action="store_true", help="only what rewriting costs")
    parser.add_argument("--capturing", action="store_true", help="only what recording costs")
    options = parser.parse_args()
    if options.rewriting:
        Console().print(rewriting.table(rewriting.requests(), rewriting.events()))
        return 0
    if options.capturing:
        recording = uvloop.run(capturing.measure(options.rounds))
        Console().print(capturing.table(recording))
        return 0
    figures = uvloop.run(run(options.rounds, options.seconds))
    recording = uvloop.run(capturing.measure(options.rounds))
    medians = {row: {name: statistics.median(v) for name, v in by.items()} for row, by in figures.items()}
    requests, events = rewriting.requests(), rewriting.events()
    if options.json:
        shown: dict[str, object] = {
            **medians,
            "rewriting, ms a request": {row: ms for row, (ms, _) in requests.items()},
        }
        shown |= {"rewriting, us an event": events, "recording": recording}
        json.dump(shown, sys.stdout, indent=2)
        return 0
    table = Table(title=f"median of {options.rounds} rounds, in turns")
    for heading in ("", "mitmdump", "detour", "ratio", "ledger off"):
        table.add_column(heading, justify="left" if not heading else "right")
    for row, by in medians.items():
        stock, detour = by["mitmdump"], by["detour"]
        ratio = f"{detour / stock:.2f}" if stock else "-"
        table.add_row(row, f"{stock:,.1f}", f"{detour:,.1f}", ratio, f"{by['ledger off']:,.1f}")
    Console().print(table)
    Console().print(rewriting.table(requests, events))
    Console().print(capturing.table(recording))
    return 0


if __name__ == "__main__":
    sys.exit(main())
