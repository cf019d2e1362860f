"""Detour beside stock mitmdump with a four-line script: requests, and streams side by side."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from scripts.benchmark import load
from scripts.benchmark.load import percentile
from scripts.benchmark.pairs import Figures, take_turns
from scripts.benchmark.proxies import Child, start_detour, start_stock, start_upstream

REQUESTS: Final = (1, 16)
STREAMS: Final = ((1, 1000, 0), (50, 20, 25), (200, 10, 50))
"""(concurrent, events each, milliseconds between them)"""


async def measure(rounds: int, seconds: float) -> Figures:
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder, upstream = Path(name), stack.enter_context(start_upstream())
        proxies = [
            stack.enter_context(start_stock(folder, upstream.port)),
            stack.enter_context(start_detour(folder, upstream.port)),
        ]
        for proxy in proxies:
            await load.requests(proxy.port, 4, 1, load.request(False))  # warm up

        async def turn(proxy: Child, figures: Figures) -> None:
            for connections in REQUESTS:
                await requests(proxy, figures, connections, seconds)
            for stream in STREAMS:
                await streams(proxy, figures, *stream)
            figures.note("memory MB", proxy.name, proxy.resident / (1 << 20))

        return await take_turns(rounds, proxies, turn)


async def requests(proxy: Child, figures: Figures, connections: int, seconds: float) -> None:
    result = await load.requests(proxy.port, connections, seconds, load.request(False), lambda: proxy.cpu)
    if result.failures:
        raise RuntimeError(f"{proxy.name}: {result.failures} of {len(result.latencies)} requests failed")
    for row, value in {
        "requests/s": result.rate,
        "CPU ms a request": result.cpu / len(result.latencies) * 1000,
        "p50 ms": percentile(result.latencies, 0.5) * 1000,
        "p99 ms": percentile(result.latencies, 0.99) * 1000,
    }.items():
        figures.note(f"{row}, {connections} connections", proxy.name, value)


async def streams(proxy: Child, figures: Figures, concurrent: int, events: int, interval: int) -> None:
    spent = proxy.cpu
    result = await load.streams(proxy.port, concurrent, events, interval)
    spent = proxy.cpu - spent
    if result.failures:
        raise RuntimeError(f"{proxy.name}: {result.failures} of {concurrent} streams failed")
    of = f"{concurrent} streams" + (f" x {1000 // interval}/s" if interval else "")
    for row, value in {
        "events/s": result.events / result.elapsed,
        "CPU us an event": spent / result.events * 1e6,
        "first byte p50 ms": percentile(result.first_bytes, 0.5) * 1000,
        "first byte p99 ms": percentile(result.first_bytes, 0.99) * 1000,
    }.items():
        figures.note(f"{row}, {of}", proxy.name, value)
