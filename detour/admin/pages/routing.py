"""Where requests go: credentials with their states and windows, models and their targets."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from detour.admin import documents
from detour.admin.answers import Missing, context_of
from detour.admin.pages.shell import page, render


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
