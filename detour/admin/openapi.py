"""The OpenAPI document, made from the table of routes and the endpoints' own words."""

from __future__ import annotations

import inspect
import re
from typing import Any

from starlette.routing import Route

from detour import __version__
from router_core.usage.columns import DIMENSIONS
from router_core.usage.question import GROUPS, MAX_ROWS

MAX_MILLISECONDS = 10**15
"""Since the epoch, as far as dates go."""
MAX_LINES = 5000
"""Of the log."""

type Schema = dict[str, Any]

STATES = ("running", "waiting", "streaming", "ok", "error", "cancelled", "refused")
"""Of exchanges, as they can be asked for."""
TEXT: Schema = {"type": "string"}
DAY: Schema = {"type": "string", "pattern": r"^(\d{4}-\d{2}-\d{2}|\d{1,4}d|today|yesterday)$"}


def _to(most: int) -> Schema:
    return {"type": "integer", "minimum": 1, "maximum": most}


QUERIES: dict[str, list[tuple[str, Schema, str]]] = {
    "/api/v1/exchanges": [
        ("limit", _to(MAX_ROWS), "At most this many of each."),
        ("state", {"type": "string", "enum": list(STATES)}, "Only those in this state."),
        ("before", _to(MAX_MILLISECONDS), "Milliseconds since the epoch: only older ones, from the ledger."),
    ],
    "/api/v1/usage": [
        (
            "by",
            {"type": "string", "pattern": "^({0})(,({0}))*$".format("|".join(GROUPS))},
            "Names joined by commas: one of day, hour and month; session with few others unless one is named.",
        ),
        ("since", DAY, "First day, 2026-03-01; 7d for the last seven."),
        ("until", DAY, "Last day."),
        ("limit", _to(MAX_ROWS), "At most this many rows."),
        *((name, TEXT, f"Only this {name}.") for name in (*DIMENSIONS, "session")),
    ],
    "/api/v1/captures": [("limit", _to(MAX_ROWS), "At most this many.")],
    "/api/v1/config": [("all", TEXT, "1: with the defaults.")],
    "/api/v1/logs": [("limit", _to(MAX_LINES), "At most this many lines.")],
}
PATHS: dict[str, Schema] = {
    "mode": {"type": "string", "enum": ["off", "errors", "all"]},
    "month": {"type": "string", "pattern": r"^\d{4}-(0[1-9]|1[0-2])$"},
}

OPEN = frozenset({"/healthz", "/readyz", "/ca.pem"})
OTHER_TYPES = {
    "/metrics": "text/plain",
    "/ca.pem": "application/x-pem-file",
    "/api/v1/exchanges/live": "text/event-stream",
}


def document(routes: list[Route]) -> dict[str, Any]:
    """An OpenAPI 3.1 document of `routes`."""
    paths: dict[str, Any] = {}
    for route in routes:
        path = re.sub(r":\w+}", "}", route.path)
        for method in sorted((route.methods or set()) - {"HEAD"}):
            paths.setdefault(path, {})[method.lower()] = _operation(route, path, method)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Detour admin API", "version": __version__},
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Error": _ERROR},
            "responses": {
                "Error": _answer(
                    "What went wrong.", "application/json", {"$ref": "#/components/schemas/Error"}
                )
            },
        },
    }


_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
        }
    },
}


def _operation(route: Route, path: str, method: str) -> dict[str, Any]:
    words = inspect.getdoc(route.endpoint) or route.name
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": PATHS.get(name, TEXT)}
        for name in re.findall(r"{(\w+)}", path)
    ] + [
        {"name": name, "in": "query", "description": text, "schema": schema}
        for name, schema, text in QUERIES.get(path, [])
    ]
    media = OTHER_TYPES.get(path, "application/json")
    operation: dict[str, Any] = {
        "operationId": f"{route.name}_{method.lower()}" if len(route.methods or ()) > 2 else route.name,
        "summary": words.splitlines()[0],
        "responses": {
            "200": _answer("Done.", media, {"type": "string" if media != "application/json" else "object"}),
            "default": {"$ref": "#/components/responses/Error"},
        },
    }
    if parameters:
        operation["parameters"] = parameters
    if path in OPEN:
        operation["security"] = []
    elif path == "/metrics":
        # Without the token while the listener is on loopback.
        operation["security"] = [{"token": []}, {}]
    if path.endswith("/validate"):
        operation["requestBody"] = {"content": {"application/yaml": {"schema": {"type": "string"}}}}
    return operation


def _answer(text: str, media: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": text, "content": {media: {"schema": schema}}}
