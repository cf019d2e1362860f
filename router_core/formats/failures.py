"""Errors of each format: read to a kind, written with the nearest type and status.

Sources: Anthropic "Errors"; OpenAI "Error codes"; Google ``google.rpc.Code`` with its HTTP mapping.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import orjson

from router_core.formats import Format
from router_core.formats.ir import Failure

MAX_MESSAGE: Final = 8192
"""Characters of an upstream's message that are passed on."""


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of error: (type, status) of each format; OpenAI's also with a code."""

    anthropic: tuple[str, int]
    openai: tuple[str, str | None, int]
    gemini: tuple[str, int]


KINDS: Final[dict[str, Row]] = {
    "invalid_request": Row(
        ("invalid_request_error", 400), ("invalid_request_error", None, 400), ("INVALID_ARGUMENT", 400)
    ),
    "context_length": Row(
        ("invalid_request_error", 400),
        ("invalid_request_error", "context_length_exceeded", 400),
        ("INVALID_ARGUMENT", 400),
    ),
    "authentication": Row(
        ("authentication_error", 401),
        ("authentication_error", "invalid_api_key", 401),
        ("UNAUTHENTICATED", 401),
    ),
    "billing": Row(
        ("billing_error", 402), ("insufficient_quota", "insufficient_quota", 429), ("RESOURCE_EXHAUSTED", 429)
    ),
    "permission": Row(("permission_error", 403), ("permission_error", None, 403), ("PERMISSION_DENIED", 403)),
    "not_found": Row(
        ("not_found_error", 404), ("invalid_request_error", "not_found", 404), ("NOT_FOUND", 404)
    ),
    "too_large": Row(
        ("request_too_large", 413),
        ("invalid_request_error", "request_too_large", 413),
        ("INVALID_ARGUMENT", 413),
    ),
    "rate_limit": Row(
        ("rate_limit_error", 429),
        ("rate_limit_error", "rate_limit_exceeded", 429),
        ("RESOURCE_EXHAUSTED", 429),
    ),
    "overloaded": Row(
        ("overloaded_error", 529), ("server_error", "server_is_overloaded", 503), ("UNAVAILABLE", 503)
    ),
    "timeout": Row(("timeout_error", 504), ("server_error", "timeout", 504), ("DEADLINE_EXCEEDED", 504)),
    "api": Row(("api_error", 500), ("server_error", "server_error", 500), ("INTERNAL", 500)),
}

_STATUS_KINDS: Final = {
    400: "invalid_request",
    401: "authentication",
    402: "billing",
    403: "permission",
    404: "not_found",
    405: "invalid_request",
    408: "timeout",
    409: "invalid_request",
    413: "too_large",
    422: "invalid_request",
    429: "rate_limit",
    503: "overloaded",
    504: "timeout",
    529: "overloaded",
}

_WORDS: Final = {
    **{row.anthropic[0]: kind for kind, row in KINDS.items() if kind != "context_length"},
    **{row.gemini[0]: kind for kind, row in KINDS.items() if kind not in ("context_length", "too_large")},
    "RESOURCE_EXHAUSTED": "rate_limit",
    "FAILED_PRECONDITION": "invalid_request",
    "OUT_OF_RANGE": "invalid_request",
    "UNIMPLEMENTED": "invalid_request",
    "CANCELLED": "api",
    "UNKNOWN": "api",
    "invalid_prompt": "invalid_request",
    "invalid_api_key": "authentication",
    "insufficient_quota": "billing",
    "usage_limit_reached": "rate_limit",
    "rate_limit_exceeded": "rate_limit",
    "model_not_found": "not_found",
    "not_found": "not_found",
    "context_length_exceeded": "context_length",
    "string_above_max_length": "context_length",
    "request_too_large": "too_large",
    "server_is_overloaded": "overloaded",
    "service_unavailable_error": "overloaded",
    "service_unavailable": "overloaded",
    "engine_overloaded_error": "overloaded",
    "server_error": "api",
    "internal_server_error": "api",
    "timeout": "timeout",
}
"""A provider's type, status word or code to a kind; codes are looked up before types."""

_KNOWN_STATUSES: Final = {
    Format.ANTHROPIC: frozenset({400, 401, 402, 403, 404, 413, 429, 500, 504, 529}),
    Format.OPENAI_CHAT: frozenset({400, 401, 403, 404, 409, 413, 422, 429, 500, 502, 503, 504}),
    Format.OPENAI_RESPONSES: frozenset({400, 401, 403, 404, 409, 413, 422, 429, 500, 502, 503, 504}),
    Format.GEMINI: frozenset({400, 401, 403, 404, 413, 429, 499, 500, 503, 504}),
    Format.OLLAMA: frozenset(range(400, 600)),
}


def read_body(status: int, body: bytes) -> Failure:
    """An HTTP error of any format; a body that is no JSON error becomes the message itself."""
    try:
        document = orjson.loads(body)
    except ValueError:
        document = None
    if isinstance(document, list) and document:
        document = document[0]  # Gemini streams errors inside its array.
    error = find(document)
    if error is None:
        text = body.decode("utf-8", "replace").strip()
        # An HTML page tells a client nothing.
        message = text[:MAX_MESSAGE] if text and not text.startswith("<") else f"upstream answered {status}"
        return Failure(
            _STATUS_KINDS.get(status, "api" if status >= 500 else "invalid_request"), message, status
        )
    return read(error, status)


def find(document: Any) -> Any:
    """The error value of a document or event, wherever the dialect keeps it; None when it holds none."""
    if not isinstance(document, dict):
        return None
    error = document.get("error")
    if error:
        return error
    if document.get("type") == "error" or document.get("object") == "error":
        return document
    for name in ("detail", "message", "msg"):
        if document.get(name) and "choices" not in document and "candidates" not in document:
            return document
    return None


def read(error: Any, status: int | None = None) -> Failure:
    """An error value: an object in any format's shape, or a string."""
    if not isinstance(error, dict):
        kind = _STATUS_KINDS.get(status or 0, "api" if (status or 500) >= 500 else "invalid_request")
        return Failure(kind, str(error)[:MAX_MESSAGE], status)
    code, type_, word = error.get("code"), error.get("type"), error.get("status")
    if isinstance(code, int) and not isinstance(code, bool) and 400 <= code < 600:
        status = status or code
        code = None
    message = error.get("message") or error.get("detail") or error.get("msg")
    if not isinstance(message, str):
        message = orjson.dumps(message if message else error).decode()
    kind = _kind(code, word, type_, status)
    if kind == "invalid_request":
        kind = _closer(message)
    param = error.get("param")
    return Failure(
        kind,
        message[:MAX_MESSAGE],
        status,
        code if isinstance(code, str) else None,
        param if isinstance(param, str) else None,
    )


def _kind(code: Any, word: Any, type_: Any, status: int | None) -> str:
    for value in (code, word, type_):
        if isinstance(value, str) and value in _WORDS:
            kind = _WORDS[value]
            # "server_error" and the like say less than a status does.
            if kind == "api" and status in _STATUS_KINDS:
                return _STATUS_KINDS[status]
            return kind
    if status is None:
        return "api"
    return _STATUS_KINDS.get(status, "api" if status >= 500 else "invalid_request")


def _closer(message: str) -> str:
    """What an invalid request is about, where only the message says it."""
    lower = message[:500].lower()
    if "api key not valid" in lower or "invalid api key" in lower:
        return "authentication"
    if any(
        words in lower
        for words in (
            "prompt is too long",
            "context length",
            "context window",
            "maximum context",
            "too many tokens",
        )
    ):
        return "context_length"
    return "invalid_request"


def write(format: Format, failure: Failure) -> tuple[int, dict[str, Any]]:
    """(HTTP status, body) for a client of `format`."""
    return status_for(format, failure), WRITERS[format](failure)


def status_for(format: Format, failure: Failure) -> int:
    row = KINDS[failure.kind]
    default = {
        Format.ANTHROPIC: row.anthropic[1],
        Format.GEMINI: row.gemini[1],
    }.get(format, row.openai[2])
    if failure.status in _KNOWN_STATUSES[format] and failure.kind not in ("overloaded", "billing"):
        return failure.status or default
    return default


def anthropic(failure: Failure) -> dict[str, Any]:
    message = failure.message
    if failure.kind == "context_length" and "prompt is too long" not in message:
        # Clients of Anthropic recognise the full context by these words.
        message = f"prompt is too long: {message}"
    return {"type": "error", "error": {"type": KINDS[failure.kind].anthropic[0], "message": message}}


def openai(failure: Failure) -> dict[str, Any]:
    type_, code, _ = KINDS[failure.kind].openai
    return {
        "error": {
            "message": failure.message,
            "type": type_,
            "param": failure.param,
            "code": failure.code or code,
        }
    }


def gemini(failure: Failure) -> dict[str, Any]:
    word, _ = KINDS[failure.kind].gemini
    return {"error": {"code": status_for(Format.GEMINI, failure), "message": failure.message, "status": word}}


def ollama(failure: Failure) -> dict[str, Any]:
    return {"error": failure.message}


WRITERS: Final = {
    Format.ANTHROPIC: anthropic,
    Format.OPENAI_CHAT: openai,
    Format.OPENAI_RESPONSES: openai,
    Format.GEMINI: gemini,
    Format.OLLAMA: ollama,
}
