"""The admin port's routes: one table for the server and for the OpenAPI document."""

from __future__ import annotations

from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from detour.admin import api, pages
from detour.admin.answers import JSON, Missing, answered, context_of
from detour.admin.context import Context
from detour.admin.guard import Guard, error
from detour.admin.metrics import CONTENT_TYPE, Metrics
from detour.admin.openapi import document
from detour.admin.static_files import static
from detour.admin.token import Keys
from detour.ports import Address


async def healthz(request: Request) -> Response:
    """Answers as long as the process does: `ok`, or `draining` while it only finishes what it has begun."""
    return JSON({"status": "draining" if context_of(request).core.draining else "ok"})


async def readyz(request: Request) -> Response:
    """200 while requests are served, 503 when Detour is shutting down; says how the ledger is."""
    context = context_of(request)
    ready = context.serves()
    ledger = (await context.look()).ledger
    return JSON({"ready": ready, "ledger": ledger.state if ledger else "off"}, 200 if ready else 503)


async def metrics(request: Request) -> Response:
    """Prometheus' text exposition."""
    sight = await context_of(request).look()
    return Response(request.app.state.metrics.text(sight), media_type=CONTENT_TYPE)


@answered
async def ca_certificate(request: Request) -> Any:
    """The certificate of Detour's authority, for tools and devices that are to trust it."""
    path = context_of(request).paths.ca / "mitmproxy-ca-cert.pem"
    try:
        return Response(path.read_bytes(), media_type="application/x-pem-file")
    except OSError:
        raise Missing("There is no certificate authority yet.") from None


async def openapi(request: Request) -> Response:
    """This description of the API."""
    return JSON(document(API))


def _get(path: str, endpoint: Any) -> Route:
    return Route(path, endpoint, methods=["GET"])


def _post(path: str, endpoint: Any) -> Route:
    return Route(path, endpoint, methods=["POST"])


API: Final = [
    _get("/healthz", healthz),
    _get("/readyz", readyz),
    _get("/metrics", metrics),
    _get("/ca.pem", ca_certificate),
    _get("/api/v1/openapi.json", openapi),
    _get("/api/v1/state", api.state),
    _get("/api/v1/credentials", api.credentials),
    _post("/api/v1/credentials/{id}/reset", api.reset_credential),
    _post("/api/v1/credentials/{id}/disable", api.disable_credential),
    _post("/api/v1/credentials/{id}/enable", api.enable_credential),
    _get("/api/v1/refusals", api.refusals),
    _post("/api/v1/refusals/forget", api.forget_refusals),
    _get("/api/v1/models", api.models),
    _get("/api/v1/exchanges", api.exchanges),
    _get("/api/v1/exchanges/live", api.exchanges_live),
    _get("/api/v1/exchanges/{id}", api.exchange),
    _get("/api/v1/usage", api.usage),
    _get("/api/v1/usage/months/{month}", api.usage_month),
    _get("/api/v1/budgets", api.budgets),
    _get("/api/v1/recording", api.recording),
    _post("/api/v1/recording/{mode}", api.record),
    _get("/api/v1/captures", api.list_captures),
    _get("/api/v1/captures/{id}", api.capture),
    _get("/api/v1/config", api.config),
    _post("/api/v1/config/validate", api.validate_config),
    _post("/api/v1/config/reload", api.reload_config),
    _get("/api/v1/logs", api.logs),
    _post("/api/v1/tickets", api.ticket),
]


def make_app(context: Context, token: str, address: Address) -> Starlette:
    """The ASGI application of the admin port at `address`."""
    keys = Keys(token)
    cookie = f"detour_{address.port}"
    app = Starlette(
        routes=[*API, *pages.ROUTES, _get("/static/{name}", static)],
        middleware=[Middleware(Guard, keys=keys, cookie=cookie, host=address.host)],
        exception_handlers={404: _not_found, 405: _not_allowed, 500: _failed},
    )
    app.state.context, app.state.keys, app.state.cookie = context, keys, cookie
    app.state.metrics = Metrics(context)
    return app


async def _not_found(request: Request, _problem: Exception) -> Response:
    text = f"There is nothing at {request.url.path}."
    if "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api/"):
        return pages.shell.render(request, "message.html", 404, title="Not there", text=text)
    return error(404, "not_found", text)


async def _not_allowed(request: Request, problem: Exception) -> Response:
    answer = error(405, "method_not_allowed", f"{request.method} does nothing here.")
    assert isinstance(problem, HTTPException)
    answer.headers.update(problem.headers or {})  # Allow
    return answer


async def _failed(_request: Request, _problem: Exception) -> Response:
    return error(500, "internal", "Detour failed on this request; its log has the details.")
