"""Durations and sizes as people write them."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

_DURATION = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = {"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}


def parse_duration(value: object) -> float:
    """Seconds of ``500ms``, ``10s``, ``5m``, ``1h``, ``7d`` or ``0``.

    Raises ValueError with the remedy for anything else, so a bare ``10`` cannot be mistaken.
    """
    if value == 0 and not isinstance(value, bool):
        return 0.0
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)", str(value).strip())
    if not match:
        raise ValueError(f"{value!r} is not a duration; write a number and a unit: 500ms, 10s, 5m, 1h, 7d")
    return float(match[1]) * _DURATION[match[2]]


def parse_size(value: object) -> int:
    """Bytes of ``64KB``, ``1GB`` ... (powers of 1024). Raises ValueError with the remedy."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(B|KB|MB|GB)", str(value).strip(), re.IGNORECASE)
    if not match:
        raise ValueError(f"{value!r} is not a size; write a number and a unit: 64KB, 10MB, 1GB")
    return int(float(match[1]) * _SIZE[match[2].upper()])


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema(
        {"type": ["string", "integer"], "pattern": r"^\d+(\.\d+)?\s*(ms|s|m|h|d)$", "examples": ["10s", "5m"]}
    ),
]
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema(
        {"type": "string", "pattern": r"^\d+(\.\d+)?\s*(B|KB|MB|GB)$", "examples": ["64KB", "1GB"]}
    ),
]
