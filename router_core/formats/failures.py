"""An upstream's errors as a client of another format must see them: the nearest type and status.

A kind is what an error is about; each format has its status and, OpenAI, its code for it. The bodies are
written by `router_core.formats.errors`. Sources: Anthropic "Errors"; OpenAI "Error codes"; Google
``google.rpc.Code`` with its HTTP mapping.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from router_core.formats import Format, upstream_errors
from router_core.formats.errors import MAX_MESSAGE, WireError, error_body
from router_core.formats.ir import Failure
from router_core.formats.upstream_errors import UpstreamError
from router_core.json_document import serialise

ANTHROPIC, OPENAI, GEMINI = 0, 1, 2
KINDS: Final[dict[str, tuple[int, int, int, str | None]]] = {
    # kind: (Anthropic's status, OpenAI's, Gemini's, OpenAI's code)
    "invalid_request": (400, 400, 400, None),
    "context_length": (400, 400, 400, "context_length_exceeded"),
    "authentication": (401, 401, 401, "invalid_api_key"),
    "billing": (402, 429, 429, "insufficient_quota"),
    "permission": (403, 403, 403, None),
    "not_found": (404, 404, 404, "not_found"),
    "too_large": (413, 413, 413, "request_too_large"),
    "rate_limit": (429, 429, 429, "rate_limit_exceeded"),
    "overloaded": (529, 503, 503, "server_is_overloaded"),
    "timeout": (504, 504, 504, "timeout"),
    "api": (500, 500, 500, "server_error"),
}

_TOLD_BY_CODE: Final = frozenset({"context_length", "billing"})
"""Kinds that OpenAI's clients know by the code alone, whatever other providers call them."""

_STATUS_KINDS: Final = {
    401: "authentication",
    402: "billing",
    403: "permission",
    404: "not_found",
    408: "timeout",
    413: "too_large",
    429: "rate_limit",
    503: "overloaded",
    504: "timeout",
    529: "overloaded",
}

_IMAGE_CODES: Final = (
    *(
        "invalid_image",
        "invalid_image_format",
        "invalid_base64_image",
        "invalid_image_url",
        "invalid_image_mode",
    ),
    *("image_too_large", "image_too_small", "image_parse_error", "image_content_policy_violation"),
    *("image_file_too_large", "image_file_not_found", "empty_image_file", "unsupported_image_media_type"),
    "failed_to_download_image",
)
"""OpenAI's codes for images that it does not take."""
_WORDS: Final = {
    "invalid_request_error": "invalid_request",
    "invalid_prompt": "invalid_request",
    "INVALID_ARGUMENT": "invalid_request",
    "previous_response_not_found": "invalid_request",
    "bio_policy": "invalid_request",
    "cyber_policy": "invalid_request",
    "misalignment_policy_violation": "invalid_request",
    **dict.fromkeys(_IMAGE_CODES, "invalid_request"),
    "FAILED_PRECONDITION": "invalid_request",
    "OUT_OF_RANGE": "invalid_request",
    "UNIMPLEMENTED": "invalid_request",
    "authentication_error": "authentication",
    "invalid_api_key": "authentication",
    "UNAUTHENTICATED": "authentication",
    "billing_error": "billing",
    "insufficient_quota": "billing",
    "exceeded_current_quota_error": "billing",
    "Arrearage": "billing",
    "permission_error": "permission",
    "PERMISSION_DENIED": "permission",
    "data_residency_mismatch": "permission",
    "not_found_error": "not_found",
    "model_not_found": "not_found",
    "not_found": "not_found",
    "NOT_FOUND": "not_found",
    "request_too_large": "too_large",
    "context_length_exceeded": "context_length",
    "string_above_max_length": "context_length",
    "model_max_prompt_tokens_exceeded": "context_length",
    "exceed_context_size_error": "context_length",
    "rate_limit_error": "rate_limit",
    "rate_limit_exceeded": "rate_limit",
    "usage_limit_reached": "rate_limit",
    "RESOURCE_EXHAUSTED": "rate_limit",
    "overloaded_error": "overloaded",
    "server_is_overloaded": "overloaded",
    "service_unavailable_error": "overloaded",
    "service_unavailable": "overloaded",
    "engine_overloaded_error": "overloaded",
    "slow_down": "overloaded",
    "UNAVAILABLE": "overloaded",
    "timeout_error": "timeout",
    "timeout": "timeout",
    "vector_store_timeout": "timeout",
    "DEADLINE_EXCEEDED": "timeout",
    "api_error": "api",
    "server_error": "api",
    "internal_server_error": "api",
    "INTERNAL": "api",
}
"""A provider's code, status word or type to a kind; codes are looked up before types."""

_CONTEXT_WORDS: Final = (
    "prompt is too long",
    "context length",
    "context window",
    "maximum context",
    "too many tokens",
    "exceeds the maximum number of tokens",
    "input is too long",
    "maximum prompt length",
    "range of input length",
    "exceeds max length",
    "exceeded model token limit",
    "reduce the length of",
)
"""Of Anthropic, which its clients look for, and of others: Bedrock, xAI, DashScope, Z.ai, Moonshot, Groq."""
_BILLING_WORDS: Final = (
    "credit balance is too low",
    "insufficient balance",
    "insufficient credits",
    "run out of credits",
)
_KEY_WORDS: Final = ("api key not valid", "invalid api key", "incorrect api key")
_OWN: Final[dict[Format, frozenset[int]]] = {
    Format.ANTHROPIC: frozenset({400, 401, 402, 403, 404, 413, 429, 500, 504, 529}),
    Format.OPENAI_CHAT: frozenset({400, 401, 403, 404, 409, 413, 422, 429, 500, 502, 503, 504}),
    Format.OPENAI_RESPONSES: frozenset({400, 401, 403, 404, 409, 413, 422, 429, 500, 502, 503, 504}),
    Format.GEMINI: frozenset({400, 401, 403, 404, 413, 429, 499, 500, 503, 504}),
    Format.OLLAMA: frozenset(range(400, 600)),
}
"""The statuses that clients of a format know."""


def translate(client: Format, status: int, body: bytes) -> tuple[int, bytes]:
    """(status, body) for a client of another format than that of the error `body`."""
    error = wire(client, read_body(status, body))
    return error.status, error_body(client, error)


def read_body(status: int, body: bytes) -> Failure:
    """An HTTP error of any format."""
    return _failure(upstream_errors.read_body(body, status))


def read_event(data: bytes) -> Failure:
    """An error event's data, of any format."""
    return _failure(upstream_errors.read_body(data))


def read(error: Any) -> Failure:
    """An error value or event of a stream, in any format's shape."""
    return _failure(upstream_errors.read_document(error))


def _failure(error: UpstreamError) -> Failure:
    status = error.status
    message = error.message
    if not message and error.document:
        message = serialise(upstream_errors.find(error.document) or error.document).decode()
    kind = _kind(error.codes, status)
    if kind == "invalid_request":
        lower = message[:500].lower()
        if any(words in lower for words in _KEY_WORDS):
            kind, status = "authentication", 401
        elif any(words in lower for words in _CONTEXT_WORDS):
            kind = "context_length"
    if kind in ("invalid_request", "rate_limit", "permission") and any(
        words in message[:500].lower() for words in _BILLING_WORDS
    ):
        kind = "billing"
    message = message or f"The upstream answered {status or 'with an error'}."
    return Failure(kind, message[:MAX_MESSAGE], status, error.named, error.param)


def _kind(words: tuple[str, ...], status: int | None) -> str:
    fallback = "api" if status is None or status >= 500 else "invalid_request"
    by_status = _STATUS_KINDS.get(status or 0, fallback)
    kinds = [_WORDS[word] for word in words if word in _WORDS]
    telling = next((kind for kind in kinds if kind not in ("api", "invalid_request")), None)
    if telling is not None:
        return telling
    # "server_error", "invalid_request_error" and the like say less than a status does.
    return kinds[0] if kinds and status is None else by_status


def wire(client: Format, failure: Failure) -> WireError:
    """`failure` with the status and code that are nearest in the client's format."""
    anthropic, openai, gemini, code = KINDS[failure.kind]
    status = {Format.ANTHROPIC: anthropic, Format.GEMINI: gemini}.get(client, openai)
    if failure.status in _OWN[client] and failure.kind != "overloaded":
        status = failure.status or status
    message = failure.message
    if failure.kind == "context_length" and client is Format.ANTHROPIC and _CONTEXT_WORDS[0] not in message:
        # Clients of Anthropic recognise the full context by these words.
        message = f"{_CONTEXT_WORDS[0]}: {message}"
    if failure.kind not in _TOLD_BY_CODE:
        code = failure.code or code
    return WireError(status, message, code=code, param=failure.param)


def document(client: Format, failure: Failure) -> dict[str, Any]:
    """The error object of a client's format."""
    value: dict[str, Any] = orjson.loads(error_body(client, wire(client, failure)))
    return value
