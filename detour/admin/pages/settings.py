"""The configuration: what is in force, a check of another one, and a reload; and the latest log lines."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlencode

import yaml
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from detour.admin.answers import context_of, form_of, number
from detour.admin.pages.shell import page, render
from detour.admin.redacted import redacted
from router_core.config.problems import ConfigError


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
