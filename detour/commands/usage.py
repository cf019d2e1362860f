"""``detour usage``: what was used and what it cost, from the ledger."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from detour import sheet
from detour.commands.options import USAGE, ConfigOption, JsonOption, fail, hands_down, load, print_json

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from router_core.usage.question import Question, Row

app = typer.Typer(
    help="Show what was used and what it cost: by day, provider, model, credential, client, session or tool.",
    add_completion=False,
)

CsvOption = Annotated[bool, typer.Option("--csv", help="Print comma-separated values.")]


def _filter(name: str) -> Any:
    return typer.Option(f"--{name}", metavar="NAME", help=f"Only this {name}.")


@app.callback(invoke_without_command=True)
def usage(
    context: typer.Context,
    by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[,NAME]",
            help="Group by day, hour, month, provider, model, credential, client, tool or session.",
        ),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="DATE", help="First day: 2026-03-01, or 7d for the last seven days.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="DATE", help="Last day; today without.")] = None,
    provider: Annotated[str | None, _filter("provider")] = None,
    model: Annotated[str | None, _filter("model")] = None,
    credential: Annotated[str | None, _filter("credential")] = None,
    client: Annotated[str | None, _filter("client")] = None,
    tool: Annotated[str | None, _filter("tool")] = None,
    session: Annotated[str | None, _filter("session")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most this many rows.")] = 100,
    config: ConfigOption = None,
    json: JsonOption = False,
    as_csv: CsvOption = False,
) -> None:
    if hands_down(context):
        return
    from router_core.usage.question import Question, QuestionError, grouping, period_asked
    from router_core.usage.report import ask

    names = {
        "provider": provider,
        "model": model,
        "credential": credential,
        "client": client,
        "tool": tool,
        "session": session,
    }
    where = {name: value for name, value in names.items() if value is not None}
    groups = grouping(by or ["day"])
    try:
        first, last = period_asked(since, until, date.today())
        question = Question(groups, first, last, where, limit)
        whole = Question((), first, last, where)
    except QuestionError as error:
        raise fail(str(error), USAGE) from None
    with _ledger(config) as engine:
        rows = ask(engine, question) if engine else []
        sums = ask(engine, whole) if engine else []
        trends = _trends(engine, question, rows) if engine and not (json or as_csv) else {}
    if json:
        print_json(
            {
                "since": first,
                "until": last,
                "by": groups,
                "where": where,
                "rows": [row.document() for row in rows],
                "total": sums[0].document() if sums else None,
            }
        )
    elif as_csv:
        sheet.write(sys.stdout, groups, rows)
    else:
        from detour.commands.tables import print_usage

        print_usage(groups, rows, sums[0] if sums else None, trends, f"{first} to {last}")


@app.command()
def month(
    which: Annotated[
        str | None, typer.Argument(metavar="[YYYY-MM]", help="The month; this one without.")
    ] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
    as_csv: CsvOption = False,
) -> None:
    """The month's report: total and trend, then by provider and model, credential, client, tool and session."""
    from router_core.usage.monthly import monthly
    from router_core.usage.question import QuestionError, month_asked

    try:
        first = month_asked(which or f"{date.today():%Y-%m}")
    except QuestionError as error:
        raise fail(str(error), USAGE) from None
    with _ledger(config) as engine:
        report = monthly(engine, first) if engine else None
    if json:
        print_json(report.document() if report else {"month": f"{first:%Y-%m}", "total": None})
    elif as_csv:
        sheet.write(sys.stdout, ("provider", "model"), report.models if report else [])
    else:
        from detour.commands.tables import print_month

        print_month(first, report)


@contextmanager
def _ledger(config: Path | None) -> Iterator[Engine | None]:
    """The configured ledger, None where nothing was recorded yet; exit code 1 where it cannot be read."""
    from sqlalchemy.exc import SQLAlchemyError

    from router_core.paths import paths
    from router_core.usage.database import LedgerError, describe, open_for_reading
    from router_core.usage.setup import ledger_url

    loaded = load(config)
    try:
        url = ledger_url(loaded.config.usage, paths(loaded.config).data)
        if url is None:
            raise fail("no ledger is kept (usage.ledger is null)")
        engine = open_for_reading(url)
        try:
            yield engine
        finally:
            if engine:
                engine.dispose()
    except LedgerError as error:
        raise fail(str(error)) from None
    except SQLAlchemyError as error:
        cause = " ".join(str(getattr(error, "orig", None) or error).split())[:200]
        raise fail(f"the ledger {describe(url or '')} cannot be read: {cause}") from None


def _trends(engine: Engine, question: Question, rows: list[Row]) -> dict[tuple[str, ...], list[int]]:
    """Tokens of each day for each group, for sparklines; empty where rows are days, hours or months already."""
    from router_core.usage.question import Question
    from router_core.usage.report import ask

    if {"day", "hour", "month"} & set(question.by) or not rows or not question.since or not question.until:
        return {}
    days = (question.until - question.since).days + 1
    if days > 62:
        return {}
    found: dict[tuple[str, ...], list[int]] = {tuple(row.group.values()): [0] * days for row in rows}
    daily = Question((*question.by, "day"), question.since, question.until, question.where)
    for row in ask(engine, daily):
        *group, day = row.group.values()
        if tuple(group) in found:
            found[tuple(group)][(date.fromisoformat(day) - question.since).days] = row.tokens
    return found
