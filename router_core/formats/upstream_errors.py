"""What an upstream's error says, in one shape for all the ways in which providers write it.

Shapes, by where they are documented:

- Anthropic: ``{"type": "error", "error": {"type", "message"}}``, the same as the data of ``event: error``.
- OpenAI: ``{"error": {"message", "type", "param", "code"}}``; inside streams ``{"type": "error", "code",
  "message"}``, ``{"type": "error", "error": {...}}`` and ``{"type": "response.failed", "response": {"error"}}``;
  on WebSockets ``{"type": "error", "status" | "status_code", "error", "headers"}``.
- Google: ``{"error": {"code", "message", "status", "details": [...]}}``, in an array without ``alt=sse``.
- ChatGPT's backend: ``{"detail": "..."}`` or ``{"detail": {...}}``. MiniMax: ``{"base_resp": {"status_code",
  "status_msg"}}``. CodeBuddy: ``{"code", "msg"}``. Many: ``{"error": "text"}``, ``{"message": "text"}``.
- OpenRouter: ``{"error": {"message": "Provider returned error", "metadata": {"raw": "..."}}}``, where ``raw`` is what the
  provider answered. Cloudflare: ``{"errors": [{"code", "message"}]}``. AWS: ``{"message"}``, ``{"Message"}``.
- FastAPI, and so Mistral and vLLM: ``{"detail": [{"loc", "msg"}]}``, at Mistral within ``message``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson

from router_core.exchange import Outcome
from router_core.formats.gemini import endings as gemini_endings
from router_core.formats.openai_chat import endings as chat_endings

MAX_MESSAGE: Final = 2000

STATUS_OF: Final[dict[str, int]] = {
    # https://docs.anthropic.com/en/api/errors
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
    # https://platform.openai.com/docs/guides/error-codes and the `code` values of the Responses API
    "invalid_prompt": 400,
    "invalid_request": 400,
    "context_length_exceeded": 400,
    "cyber_policy": 400,
    "content_policy_violation": 400,
    "invalid_api_key": 401,
    "model_not_found": 404,
    "previous_response_not_found": 404,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "usage_limit_reached": 429,
    "usage_not_included": 402,
    "tokens": 429,
    "requests": 429,
    "server_error": 500,
    "server_is_overloaded": 503,
    "slow_down": 503,
    "service_unavailable_error": 503,
    "websocket_connection_limit_reached": 503,
    # https://cloud.google.com/apis/design/errors (google.rpc.Code)
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
    **dict.fromkeys((*gemini_endings.GIVEN_UP, chat_endings.MODEL_ERROR), 500),
}
"""HTTP statuses of error types and codes, for errors inside an answer whose own status is 200."""


@dataclass(frozen=True, slots=True)
class UpstreamError:
    status: int | None
    """The answer's HTTP status, or what the body of a 200 means; None where no answer came."""
    codes: tuple[str, ...] = ()
    """Every ``type``, ``code``, ``status`` and ``reason`` of the error, as written."""
    message: str = ""
    named: str | None = None
    """The ``code`` alone, which OpenAI's clients are told."""
    param: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    """Names in lower case; the last of equal names, but all of ``retry-after`` as one list (RFC 9110 section 5.3)."""
    document: Any = None
    """The parsed body, or None."""
    text: str = ""
    """The whole body in lower case, bounded, for what stands in no known place."""

    @property
    def code(self) -> str:
        """The most telling code."""
        return self.codes[0] if self.codes else ""


def read_error(outcome: Outcome) -> UpstreamError:
    """The error of an attempt's outcome. Takes any bytes; never raises."""
    headers = {name.lower(): value for name, value in outcome.headers}
    waits = [value for name, value in outcome.headers if name.lower() == "retry-after"]
    if len(waits) > 1:
        headers["retry-after"] = ", ".join(waits)
    document = _parse(outcome.body)
    error, inner = _read(document, outcome.status)
    status = outcome.status
    if status is not None and status < 400 and outcome.body:
        status = inner or next((STATUS_OF[c] for c in error.codes if c in STATUS_OF), status)
    for name, value in _nested_headers(document):
        headers.setdefault(name, value)
    text = outcome.body[: 16 * MAX_MESSAGE].decode("utf-8", "replace").lower()
    return replace(error, status=status, headers=headers, text=text)


def read_body(body: bytes, status: int | None = None) -> UpstreamError:
    """An error's body, or the data of an error event, whose `status` is None; never raises.

    A text that is no JSON is the message itself, but for a page of HTML.
    """
    document = _parse(body)
    if document is None:
        text = body.decode("utf-8", "replace").strip()
        return UpstreamError(status, message="" if text.startswith("<") else text[:MAX_MESSAGE])
    return read_document(document, status)


def read_document(document: Any, status: int | None = None) -> UpstreamError:
    """A parsed body, event, or error value; `status` is the answer's, None inside a stream."""
    error, inner = _read(document, status)
    return replace(error, status=status or inner)


def find(document: Any) -> Any:
    """The error value of a document or event, wherever the dialect keeps it; None when it holds none."""
    if not isinstance(document, dict):
        return None
    if document.get("error"):
        return document["error"]
    if document.get("type") == "error" or document.get("object") == "error":
        return document
    bare = "choices" not in document and "candidates" not in document and "output" not in document
    return document if bare and any(document.get(name) for name in ("detail", "message", "msg")) else None


def _read(document: Any, status: int | None) -> tuple[UpstreamError, int | None]:
    """(the error, the HTTP status that its fields name)."""
    codes: list[str] = []
    message = ""
    code: str | None = None
    param: str | None = None
    inner: int | None = None
    for part in _parts(document):
        if isinstance(part, str):
            # RFC 6749 writes the code itself there.
            if re.fullmatch(r"[a-z_]{3,64}", part):
                codes.append(part)
            message = message or part
            continue
        message = message or _message(part)
        for key in ("code", "type", "status", "reason", "error_code", "status_code"):
            value = part.get(key)
            if isinstance(value, bool) or not isinstance(value, str | int):
                continue
            if str(value) not in codes and value not in ("error", "response.failed", ""):
                codes.append(str(value))
        code = code or (part["code"] if isinstance(part.get("code"), str) else None)
        param = param or (part["param"] if isinstance(part.get("param"), str) else None)
        inner = inner or _status(part)
    message = _relayed(document) or message
    return UpstreamError(status, tuple(codes), message[:MAX_MESSAGE], code, param, document=document), inner


def _parse(body: bytes) -> Any:
    if not body:
        return None
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _parts(document: Any) -> Iterator[dict[str, Any] | str]:
    """The objects that describe the error, innermost first."""
    if isinstance(document, str):
        yield document
        return
    if isinstance(document, list):
        document = next((d for d in document if isinstance(d, dict) and "error" in d), None)
    if not isinstance(document, dict):
        return
    response = document.get("response")
    for holder in (response, document, document.get("body")):
        if isinstance(holder, dict):
            for key in ("error", "detail", "base_resp"):
                inner = holder.get(key)
                if isinstance(inner, dict):
                    yield inner
                    details = inner.get("details")
                    yield from (
                        (d for d in details if isinstance(d, dict)) if isinstance(details, list) else ()
                    )
                elif isinstance(inner, str):
                    yield inner
    errors = document.get("errors")
    yield from (e for e in errors if isinstance(e, dict)) if isinstance(errors, list) else ()
    if ending := gemini_endings.first_given_up(document) or chat_endings.first_given_up(document):
        yield ending
    yield document


def _message(part: dict[str, Any]) -> str:
    names = ("message", "msg", "status_msg", "detail", "Message")
    return next((text for name in names if (text := _told(part.get(name)))), "")


def _told(value: Any) -> str:
    """A message, which may be a list of what is wrong with a request, each with its place."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return _told(value.get("detail"))
    problems = [v for v in value if isinstance(v, dict) and v.get("msg")] if isinstance(value, list) else []
    places = [".".join(map(str, v["loc"])) if isinstance(v.get("loc"), list) else "" for v in problems]
    return "; ".join(
        f"{p}: {v['msg']}" if p else str(v["msg"]) for p, v in zip(places, problems, strict=True)
    )


def _relayed(document: Any) -> str:
    """The words of the provider behind OpenRouter; its codes say nothing of the account there, and are not read."""
    error = document.get("error") if isinstance(document, dict) else None
    metadata = error.get("metadata") if isinstance(error, dict) else None
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    if isinstance(raw, str):
        raw = _parse(raw.encode(errors="surrogatepass")) or (
            raw.strip() if not raw.lstrip().startswith("<") else ""
        )
    return next((m for part in _parts(raw) if (m := part if isinstance(part, str) else _message(part))), "")


def _status(part: dict[str, Any]) -> int | None:
    for key in ("status", "status_code", "code"):
        value = part.get(key)
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 3:
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 400 <= value <= 599:
            return value
    return None


def _nested_headers(document: Any) -> Iterator[tuple[str, str]]:
    """Headers that travel inside the body: Codex WebSocket errors, OpenRouter's ``error.metadata.headers``."""
    if not isinstance(document, dict):
        return
    error = document.get("error")
    metadata = error.get("metadata") if isinstance(error, dict) else None
    for holder in (document, metadata):
        headers = holder.get("headers") if isinstance(holder, dict) else None
        if isinstance(headers, dict):
            yield from (
                (str(k).lower(), str(v)) for k, v in headers.items() if isinstance(v, str | int | float)
            )
