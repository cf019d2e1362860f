"""The usage explorer, and its rows as CSV."""

from __future__ import annotations

import io
from datetime import date, timedelta
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from detour import sheet
from detour.admin import charts
from detour.admin.answers import context_of
from detour.admin.pages.shell import ask, page, render
from router_core.usage.columns import DIMENSIONS
from router_core.usage.question import GROUPS, Question, Row, grouping, period_asked

MAX_DAYS = 400
"""That are drawn one by one, used or not."""


@page
async def usage(request: Request) -> Response:
    context = context_of(request)
    question = _question(request)
    rows = await ask(context, question)
    sums = await ask(context, Question((), question.since, question.until, question.where))
    chart = _chart(question, rows) if question.by in (("day",), ("hour",), ("month",)) else None
    return render(
        request,
        "usage.html",
        question=question,
        groups=GROUPS,
        dimensions=(*DIMENSIONS, "session"),
        rows=rows,
        total=sums[0] if sums else None,
        chart=chart,
        query=urlencode(
            {"by": ",".join(question.by), "since": question.since, "until": question.until}
            | dict(question.where or {})
        ),
    )


@page
async def usage_csv(request: Request) -> Response:
    question = _question(request)
    out = io.StringIO()
    sheet.write(out, question.by, await ask(context_of(request), question))
    return Response(
        out.getvalue(),
        media_type="text/csv",
        headers={"content-disposition": 'attachment; filename="usage.csv"'},
    )


def _chart(question: Question, rows: list[Row]) -> charts.Chart:
    """Tokens over time; days without any have their place too."""
    (unit,) = question.by
    found = {row.group[unit]: row.tokens for row in rows}
    assert question.since and question.until
    days = (question.until - question.since).days + 1
    if unit == "day" and days <= MAX_DAYS:
        every = ((question.since + timedelta(days=n)).isoformat() for n in range(days))
        found = {day: found.get(day, 0) for day in every}
    # Of an hour with its date and zone only the time has room.
    labels = [name[11:16] if unit == "hour" else name for name in found]
    return charts.bars("Tokens", "tokens", labels, list(found.values()))


def _question(request: Request) -> Question:
    query = request.query_params
    first, last = period_asked(query.get("since"), query.get("until"), date.today())
    by = grouping(query.getlist("by")) or ("day",)
    where = {name: query[name] for name in (*DIMENSIONS, "session") if query.get(name)}
    return Question(by, first, last, where, 1000)
