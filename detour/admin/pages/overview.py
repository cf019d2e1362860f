"""How it goes: today's sums, charts over time, states and budgets."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from detour.admin import charts, documents
from detour.admin.answers import Invalid, context_of
from detour.admin.pages.shell import ask, page, render
from router_core.usage.question import Question, Row

RANGES: Final = {"24h": 1, "7d": 7, "30d": 30, "90d": 90}


@page
async def overview(request: Request) -> Response:
    context = context_of(request)
    name = request.query_params.get("range", "24h")
    days = RANGES.get(name)
    if days is None:
        raise Invalid(f"range is one of {', '.join(RANGES)}")
    unit = "hour" if days <= 7 else "day"
    last = date.today()
    # A day back from now reaches into yesterday.
    first = last - timedelta(days=days if days == 1 else days - 1)
    rows = await ask(context, Question((unit,), first, last))
    if days == 1:
        rows = [r for r in rows if datetime.fromisoformat(r.group["hour"]).timestamp() > time.time() - 86400]
    today = await ask(context, Question((), last, last))
    top = await ask(context, Question(("provider", "model"), first, last, limit=8))
    sight = await context.look()
    return render(
        request,
        "overview.html",
        state=documents.state(context, sight),
        today=today[0] if today else None,
        range=name,
        ranges=list(RANGES),
        charts=overview_charts(rows, unit, first, last, days),
        top=top,
        budgets=documents.budgets(sight),
        credentials=documents.credentials(sight),
    )


def overview_charts(rows: list[Row], unit: str, first: date, last: date, days: int) -> list[charts.Chart]:
    slots = _slots(unit, first, last, days)
    by_slot = {row.group[unit]: row for row in rows}
    labels = [_slot_label(unit, slot, days) for slot in slots]
    found = [by_slot.get(slot) for slot in slots]

    def values(measure: Callable[[Row], float]) -> list[float]:
        return [measure(row) if row else 0 for row in found]

    drawn = [
        charts.bars("Requests", "requests", labels, values(lambda r: r.requests)),
        charts.bars("Tokens", "tokens", labels, values(lambda r: r.tokens)),
        charts.bars("Cost", "US dollars", labels, values(lambda r: r.cost or 0)),
        charts.bars("Failed requests", "requests", labels, values(lambda r: r.errors + r.refused)),
    ]
    if unit == "hour":
        percentiles = [row.first_byte_ms if row else None for row in found]
        series: dict[str, Any] = {
            p: [q[p] / 1000 if q else None for q in percentiles] for p in ("p50", "p90", "p99")
        }
        drawn.append(charts.lines("First byte", "seconds", labels, series))
    speeds = [row.tokens_per_second if row else None for row in found]
    drawn.append(charts.lines("Speed", "tokens a second", labels, {"output": speeds}))
    return drawn


def _slots(unit: str, first: date, last: date, days: int) -> list[str]:
    if unit == "day":
        return [(first + timedelta(days=i)).isoformat() for i in range((last - first).days + 1)]
    now = int(time.time()) // 3600 * 3600
    hours = 24 if days == 1 else days * 24
    return [datetime.fromtimestamp(now - 3600 * i).astimezone().isoformat() for i in range(hours - 1, -1, -1)]


def _slot_label(unit: str, slot: str, days: int) -> str:
    if unit == "day":
        return slot[5:]
    return slot[11:16] if days == 1 else f"{slot[5:10]} {slot[11:16]}"
