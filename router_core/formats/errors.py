"""Errors in each client's own format, as bodies and as the end of event streams.

Shapes and types by status: Anthropic https://docs.claude.com/en/api/errors, OpenAI
https://platform.openai.com/docs/guides/error-codes, Google google.rpc.Status with the code table of
https://cloud.google.com/apis/design/errors, Ollama https://github.com/ollama/ollama/blob/main/docs/api.md.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from router_core.errors import Refusal
from router_core.formats import Format
from router_core.json_document import serialise
from router_core.sse import encode

MAX_MESSAGE: Final = 4096
"""Characters of an upstream's message that are passed on in another format."""

ANTHROPIC_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
OPENAI_TYPES: Final = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
}
GEMINI_STATUSES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
    529: "UNAVAILABLE",
}


@dataclass(frozen=True, slots=True)
class WireError:
    """An error without its format."""

    status: int
    message: str
    type: str | None = None
    """The type in the words of the format it came from."""
    code: str | None = None
    param: str | None = None
    details: Mapping[str, Any] | None = None
    """For programs, in Anthropic's format."""


def error_body(format: Format, error: Refusal | WireError) -> bytes:
    """The JSON body that a client of `format` reads as an error."""
    return serialise(_shape(format, plain(error)))


def error_event(
    format: Format, error: Refusal | WireError, sequence: int = 0, response: Mapping[str, Any] | None = None
) -> bytes:
    """The same inside an event stream that has begun; the last bytes of the stream.

    For OpenAI Responses, `sequence` is the ``sequence_number``, one more than the last that was sent, and
    `response` the one that the stream began with, if it has told one.
    """
    error = plain(error)
    match format:
        case Format.ANTHROPIC:
            return encode("error", error_body(format, error))
        case Format.OPENAI_CHAT:
            return encode(None, error_body(format, error)) + encode(None, b"[DONE]")
        case Format.OPENAI_RESPONSES:
            return _responses_event(error, sequence, response)
        case Format.GEMINI:
            return gemini_error(error_body(format, error))
        case Format.OLLAMA:
            return error_body(format, error) + b"\n"


def gemini_error(body: bytes) -> bytes:
    """An error in one of Gemini's event streams, twice: as an event, and in no field, as Google writes it.

    Google's library for JavaScript overlooks the event up to 1.x, and from 2.0 on the other one where both come in
    one piece with what was said before; the stream would be whole to it.
    """
    line = b" ".join(map(bytes.strip, body.splitlines()))
    return b"data: %s\r\n\r\n%s\r\n\r\n" % (line, line)


def plain(error: Refusal | WireError) -> WireError:
    """Detour's own refusals as errors of the wire."""
    if isinstance(error, Refusal):
        return WireError(error.status, error.message, code=error.code.value, details=error.details)
    return error


def _shape(format: Format, error: WireError) -> dict[str, Any]:
    match format:
        case Format.ANTHROPIC:
            fallback = "api_error" if error.status >= 500 else "invalid_request_error"
            kind = ANTHROPIC_TYPES.get(error.status, fallback)
            if error.type in {*ANTHROPIC_TYPES.values(), "api_error"}:
                kind = error.type
            details = {"details": dict(error.details)} if error.details else {}
            return {"type": "error", "error": {"type": kind, "message": error.message, **details}}
        case Format.GEMINI:
            fallback = "INTERNAL" if error.status >= 500 else "INVALID_ARGUMENT"
            status = GEMINI_STATUSES.get(error.status, fallback)
            return {"error": {"code": error.status, "message": error.message, "status": status}}
        case Format.OLLAMA:
            return {"error": error.message}
        case _:
            return {
                "error": {
                    "message": error.message,
                    "type": _openai_type(error.status),
                    "param": error.param,
                    "code": error.code or error.type,
                }
            }


def _openai_type(status: int) -> str:
    return OPENAI_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")


def in_stream(error: WireError) -> dict[str, Any]:
    """The fields of an ``error`` event of the Responses API: at its top, as its reference has them, and within
    `error`, as the API sends them. The official libraries raise it, with its message, where they find the second."""
    fields = {"code": _code(error), "message": error.message, "param": error.param}
    return {**fields, "error": {"type": _openai_type(error.status), **fields}}


def _code(error: WireError) -> str:
    return error.code or error.type or _openai_type(error.status)


def _responses_event(error: WireError, sequence: int, response: Mapping[str, Any] | None) -> bytes:
    # SDKs raise on `error`; Codex ends its turn on `response.failed` and skips the other. The official library
    # insists that each stream begins with `response.created`, and is of that response to its end.
    events: list[dict[str, Any]] = []
    if response is None:
        response = {
            "id": f"resp_{secrets.token_hex(24)}",
            "object": "response",
            "created_at": int(time.time()),
            "model": "",
            "output": [],
        }
        if not sequence:
            events.append({"type": "response.created", "response": {**response, "status": "in_progress"}})
    failure = {"status": "failed", "error": {"code": _code(error), "message": error.message}}
    events += [
        {"type": "error", **in_stream(error)},
        {"type": "response.failed", "response": {**response, **failure}},
    ]
    return b"".join(
        encode(event["type"], serialise({**event, "sequence_number": sequence + number}))
        for number, event in enumerate(events)
    )
