"""The usage explorer, and its rows as CSV."""

from __future__ import annotations

import csv
import io
from datetime import date, timedelta
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from detour.admin import charts, words
from detour.admin.answers import Invalid, context_of
from detour.admin.pages.shell import ask, page, render
from router_core.usage.columns import DIMENSIONS
from router_core.usage.question import GROUPS, Question


@page
async def usage(request: Request) -> Response:
    context, query = context_of(request), request.query_params
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
        query=urlencode(list(query.multi_items())),
    )


@page
async def usage_csv(request: Request) -> Response:
    question = _question(request)
    out = io.StringIO()
    writer = csv.writer(out)
    for index, row in enumerate(await ask(context_of(request), question)):
        document = row.document()
        document.pop("first_byte_ms", None)
        if not index:
            writer.writerow(document)
        writer.writerow([words.cell(value) for value in document.values()])
    return Response(
        out.getvalue(),
        media_type="text/csv",
        headers={"content-disposition": 'attachment; filename="usage.csv"'},
    )


def _question(request: Request) -> Question:
    query = request.query_params
    try:
        last = date.fromisoformat(query.get("until") or date.today().isoformat())
        first = date.fromisoformat(query.get("since") or (last - timedelta(days=29)).isoformat())
    except ValueError:
        raise Invalid("since and until are days, as 2026-03-01") from None
    by = tuple(dict.fromkeys(name for text in query.getlist("by") for name in text.split(",") if name)) or (
        "day",
    )
    where = {name: query[name] for name in (*DIMENSIONS, "session") if query.get(name)}
    return Question(by, first, last, where, 1000)
