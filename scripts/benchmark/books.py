"""What the ledger and telemetry cost: a Detour without either, with the ledger, and with both, in turns."""

from __future__ import annotations

import importlib.util
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from scripts.benchmark import load
from scripts.benchmark.pairs import Figures, take_turns
from scripts.benchmark.proxies import Child, start_detour, start_upstream
from scripts.benchmark.road import requests

OFF: Final = "neither"
EXPORTER: Final = "opentelemetry.exporter.otlp.proto.http.trace_exporter"


async def measure(rounds: int, seconds: float) -> tuple[Figures, list[str]]:
    """The figures, and the names of those who took part: telemetry only where its exporter is installed."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder, upstream = Path(name), stack.enter_context(start_upstream())
        proxies = [
            stack.enter_context(start_detour(folder, upstream.port, OFF, "usage: {ledger: null}")),
            stack.enter_context(start_detour(folder, upstream.port, "ledger")),
        ]
        if has_exporter():
            # The fake upstream takes whatever is posted to it.
            env = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{upstream.port}"}
            proxies.append(
                stack.enter_context(start_detour(folder, upstream.port, "ledger, telemetry", env=env))
            )
        for proxy in proxies:
            await load.requests(proxy.port, 4, 1, load.request(False))  # warm up

        async def turn(proxy: Child, figures: Figures) -> None:
            await requests(proxy, figures, 16, seconds)

        return await take_turns(rounds, proxies, turn), [p.name for p in proxies]


def has_exporter() -> bool:
    try:
        return importlib.util.find_spec(EXPORTER) is not None
    except ImportError:
        return False
