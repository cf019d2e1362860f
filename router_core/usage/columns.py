"""The names of what the ledger counts, and of what it counts it by."""

from __future__ import annotations

from typing import Final

TOKENS: Final = (
    "input",
    "output",
    "reasoning",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "input_audio",
    "output_audio",
    "input_image",
    "output_image",
)

DIMENSIONS: Final = ("provider", "credential", "model", "client", "tool")
"""What a report can be asked by."""

SESSION_DIMENSIONS: Final = ("client", "tool")
"""What a report on all sessions can be asked by."""

FIRST_BYTE_EDGES: Final = (100, 200, 400, 700, 1000, 1500, 2000, 3000, 5000, 8000, 13000, 30000)
"""Upper edges in milliseconds of the buckets ``fb0`` ...; the last bucket has none."""

BUCKETS: Final = tuple(f"fb{i}" for i in range(len(FIRST_BYTE_EDGES) + 1))

MEASURES: Final = (
    "requests",
    "errors",
    "cancelled",
    "refused",
    "failed_attempts",
    *TOKENS,
    "server_tools",
    "cost",
    "notional",
    "unpriced",
    "duration_ms",
    "generated",
    "generation_ms",
)
"""Sums of a roll-up. Money is in billionths of a dollar; ``unpriced`` counts exchanges whose cost nobody
knows; ``generated`` tokens came in ``generation_ms`` after their first byte."""
