"""What runs and what has run, live, and one exchange of it."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from detour.admin import documents
from detour.admin.answers import Missing, asked, context_of, number
from detour.admin.pages.shell import page, render


@page
async def live(request: Request) -> Response:
    context = context_of(request)
    limit = number(request, "limit", 200, 10_000)
    return render(
        request,
        "live.html",
        running=(await context.look()).running[:limit],
        finished=[documents.finished(e) for e in context.activity.recent(limit)],
        limit=limit,
    )


@page
async def exchange(request: Request) -> Response:
    context, wanted = context_of(request), request.path_params["id"]
    found: dict[str, Any] | None = None
    for under_way in (await context.look()).running:
        if under_way["id"] == wanted:
            found = dict(under_way)
    for over in context.activity.recent():
        if over.id == wanted:
            found = documents.finished(over)
    if found is None:
        found = await asked(context, lambda report, engine: report.exchange(engine, wanted))
    if found is None:
        raise Missing(f"There is no exchange {wanted!r}.")
    tried = found.pop("failures", ()) if "failures" in found else found.pop("attempts", ())
    return render(
        request,
        "exchange.html",
        id=wanted,
        facts=found,
        tried=tried if isinstance(tried, list | tuple) else (),
    )
