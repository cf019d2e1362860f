"""Records as rows for a person: as many columns as the terminal has room for."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

from rich.markup import escape
from rich.table import Table

from detour.commands.terminal import Column, fitted, visible
from router_core.capture.reader import Summary

COLUMNS: Final = (
    Column("id"),
    Column("time", 7),
    Column("client", 4),
    Column("request", name=True, least=30),
    Column("model", 8),
    Column("provider", 5),
    Column("status"),
    Column("tries", 2, right=True),
    Column("first", 1, right=True),
    Column("total", 6, right=True),
    Column("size", 3, right=True),
)


def table(summaries: Iterable[Summary], width: int) -> Table:
    """One row each, of the columns that fit into `width` characters."""
    return fitted(None, COLUMNS, map(cells, summaries), width, fold=True)[0]


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
