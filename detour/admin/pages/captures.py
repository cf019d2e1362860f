"""What was recorded: the list, and one record with its conversation, changes and timeline."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from detour.admin import captures as records
from detour.admin.answers import context_of, number
from detour.admin.pages.shell import page, render


@page
async def captures(request: Request) -> Response:
    context = context_of(request)
    found = await asyncio.to_thread(
        records.listed, context.paths.captures, number(request, "limit", 200, 10_000)
    )
    return render(request, "captures.html", captures=found, mode=context.core.config.capture.mode)


@page
async def capture(request: Request) -> Response:
    folders, wanted = context_of(request).paths.captures, request.path_params["id"]
    record = await asyncio.to_thread(records.shown, folders, wanted)
    other = request.query_params.get("with", "").strip()
    compared = await asyncio.to_thread(records.compared, folders, wanted, other) if other else None
    return render(request, "capture.html", id=wanted, record=record, other=other, compared=compared)
