"""The list of models in each client's format.

Shapes: Anthropic `GET /v1/models` (https://docs.claude.com/en/api/models-list), OpenAI `GET /v1/models`
(https://platform.openai.com/docs/api-reference/models), Gemini `GET /v1beta/models`
(https://ai.google.dev/api/models), Ollama `GET /api/tags` (https://github.com/ollama/ollama/blob/main/docs/api.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from router_core.formats import Format
from router_core.routing.models import ModelEntry

EPOCH = "1970-01-01T00:00:00Z"
"""For dates that the formats demand and nobody knows."""


def model_list(format: Format, entries: Sequence[ModelEntry]) -> dict[str, Any]:
    """The whole list."""
    models = [one_model(format, entry) for entry in entries]
    match format:
        case Format.ANTHROPIC:
            ids = [entry.id for entry in entries]
            return {
                "data": models,
                "has_more": False,
                "first_id": ids[0] if ids else None,
                "last_id": ids[-1] if ids else None,
            }
        case Format.GEMINI | Format.OLLAMA:
            return {"models": models}
        case _:
            return {"object": "list", "data": models}


def one_model(format: Format, entry: ModelEntry) -> dict[str, Any]:
    """One model, as it stands in the list and for a path that names it."""
    match format:
        case Format.ANTHROPIC:
            return {"type": "model", "id": entry.id, "display_name": entry.id, "created_at": EPOCH}
        case Format.GEMINI:
            info = entry.info
            limits = {
                "inputTokenLimit": info.context_length if info else None,
                "outputTokenLimit": info.max_output_tokens if info else None,
            }
            return {
                "name": f"models/{entry.id}",
                "version": "001",
                "displayName": entry.id,
                **{name: value for name, value in limits.items() if value},
                "supportedGenerationMethods": ["generateContent", "streamGenerateContent", "countTokens"],
            }
        case Format.OLLAMA:
            return {
                "name": entry.id,
                "model": entry.id,
                "modified_at": EPOCH,
                "size": 0,
                "digest": "",
                "details": {},
            }
        case _:
            owner = entry.providers[0] if entry.providers else "detour"
            return {"id": entry.id, "object": "model", "created": 0, "owned_by": owner}
