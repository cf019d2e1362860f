"""The OpenAPI document, made from the table of routes and the endpoints' own words."""

from __future__ import annotations

import inspect
import re
from typing import Any

from starlette.routing import Route

from detour import __version__

QUERIES: dict[str, list[tuple[str, str, str]]] = {
    "/api/v1/exchanges": [
        ("limit", "integer", "At most this many of each."),
        ("state", "string", "running, waiting, streaming, ok, error, cancelled or refused."),
        ("before", "integer", "Milliseconds since the epoch: only older ones, from the ledger."),
    ],
    "/api/v1/usage": [
        (
            "by",
            "string",
            "day, hour, month, provider, model, credential, client, tool, session; joined by commas.",
        ),
        ("since", "string", "First day, 2026-03-01."),
        ("until", "string", "Last day."),
        ("limit", "integer", "At most this many rows."),
        *(
            (name, "string", f"Only this {name}.")
            for name in ("provider", "model", "credential", "client", "tool", "session")
        ),
    ],
    "/api/v1/captures": [("limit", "integer", "At most this many.")],
    "/api/v1/config": [("all", "string", "1: with the defaults.")],
    "/api/v1/logs": [("limit", "integer", "At most this many lines.")],
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
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", path)
    ] + [
        {"name": name, "in": "query", "description": text, "schema": {"type": kind}}
        for name, kind, text in QUERIES.get(path, [])
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
    if path.endswith("/validate"):
        operation["requestBody"] = {"content": {"application/yaml": {"schema": {"type": "string"}}}}
    return operation


def _answer(text: str, media: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": text, "content": {media: {"schema": schema}}}
