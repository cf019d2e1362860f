"""The dashboard's pages. Each works without JavaScript; scripts only keep it up to date."""

from __future__ import annotations

import asyncio
import csv
import io
import time
from collections.abc import Awaitable, Callable
from datetime import date, datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import jinja2
import yaml
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from detour import __version__
from detour.admin import captures as records
from detour.admin import charts, documents, words
from detour.admin.answers import Invalid, Missing, asked, context_of, form_of, number, of_database
from detour.admin.context import Context
from detour.admin.guard import too_often
from detour.admin.redacted import redacted
from router_core.config.problems import ConfigError
from router_core.usage.address import LedgerError
from router_core.usage.columns import DIMENSIONS
from router_core.usage.question import GROUPS, Question, QuestionError, Row

PAGES: Final = (
    ("/", "Overview"),
    ("/live", "Live"),
    ("/credentials", "Credentials"),
    ("/models", "Models"),
    ("/usage", "Usage"),
    ("/captures", "Captures"),
    ("/settings", "Settings"),
    ("/logs", "Logs"),
)

RANGES: Final = {"24h": 1, "7d": 7, "30d": 30, "90d": 90}

templates = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
)
templates.filters.update(words.FILTERS)


def render(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    text = templates.get_template(template).render(
        pages=PAGES,
        here="/" + request.url.path.split("/")[1],
        version=__version__,
        form=request.scope.get("detour.form", ""),
        said=request.query_params.get("said", "")[:200],
        now=time.time(),
        **values,
    )
    return HTMLResponse(text, status)


def page(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """`endpoint`, whose errors become pages too."""

    @wraps(endpoint)
    async def answering(request: Request) -> Response:
        try:
            return await endpoint(request)
        except Missing as problem:
            return render(request, "message.html", 404, title="Not there", text=str(problem))
        except (Invalid, QuestionError) as problem:
            return render(request, "message.html", 400, title="That cannot be answered", text=str(problem))
        except Exception as problem:
            if isinstance(problem, LedgerError):
                text = str(problem)
            elif of_database(problem):
                text = "The ledger's database does not answer."
            else:
                raise
            return render(request, "message.html", 503, title="The ledger cannot be read", text=text)

    return answering


async def login(request: Request) -> Response:
    keys = request.app.state.keys
    shown = ""
    if request.method == "POST":
        shown = (await form_of(request)).get("token", "")
    ticket = request.query_params.get("ticket", "")
    right = bool(ticket and keys.redeem(ticket)) or bool(shown and keys.is_token(shown.strip()))
    if (ticket or shown) and (refusal := too_often(request, keys, right)):
        return refusal
    if right:
        response = RedirectResponse("/", 303)
        response.set_cookie(
            request.app.state.cookie,
            keys.session,
            httponly=True,
            samesite="strict",
            max_age=30 * 86400,
            path="/",
        )
        return response
    refused = bool(ticket or shown)
    file = context_of(request).paths.admin_token.name
    return render(request, "login.html", 401 if refused else 200, refused=refused, file=file)


async def logout(request: Request) -> Response:
    response = RedirectResponse("/login", 303)
    response.delete_cookie(request.app.state.cookie, path="/", samesite="strict", httponly=True)
    return response


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


async def ask(context: Context, question: Question) -> list[Row]:
    return await asked(context, lambda report, engine: report.ask(engine, question)) or []


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


@page
async def credentials(request: Request) -> Response:
    context = context_of(request)
    by_provider: dict[str, list[dict[str, Any]]] = {}
    for status in documents.credentials(await context.look()):
        by_provider.setdefault(status["provider"], []).append(status)
    providers = context.core.registry.providers
    named = {name: providers[name].display_name for name in by_provider if name in providers}
    return render(request, "credentials.html", by_provider=by_provider, named=named)


@page
async def change_credential(request: Request) -> Response:
    context = context_of(request)
    name, action = request.path_params["id"], request.path_params["action"]
    if all(credential.id != name for credential in context.core.config.credentials):
        raise Missing(f"There is no credential {name!r}.")
    if action == "reset":
        await context.reset(name)
        said = f"The cooldowns of {name} are over."
    elif action in ("disable", "enable"):
        await context.switch(name, action == "disable")
        said = f"{name} is {'out of use' if action == 'disable' else 'in use again'}."
    else:
        raise Missing(f"{action!r} is nothing that can be done to a credential.")
    return RedirectResponse("/credentials?" + urlencode({"said": said}), 303)


@page
async def models(request: Request) -> Response:
    context = context_of(request)
    found = await context.models()
    return render(request, "models.html", models=found, configured=context.core.config.models)


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


@page
async def captures(request: Request) -> Response:
    context = context_of(request)
    found = await asyncio.to_thread(
        records.listed, context.paths.captures, number(request, "limit", 200, 10_000)
    )
    return render(request, "captures.html", captures=found, mode=context.core.config.capture.mode)


@page
async def capture(request: Request) -> Response:
    folder, wanted = context_of(request).paths.captures, request.path_params["id"]
    record = await asyncio.to_thread(records.shown, folder, wanted)
    return render(request, "capture.html", id=wanted, record=record)


@page
async def settings(request: Request) -> Response:
    return _settings(request)


def _settings(request: Request, text: str = "", checked: dict[str, Any] | None = None) -> Response:
    context = context_of(request)
    every = request.query_params.get("all") == "1"
    shown = yaml.safe_dump(
        redacted(context.core.config, all_keys=every), sort_keys=False, allow_unicode=True, width=100
    )
    return render(
        request,
        "settings.html",
        path=context.loaded.path,
        config=shown,
        every=every,
        warnings=context.loaded.warnings,
        text=text,
        checked=checked,
    )


@page
async def check_settings(request: Request) -> Response:
    text = (await form_of(request)).get("config", "")
    try:
        loaded = await asyncio.to_thread(context_of(request).check, text.encode() if text.strip() else None)
        checked = {"valid": True, "problems": loaded.warnings}
    except ConfigError as invalid:
        checked = {"valid": False, "problems": invalid.problems}
    return _settings(request, text, checked)


@page
async def reload_settings(request: Request) -> Response:
    try:
        await context_of(request).reload()
    except ConfigError as invalid:
        return _settings(request, "", {"valid": False, "problems": invalid.problems})
    return RedirectResponse("/settings?" + urlencode({"said": "The configuration is in force."}), 303)


@page
async def logs(request: Request) -> Response:
    lines = context_of(request).log.lines(number(request, "limit", 500, 2000))
    lines.reverse()
    return render(request, "logs.html", lines=lines)


async def favicon(_request: Request) -> Response:
    return RedirectResponse("/static/icon.svg", 308)


ROUTES: Final = [
    Route("/", overview),
    Route("/login", login, methods=["GET", "POST"]),
    Route("/logout", logout, methods=["POST"]),
    Route("/live", live),
    Route("/exchanges/{id}", exchange),
    Route("/credentials", credentials),
    Route("/credentials/{id}/{action}", change_credential, methods=["POST"]),
    Route("/models", models),
    Route("/usage", usage),
    Route("/usage.csv", usage_csv),
    Route("/captures", captures),
    Route("/captures/{id}", capture),
    Route("/settings", settings),
    Route("/settings/check", check_settings, methods=["POST"]),
    Route("/settings/reload", reload_settings, methods=["POST"]),
    Route("/logs", logs),
    Route("/favicon.ico", favicon),
]
