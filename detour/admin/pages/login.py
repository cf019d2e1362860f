"""How a browser comes in: with the admin token, or with the ticket that `detour dashboard` has brought."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from detour.admin.answers import context_of, form_of
from detour.admin.guard import too_often
from detour.admin.pages.shell import render


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
