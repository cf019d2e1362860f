"""The list of models in each client's format, whole or by pages where the client asks for them.

Shapes: Anthropic `GET /v1/models` (https://docs.claude.com/en/api/models-list), OpenAI `GET /v1/models`
(https://platform.openai.com/docs/api-reference/models), Gemini `GET /v1beta/models`
(https://ai.google.dev/api/models), Ollama `GET /api/tags` (https://github.com/ollama/ollama/blob/main/docs/api.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from router_core.errors import Code, Refusal
from router_core.formats import Format
from router_core.routing.models import ModelEntry

EPOCH = "1970-01-01T00:00:00Z"
"""For dates that the formats demand and nobody knows."""


MAX_PAGE = 1000
"""Models a page; who asks for more gets so many, as at the providers."""


def model_list(
    format: Format, entries: Sequence[ModelEntry], query: Mapping[str, str] | None = None
) -> dict[str, Any] | Refusal:
    """The list, or the page of it that `query` asks for: OpenAI and Ollama have none.

    Unlike at the providers, the list is whole where no size is asked for: some tools never ask for a second page.
    A page goes on behind a model that is gone by now from the beginning.
    """
    query = query or {}
    match format:
        case Format.ANTHROPIC:
            return _by_ids(entries, query)
        case Format.GEMINI:
            return _by_tokens(entries, query)
        case Format.OLLAMA:
            return {"models": [one_model(format, entry) for entry in entries]}
        case _:
            return {"object": "list", "data": [one_model(format, entry) for entry in entries]}


def _by_ids(entries: Sequence[ModelEntry], query: Mapping[str, str]) -> dict[str, Any] | Refusal:
    """Anthropic's pages: behind `after_id`, or the last ones ahead of `before_id`."""
    size = _size(query, "limit", len(entries))
    if isinstance(size, Refusal):
        return size
    ahead = _index(entries, query.get("before_id"))
    if ahead is not None:
        start, stop = max(0, ahead - size), ahead
        more = start > 0
    else:
        after = _index(entries, query.get("after_id"))
        start = 0 if after is None else after + 1
        stop = start + size
        more = stop < len(entries)
    page = entries[start:stop]
    return {
        "data": [one_model(Format.ANTHROPIC, entry) for entry in page],
        "has_more": more,
        "first_id": page[0].id if page else None,
        "last_id": page[-1].id if page else None,
    }


def _by_tokens(entries: Sequence[ModelEntry], query: Mapping[str, str]) -> dict[str, Any] | Refusal:
    """Gemini's pages; a token is the last model that was shown."""
    size = _size(query, "pageSize", len(entries))
    if isinstance(size, Refusal):
        return size
    after = _index(entries, query.get("pageToken"))
    start = 0 if after is None else after + 1
    page = entries[start : start + size]
    shown: dict[str, Any] = {"models": [one_model(Format.GEMINI, entry) for entry in page]}
    if page and start + size < len(entries):
        shown["nextPageToken"] = page[-1].id
    return shown


def _size(query: Mapping[str, str], name: str, whole: int) -> int | Refusal:
    asked = query.get(name, "")
    if not asked:
        return whole
    if not (asked.isascii() and asked.isdigit() and int(asked[:9])):
        return Refusal(Code.INVALID_REQUEST, f"{name}: {asked[:40]!r} is not a whole number above 0.")
    return min(int(asked[:9]), MAX_PAGE)


def _index(entries: Sequence[ModelEntry], id: str | None) -> int | None:
    return next((i for i, entry in enumerate(entries) if entry.id == id), None)


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
