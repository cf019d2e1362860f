"""The usage explorer, and its rows as CSV."""

from __future__ import annotations

import io
from datetime import date
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from detour import sheet
from detour.admin import charts
from detour.admin.answers import context_of
from detour.admin.pages.shell import ask, page, render
from router_core.usage.columns import DIMENSIONS
from router_core.usage.question import GROUPS, Question, grouping, period_asked


@page
async def usage(request: Request) -> Response:
    context = context_of(request)
    question = _question(request)
    rows = await ask(context, question)
    sums = await ask(context, Question((), question.since, question.until, question.where))
    chart = None
    if question.by and question.by[0] in ("day", "hour", "month") and len(question.by) == 1:
        labels = [
            row.group[question.by[0]][-14:-6] if question.by[0] == "hour" else row.group[question.by[0]]
            for row in rows
        ]
        chart = charts.bars("Tokens", "tokens", labels, [row.tokens for row in rows])
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


def _question(request: Request) -> Question:
    query = request.query_params
    first, last = period_asked(query.get("since"), query.get("until"), date.today())
    by = grouping(query.getlist("by")) or ("day",)
    where = {name: query[name] for name in (*DIMENSIONS, "session") if query.get(name)}
    return Question(by, first, last, where, 1000)
