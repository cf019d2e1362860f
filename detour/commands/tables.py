"""Usage as tables for the terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from detour.commands.terminal import Column, fitted

if TYPE_CHECKING:
    from router_core.usage.monthly import Monthly
    from router_core.usage.question import Row

type Trends = Mapping[tuple[str, ...], Sequence[int]]

BARS: Final = "▁▂▃▄▅▆▇█"


def console() -> Console:
    # What is piped is read by a program or a pager, and must not be folded to a width that nobody has.
    return Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=200)


def sparkline(values: Sequence[int]) -> str:
    """A bar for each value, blank for 0."""
    top = max(values, default=0)
    return "".join(BARS[(value * len(BARS) - 1) // top] if value else " " for value in values) if top else ""


def amount(count: int) -> str:
    """``950``, ``12.3k``, ``4.56M``."""
    for size, letter, digits in ((10**9, "G", 2), (10**6, "M", 2), (10**4, "k", 1)):
        if count >= size:
            return f"{count / (1000 if letter == 'k' else size):.{digits}f}{letter}"
    return str(count)


def money(row: Row) -> str:
    """What is owed; ``?`` where nothing is known, ``+`` where some of it is not."""
    if row.cost is None:
        return "?"
    if not row.cost:
        return "-"
    return dollars(row.cost) + ("+" if row.unpriced else "")


def dollars(value: float) -> str:
    return f"${value:,.2f}" if value >= 1 else f"${value:.4f}"


def print_usage(
    groups: tuple[str, ...], rows: Sequence[Row], total: Row | None, trends: Trends, title: str
) -> None:
    out = console()
    if total is None:
        out.print(f"No usage recorded, {title}.")
        return
    table, left_out = _table(out, groups, rows, trends, title, total)
    if groups == ("day",) and len(rows) > 1:
        table.caption, table.caption_justify = sparkline([row.tokens for row in rows]), "left"
    out.print(table)
    if left_out:
        out.print(f"There is no room for {', '.join(left_out)}; --json and --csv have everything.")
    _footnotes(out, total)


FIGURES: Final = (
    Column("requests", 8, right=True),
    Column("failed", 4, right=True),
    Column("input", 6, right=True),
    Column("cached", 3, right=True),
    Column("output", 7, right=True),
    Column("cost", right=True),
    Column("notional", 5, right=True),
    Column("tok/s", 2, right=True),
)


FAILURES: Final = (
    Column("provider", name=True),
    Column("credential", name=True),
    Column("status", right=True),
    Column("phase", 1),
    Column("attempts", right=True),
    Column("tokens", 2, right=True),
)


def _table(
    out: Console,
    groups: tuple[str, ...],
    rows: Sequence[Row],
    trends: Trends,
    title: str,
    total: Row | None = None,
) -> tuple[Table, list[str]]:
    """The table, and what there was no room for."""
    columns = [Column(name, name=name not in ("day", "hour", "month")) for name in groups]
    columns += [*FIGURES, Column("trend", 1)] if trends else FIGURES
    lines = []
    for row in rows:
        key = tuple(row.group.values())
        trend = [sparkline(trends.get(key) or ())] if trends else []
        lines.append([*(escape(name) if name else "-" for name in key), *_figures(row), *trend])
    if total:
        lines.append(["total", *("" for _ in groups[1:]), *_figures(total), *([""] if trends else [])])
    table, left_out = fitted(title, columns, lines, out.width, fold=True)
    if total and rows:
        table.rows[-2].end_section = True
    return table, left_out


def _figures(row: Row) -> list[str]:
    failed = row.errors + row.refused
    return [
        amount(row.requests),
        amount(failed) if failed else "-",
        amount(row.input),
        amount(row.cache_read + row.cache_write) if row.cache_read or row.cache_write else "-",
        amount(row.output),
        money(row),
        dollars(row.notional) if row.notional else "-",
        f"{row.tokens_per_second:g}" if row.tokens_per_second else "-",
    ]


def _footnotes(out: Console, total: Row) -> None:
    if total.failed_attempts:
        out.print(f"{total.failed_attempts} attempts failed and were made up for, or not, by others.")
    if total.unpriced:
        out.print(
            f"? {total.unpriced} exchanges have an unknown cost: no price (usage.prices sets one), or no count."
        )
    if total.notional:
        out.print("notional: what subscriptions covered, at the providers' list prices.")


def print_month(first: date, report: Monthly | None) -> None:
    out = console()
    title = f"{first:%B %Y}"
    if report is None or report.total is None:
        out.print(f"No usage recorded in {title}.")
        return
    total, before = report.total, report.previous
    out.print(
        f"[bold]{title}[/bold]  {total.requests:,} requests, {amount(total.tokens)} tokens, {money(total)}"
    )
    if before:
        out.print(
            f"The month before: {before.requests:,} requests, {amount(before.tokens)} tokens, {money(before)}"
        )
    by_day = {row.group["day"]: row.tokens for row in report.days}
    days = [by_day.get(f"{first:%Y-%m}-{day:02}", 0) for day in range(1, report.last.day + 1)]
    out.print(f"Tokens by day  {sparkline(days)}")
    sections = (
        ("Models", ("provider", "model"), report.models),
        ("Credentials", ("credential",), report.credentials),
        ("Clients", ("client",), report.clients),
        ("Tools", ("tool",), report.tools),
        ("Sessions", ("session",), report.sessions),
    )
    for name, groups, rows in sections:
        if any(any(row.group.values()) for row in rows):
            out.print(_table(out, groups, rows, {}, name)[0])
    if report.failures:
        lines = [
            [
                escape(item["provider"]),
                escape(item["credential"] or "-"),
                str(item["status"] or "-"),
                escape(item["phase"]),
                str(item["count"]),
                amount(item["input"] + item["output"]),
            ]
            for item in report.failures
        ]
        out.print(fitted("Failed attempts", FAILURES, lines, out.width, fold=True)[0])
    _footnotes(out, total)
