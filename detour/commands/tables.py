"""Usage as tables for the terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Final

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

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
    table = _table(groups, rows, trends, title)
    if groups == ("day",) and len(rows) > 1:
        table.caption = sparkline([row.tokens for row in rows])
    table.add_section()
    _add(table, ("total", *("" for _ in groups[1:])), total, None, bool(trends))
    out.print(table)
    _footnotes(out, total)


def _table(groups: tuple[str, ...], rows: Sequence[Row], trends: Trends, title: str) -> Table:
    table = Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, caption_justify="left"
    )
    for name in groups:
        table.add_column(name, overflow="fold", no_wrap=name in ("day", "hour", "month"))
    for name in ("requests", "failed", "input", "cached", "output", "cost", "notional", "tok/s"):
        table.add_column(name, justify="right", no_wrap=True)
    if trends:
        table.add_column("trend", no_wrap=True)
    for row in rows:
        key = tuple(row.group.values())
        _add(table, tuple(escape(v) if v else "-" for v in key), row, trends.get(key), bool(trends))
    return table


def _add(table: Table, names: tuple[str, ...], row: Row, trend: Sequence[int] | None, trends: bool) -> None:
    failed = row.errors + row.refused
    cells = [
        *names,
        amount(row.requests),
        amount(failed) if failed else "-",
        amount(row.input),
        amount(row.cache_read + row.cache_write) if row.cache_read or row.cache_write else "-",
        amount(row.output),
        money(row),
        dollars(row.notional) if row.notional else "-",
        f"{row.tokens_per_second:g}" if row.tokens_per_second else "-",
    ]
    table.add_row(*cells, *([sparkline(trend or ())] if trends else []))


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
            out.print(_table(groups, rows, {}, name))
    if report.failures:
        failed = Table(title="Failed attempts", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        for column in ("provider", "credential", "status", "phase", "attempts", "tokens"):
            failed.add_column(column)
        for item in report.failures:
            names = (item["provider"], item["credential"] or "-", str(item["status"] or "-"), item["phase"])
            failed.add_row(*map(escape, names), str(item["count"]), amount(item["input"] + item["output"]))
        out.print(failed)
    _footnotes(out, total)
