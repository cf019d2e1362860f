"""The admin API, version 1. `detour.admin.openapi` describes it from the same table of routes."""

from __future__ import annotations

import asyncio
from datetime import date
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from detour.admin import captures, documents
from detour.admin.answers import Invalid, Missing, answered, asked, context_of, number
from detour.admin.context import Context
from detour.admin.guard import error
from detour.admin.live import LiveResponse
from detour.admin.openapi import MAX_LINES, MAX_MILLISECONDS, STATES
from detour.admin.redacted import redacted
from router_core.config.problems import ConfigError, Problem
from router_core.usage.columns import DIMENSIONS
from router_core.usage.question import MAX_ROWS, Question, grouping, month_asked, period_asked


@answered
async def state(request: Request) -> Any:
    """How the instance is: version, uptime, listeners, running exchanges, ledger, credentials by state."""
    context = context_of(request)
    return documents.state(context, await context.look())


@answered
async def credentials(request: Request) -> Any:
    """Each credential: state, reason, since, until, windows, cooldowns of single models, last error."""
    sight = await context_of(request).look()
    return {"credentials": documents.credentials(sight), "disabled": sight.disabled}


@answered
async def reset_credential(request: Request) -> Any:
    """Ends all cooldowns of a credential."""
    context = context_of(request)
    name = _credential(request, context)
    await context.reset(name)
    return await _status(context, name)


@answered
async def disable_credential(request: Request) -> Any:
    """Takes a credential out of use until it is enabled again, also over restarts."""
    return await _switch(request, True)


@answered
async def enable_credential(request: Request) -> Any:
    """Puts a credential back that was taken out of use."""
    return await _switch(request, False)


async def _switch(request: Request, disabled: bool) -> Any:
    context = context_of(request)
    name = _credential(request, context)
    await context.switch(name, disabled)
    return await _status(context, name)


def _credential(request: Request, context: Context) -> str:
    name: str = request.path_params["id"]
    if all(credential.id != name for credential in context.core.config.credentials):
        raise Missing(f"There is no credential {name!r}.")
    return name


async def _status(context: Context, name: str) -> Any:
    found = next((c for c in documents.credentials(await context.look()) if c["id"] == name), None)
    return found or {"id": name, "state": "inactive"}


@answered
async def refusals(request: Request) -> Any:
    """Clients that refuse Detour's certificate: how often in a row, why, and how long they are still tunnelled."""
    return {"refusals": (await context_of(request).look()).refusals}


@answered
async def forget_refusals(request: Request) -> Any:
    """Ends all tunnelling of clients that refused the certificate, as after their trust was mended."""
    await context_of(request).forget_refusals()
    return {"refusals": []}


@answered
async def models(request: Request) -> Any:
    """What a client may ask for, and where it leads."""
    return {"models": await context_of(request).models()}


@answered
async def exchanges(request: Request) -> Any:
    """Running exchanges, and the finished ones, newest first; `before` pages on through the ledger."""
    context = context_of(request)
    limit = number(request, "limit", 100, MAX_ROWS)
    wanted = request.query_params.get("state")
    if wanted and wanted not in STATES:
        raise Invalid(f"state is one of {', '.join(STATES)}")
    if before := number(request, "before", 0, MAX_MILLISECONDS):
        rows = await asked(context, lambda report, engine: report.recent(engine, limit, before))
        return {"running": [], "finished": rows or []}
    under_way = (await context.look()).running
    over = [documents.finished(e) for e in context.activity.recent(limit)]
    if wanted:
        over = [e for e in over if e["state"] == wanted]
        under_way = [e for e in under_way if wanted in ("running", e["state"])]
    return {"running": under_way[:limit], "finished": over}


@answered
async def exchange(request: Request) -> Any:
    """One exchange: a running one with its attempts, a finished one with its figures."""
    context, wanted = context_of(request), request.path_params["id"]
    for under_way in (await context.look()).running:
        if under_way["id"] == wanted:
            return under_way
    for over in context.activity.recent():
        if over.id == wanted:
            return documents.finished(over)
    row = await asked(context, lambda report, engine: report.exchange(engine, wanted))
    if row is None:
        raise Missing(f"There is no exchange {wanted!r}.")
    return row


async def exchanges_live(request: Request) -> Response:
    """Server-sent events: `started`, `finished` and `priced` with one exchange, `progress` with all under way."""
    context = context_of(request)
    subscription = context.subscribe()
    if subscription is None:
        return error(503, "too_many_listeners", "Too many clients listen already.")
    return LiveResponse(context, subscription)


@answered
async def usage(request: Request) -> Any:
    """Sums from the ledger: by day, hour, month, provider, model, credential, client, tool or session."""
    context, query = context_of(request), request.query_params
    first, last = period_asked(query.get("since"), query.get("until"), date.today())
    by = grouping([query.get("by", "day")])
    where = {name: query[name] for name in (*DIMENSIONS, "session") if name in query}
    question = Question(by, first, last, where, number(request, "limit", 1000, MAX_ROWS))
    whole = Question((), first, last, where)
    rows = await asked(context, lambda report, engine: report.ask(engine, question)) or []
    sums = await asked(context, lambda report, engine: report.ask(engine, whole))
    return {
        "since": first,
        "until": last,
        "by": by,
        "where": where,
        "rows": [row.document() for row in rows],
        "total": sums[0].document() if sums else None,
    }


@answered
async def usage_month(request: Request) -> Any:
    """The report of one month."""
    context, text = context_of(request), request.path_params["month"]
    first = month_asked(text)
    engine = await asyncio.to_thread(context.engine)
    from router_core.usage.monthly import monthly

    found = await asyncio.to_thread(monthly, engine, first) if engine else None
    return found.document() if found else {"month": text, "total": None}


@answered
async def budgets(request: Request) -> Any:
    """Where each budget stands."""
    return {"budgets": documents.budgets(await context_of(request).look())}


@answered
async def list_captures(request: Request) -> Any:
    """The recorded exchanges, newest first."""
    folders, limit = context_of(request).paths.captures, number(request, "limit", 100, MAX_ROWS)
    return {"captures": await asyncio.to_thread(captures.listed, folders, limit)}


@answered
async def capture(request: Request) -> Any:
    """One record: requests, answers, the conversation, and the changes between the client's hop and upstream's."""
    folders = context_of(request).paths.captures
    return await asyncio.to_thread(captures.shown, folders, request.path_params["id"])


@answered
async def recording(request: Request) -> Any:
    """What is recorded, and counters since the start."""
    return await _recording(context_of(request))


@answered
async def record(request: Request) -> Any:
    """Records all exchanges, those with errors, or off, until Detour restarts; rules of the configuration go first."""
    context, mode = context_of(request), request.path_params["mode"]
    if mode not in ("off", "errors", "all"):
        raise Invalid(f"There is no mode {mode!r}; there are off, errors and all.")
    await context.record(mode)
    return await _recording(context)


async def _recording(context: Context) -> dict[str, Any]:
    return {"mode": context.core.config.capture.mode, "counters": (await context.look()).recorder}


@answered
async def config(request: Request) -> Any:
    """The configuration in force, without its secrets; `all=1` adds the defaults."""
    context = context_of(request)
    return {
        "path": str(context.loaded.path),
        "config": redacted(context.core.config, all_keys=request.query_params.get("all") == "1"),
        "warnings": [_problem(p) for p in context.loaded.warnings],
    }


@answered
async def validate_config(request: Request) -> Any:
    """Checks a configuration that is sent as YAML or JSON, or without a body the file itself; changes nothing."""
    body = await request.body()
    try:
        loaded = await asyncio.to_thread(context_of(request).check, body or None)
    except ConfigError as invalid:
        return {"valid": False, "problems": [_problem(p) for p in invalid.problems], "warnings": []}
    return {"valid": True, "problems": [], "warnings": [_problem(p) for p in loaded.warnings]}


@answered
async def reload_config(request: Request) -> Any:
    """Loads the configuration file anew and puts it in force; a mistake in it changes nothing."""
    try:
        warnings = await context_of(request).reload()
    except ConfigError as invalid:
        problems = "; ".join(str(p) for p in invalid.problems)
        raise Invalid(f"The configuration was not loaded: {problems}") from None
    return {"reloaded": True, "warnings": [_problem(p) for p in warnings]}


def _problem(problem: Problem) -> dict[str, Any]:
    return {"file": problem.file, "line": problem.line, "what": problem.what, "remedy": problem.remedy}


@answered
async def logs(request: Request) -> Any:
    """The latest log lines, newest last."""
    return {"lines": context_of(request).log.lines(number(request, "limit", 500, MAX_LINES))}


@answered
async def ticket(request: Request) -> Any:
    """A login for a browser that works once within a minute."""
    return {"path": f"/login?ticket={request.app.state.keys.ticket()}"}
