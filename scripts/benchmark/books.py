"""What the ledger and telemetry cost: a Detour without either, with the ledger, and with both, in turns.

The last one exports to a collector on loopback, and its `/metrics` is read in each turn.
"""

from __future__ import annotations

import asyncio
import tempfile
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from scripts.benchmark import load
from scripts.benchmark.pairs import Figures, take_turns
from scripts.benchmark.proxies import Child, start_detour, start_upstream
from scripts.benchmark.road import requests

NAMES: Final = ("neither", "ledger", "ledger, telemetry")
SCRAPES: Final = 20


async def measure(rounds: int, seconds: float) -> Figures:
    """Raises RuntimeError where the collector got nothing."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder, upstream = Path(name), stack.enter_context(start_upstream())
        # The fake upstream takes whatever is posted to it.
        collector = stack.enter_context(start_upstream())
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.port}"}
        off, ledger, both = NAMES
        proxies = [
            stack.enter_context(start_detour(folder, upstream.port, off, "usage: {ledger: null}")),
            stack.enter_context(start_detour(folder, upstream.port, ledger)),
            stack.enter_context(start_detour(folder, upstream.port, both, env=env)),
        ]
        for proxy in proxies:
            await load.requests(proxy.port, 4, 1, load.request(False))  # warm up

        async def turn(proxy: Child, figures: Figures) -> None:
            await requests(proxy, figures, 16, seconds)
            figures.note("CPU ms a scrape", proxy.name, await scrape(proxy) * 1000)

        figures = await take_turns(rounds, proxies, turn)
        proxies[-1].stop()
        if not int(read(collector.port, "/answered")):
            raise RuntimeError("nothing was exported")
        return figures


async def scrape(proxy: Child) -> float:
    """CPU seconds that `/metrics` takes when it is asked for."""
    assert proxy.admin
    before = proxy.cpu
    for _ in range(SCRAPES):
        await asyncio.to_thread(read, proxy.admin, "/metrics")
    return (proxy.cpu - before) / SCRAPES


def read(port: int, path: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
        return answer.read()
