"""Field names of Gemini's JSON: camelCase as documented, snake_case as protobuf also accepts."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any


@lru_cache(maxsize=256)
def snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda letter: "_" + letter[0].lower(), name)


def get(fields: dict[str, Any], name: str) -> Any:
    """The value of the field `name` (camelCase) in either spelling."""
    value = fields.get(name)
    return fields.get(snake(name)) if value is None else value


def camel(name: str) -> str:
    """``max_output_tokens`` as ``maxOutputTokens``."""
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), name)


def wrapped_under(document: dict[str, Any]) -> str | None:
    """The key below which Code Assist or countTokens have the request; None where `document` is the request itself."""
    if "contents" in document:
        return None
    return next((k for k in ("request", "generateContentRequest") if isinstance(document.get(k), dict)), None)


def content_request(document: dict[str, Any]) -> dict[str, Any]:
    """The generateContent request in `document`: itself, or what Code Assist or countTokens wrapped."""
    inner = document.get("request")
    if isinstance(inner, dict) and "contents" in inner:
        document = inner
    counted = get(document, "generateContentRequest")
    return counted if isinstance(counted, dict) else document
