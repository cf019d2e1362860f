"""Lists of models in each format's shape."""

from __future__ import annotations

from typing import Any

from router_core.formats import Format


def ids(upstream: Format, document: Any) -> list[str]:
    """The model ids of an upstream's list."""
    fields = document if isinstance(document, dict) else {}
    entries = fields.get("models") if upstream in (Format.GEMINI, Format.OLLAMA) else fields.get("data")
    names = [
        entry.get("name") or entry.get("model")
        if upstream in (Format.GEMINI, Format.OLLAMA)
        else entry.get("id")
        for entry in entries or ()
        if isinstance(entry, dict)
    ]
    return [name.removeprefix("models/") for name in names if isinstance(name, str)]


def write(client: Format, models: list[str]) -> dict[str, Any]:
    """The list of `models` as a client of format `client` reads it."""
    match client:
        case Format.ANTHROPIC:
            data = [
                {"type": "model", "id": id, "display_name": id, "created_at": "1970-01-01T00:00:00Z"}
                for id in models
            ]
            first, last = (models[0], models[-1]) if models else (None, None)
            return {"data": data, "has_more": False, "first_id": first, "last_id": last}
        case Format.GEMINI:
            methods = ["generateContent", "countTokens"]
            return {
                "models": [
                    {"name": f"models/{id}", "displayName": id, "supportedGenerationMethods": methods}
                    for id in models
                ]
            }
        case Format.OLLAMA:
            return {
                "models": [{"name": id, "model": id, "size": 0, "digest": "", "details": {}} for id in models]
            }
    return {
        "object": "list",
        "data": [{"id": id, "object": "model", "created": 0, "owned_by": "detour"} for id in models],
    }


def answer(client: Format, upstream: Format, document: Any) -> dict[str, Any]:
    """An upstream's list in the client's format."""
    return write(client, ids(upstream, document))
