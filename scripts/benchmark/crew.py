"""One worker and two on the same ports, in turns. Load, upstream and workers share the machine's cores: only where
there are more cores than those take does a second worker show what it can do."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from scripts.benchmark import load
from scripts.benchmark.load import percentile
from scripts.benchmark.pairs import Figures, take_turns
from scripts.benchmark.proxies import Child, start_detour, start_upstream

NAMES: Final = ("1 worker", "2 workers")
CONNECTIONS: Final = 32


async def measure(rounds: int, seconds: float) -> Figures:
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder, upstream = Path(name), stack.enter_context(start_upstream())
        proxies = [
            stack.enter_context(start_detour(folder, upstream.port, name, options=("--workers", name[0])))
            for name in NAMES
        ]
        for proxy in proxies:
            await load.requests(proxy.port, CONNECTIONS, 1, load.request(False))  # warm up

        async def turn(proxy: Child, figures: Figures) -> None:
            result = await load.requests(proxy.port, CONNECTIONS, seconds, load.request(False))
            if result.failures:
                raise RuntimeError(f"{proxy.name}: {result.failures} requests failed")
            for row, value in {
                "requests/s": result.rate,
                "p50 ms": percentile(result.latencies, 0.5) * 1000,
                "p99 ms": percentile(result.latencies, 0.99) * 1000,
            }.items():
                figures.note(f"{row}, {CONNECTIONS} connections", proxy.name, value)

        return await take_turns(rounds, proxies, turn)
