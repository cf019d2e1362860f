"""Records as rows for a person: as many columns as the terminal has room for."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

from rich import box
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from detour.commands.capture.place import visible
from router_core.capture.reader import Summary

COLUMNS: Final = (
    *("id", "time", "client", "request", "model", "provider", "status"),
    *("tries", "first", "total", "size"),
)
DISPENSABLE: Final = ("first", "tries", "size", "client", "provider", "total", "time", "model")
"""What a narrow terminal does without, in this order."""
FOLDED: Final = 30
"""Characters of a request that are enough in a row."""
BETWEEN: Final = 3


def table(summaries: Iterable[Summary], width: int) -> Table:
    """One row each, of the columns that fit into `width` characters."""
    rows = [dict(zip(COLUMNS, cells(summary), strict=True)) for summary in summaries]
    widths = {
        name: max(len(name), *(Text.from_markup(row[name]).cell_len for row in rows)) for name in COLUMNS
    }
    widths["request"] = min(widths["request"], FOLDED)
    shown = list(COLUMNS)
    for name in DISPENSABLE:
        if sum(widths[n] for n in shown) + BETWEEN * len(shown) <= width:
            break
        shown.remove(name)
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in shown:
        numbers = name in ("tries", "first", "total", "size")
        made.add_column(
            name, no_wrap=name != "request", overflow="fold", justify="right" if numbers else "left"
        )
    for row in rows:
        made.add_row(*(row[name] for name in shown))
    return made


def cells(summary: Summary) -> tuple[str, ...]:
    """A value with markup for each of `COLUMNS`."""
    opening, end = summary.opening, summary.end or {}
    target = end.get("target")
    model = opening.model or "-"
    if target and target != opening.model:
        model += f" -> {target}"
    status = str(end.get("status") or ("error" if end.get("error") else "-")) if summary.end else "open"
    colour = (
        "red" if end.get("error") or (end.get("status") or 0) >= 400 else "green" if summary.end else "yellow"
    )
    return (
        _text(opening.id),
        time.strftime("%m-%d %H:%M:%S", time.localtime(opening.created)),
        _text(opening.tool or opening.client or "-"),
        _text(f"{opening.method} {opening.host}{opening.path}"),
        _text(model),
        _text(end.get("provider") or opening.provider or "-"),
        f"[{colour}]{status}[/{colour}]",
        str(end.get("attempts") or "-"),
        seconds(end.get("first_byte")),
        seconds(end.get("t")),
        size(summary.size),
    )


def _text(value: str) -> str:
    return escape(visible(value))


def seconds(value: float | None) -> str:
    return "-" if value is None else f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"


def size(value: int) -> str:
    return (
        f"{value} B"
        if value < 1024
        else f"{value / 1024:.1f} KB"
        if value < 1 << 20
        else f"{value / (1 << 20):.1f} MB"
    )
