"""What recording costs: a Detour that records everything beside one that records nothing, in turns."""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from scripts.benchmark import load
from scripts.benchmark.pairs import Figures, take_turns
from scripts.benchmark.proxies import Child, start_detour, start_upstream
from scripts.benchmark.road import streams

STREAMS: Final = ((100, 40, 25), (100, 120, 5))
"""(concurrent, events each, milliseconds between them): what tools do, and more than a core can carry."""
NAMES: Final = ("not recorded", "recorded")
PATIENCE: Final = 30.0
"""Seconds in which the last records must be complete."""


async def measure(rounds: int) -> Figures:
    """Raises RuntimeError if a record is missing."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder, upstream = Path(name), stack.enter_context(start_upstream())
        plain, captured = (
            stack.enter_context(start_detour(folder, upstream.port, name, extra))
            for name, extra in zip(NAMES, ("", "capture: {mode: all}"), strict=True)
        )
        for proxy in (plain, captured):
            await load.streams(proxy.port, 10, 10, 1)  # warm up; the writer's process starts

        async def turn(proxy: Child, figures: Figures) -> None:
            for stream in STREAMS:
                await streams(proxy, figures, *stream)
            figures.note("memory MB", proxy.name, proxy.resident / (1 << 20))

        figures = await take_turns(rounds, (plain, captured), turn)
        captured.stop()
        expected = 10 + rounds * sum(concurrent for concurrent, _, _ in STREAMS)
        # On a busy machine the writer, which gives way to everything else, is not done yet.
        end = time.monotonic() + PATIENCE
        while (found := ended(folder / captured.name / "data" / "captures")) != expected:
            if time.monotonic() > end:
                raise RuntimeError(f"{found} of {expected} streams were recorded")
            await asyncio.sleep(0.5)
    return figures


def ended(captures: Path) -> int:
    """How many records are complete."""
    return sum(b'{"kind":"end"' in path.read_bytes() for path in captures.glob("*-*-*/*.jsonl"))
