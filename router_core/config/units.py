"""Durations and sizes as people write them."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import BeforeValidator, WithJsonSchema

from router_core.config.problems import shown

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
        raise ValueError(
            f"{shown(value)} is not a duration; write a number and a unit: 500ms, 10s, 5m, 1h, 7d"
        )
    return float(match[1]) * _DURATION[match[2]]


def parse_size(value: object) -> int:
    """Bytes of ``64KB``, ``1GB`` ... (powers of 1024). Raises ValueError with the remedy."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(B|KB|MB|GB)", str(value).strip(), re.IGNORECASE)
    if not match:
        raise ValueError(f"{shown(value)} is not a size; write a number and a unit: 64KB, 10MB, 1GB")
    return int(float(match[1]) * _SIZE[match[2].upper()])


def write_duration(seconds: float) -> str:
    """``5m`` for 300: the largest unit that comes out even; ``0`` for none."""
    if not seconds:
        return "0"
    for unit in ("d", "h", "m", "s"):
        number = seconds / _DURATION[unit]
        if number == int(number):
            return f"{int(number)}{unit}"
    return f"{round(seconds * 1000)}ms"


def write_size(size: int) -> str:
    """``64MB`` for 64 << 20: the largest unit that comes out even."""
    unit = next(unit for unit in ("GB", "MB", "KB", "B") if size % _SIZE[unit] == 0)
    return f"{size // _SIZE[unit]}{unit}"


DURATION_PATTERN: Final = r"^\d+(\.\d+)?\s*(ms|s|m|h|d)$"
SIZE_PATTERN: Final = r"^\d+(\.\d+)?\s*(B|KB|MB|GB)$"

Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema(
        {
            "type": ["string", "integer"],
            "pattern": DURATION_PATTERN,
            "minimum": 0,
            "maximum": 0,  # of numbers only 0, which needs no unit
            "examples": ["10s", "5m"],
        }
    ),
]
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema({"type": "string", "pattern": SIZE_PATTERN, "examples": ["64KB", "1GB"]}),
]
