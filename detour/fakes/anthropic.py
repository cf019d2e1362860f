"""Anthropic's Messages API as a server speaks it (platform.claude.com/docs/en/api/messages)."""

from __future__ import annotations

from typing import Any

from detour.fakes.call import Call, Wire, bearer, compact, json_reply
from detour.fakes.steps import Reply

MODELS = ("claude-opus-4-6", "claude-sonnet-4-5-20250929", "claude-haiku-4-5-20251001")
REQUEST_ID = "req_011CSHoEeqs5C35K2UUqR7Fy"

ERRORS: dict[int, tuple[str, str]] = {
    400: ("invalid_request_error", "messages: Field required"),
    401: ("authentication_error", "invalid x-api-key"),
    402: ("billing_error", "Your credit balance is too low to access the Anthropic API."),
    403: ("permission_error", "Your API key does not have permission to use the specified resource."),
    404: ("not_found_error", "Not Found"),
    409: ("api_error", "Overloaded"),
    413: ("request_too_large", "Request exceeds the maximum size"),
    429: ("rate_limit_error", "This request would exceed your account's rate limit. Please try again later."),
    500: ("api_error", "Internal server error"),
    529: ("overloaded_error", "Overloaded"),
}


def error(call: Call, status: int, message: str | None = None) -> Reply:
    kind, usual = ERRORS.get(status, ("api_error", "Internal server error"))
    document = {
        "type": "error",
        "error": {"type": kind, "message": message or usual},
        "request_id": REQUEST_ID,
    }
    return json_reply(
        status,
        document,
        ("request-id", REQUEST_ID),
        ("x-should-retry", "true" if status in (408, 409) or status >= 429 else "false"),
    )


def check(call: Call) -> Reply | None:
    if not keys(call):
        return error(call, 401, "x-api-key header is required")
    if "anthropic-version" not in call.headers:
        return error(call, 400, "anthropic-version: header is required")
    if call.operation == "list_models":
        return None
    if not isinstance(call.document, dict):
        return error(
            call, 400, "The request body is not valid JSON: expected value: line 1 column 1 (char 0)"
        )
    wanted = (
        ("model", "messages") if call.operation == "count_tokens" else ("model", "max_tokens", "messages")
    )
    for name in wanted:
        if name not in call.document:
            return error(call, 400, f"{name}: Field required")
    if not isinstance(call.document["model"], str):
        return error(call, 400, "model: Input should be a valid string")
    if not isinstance(call.document["messages"], list):
        return error(call, 400, "messages: Input should be a valid list")
    if not call.document["messages"]:
        return error(call, 400, "messages: at least one message is required")
    return None


def answer(call: Call) -> Reply:
    if call.operation == "count_tokens":
        return json_reply(200, {"input_tokens": call.prompt_tokens()}, ("request-id", REQUEST_ID))
    if call.operation == "list_models":
        data = [
            {"type": "model", "id": m, "display_name": m, "created_at": "2025-09-29T00:00:00Z"}
            for m in MODELS
        ]
        return json_reply(
            200, {"data": data, "has_more": False, "first_id": MODELS[0], "last_id": MODELS[-1]}
        )
    if not call.stream:
        document = _message(call, [{"type": "text", "text": call.text}], "end_turn", len(call.words()))
        return json_reply(200, document, ("request-id", REQUEST_ID))
    opening = [
        _event("message_start", message=_message(call, [], None, 1)),
        _event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        _event("ping"),
    ]
    content = [
        _event("content_block_delta", index=0, delta={"type": "text_delta", "text": w}) for w in call.words()
    ]
    closing = [
        _event("content_block_stop", index=0),
        _event(
            "message_delta",
            delta={"stop_reason": "end_turn", "stop_sequence": None},
            usage={"output_tokens": len(call.words())},
        ),
        _event("message_stop"),
    ]
    headers = (
        ("Content-Type", "text/event-stream; charset=utf-8"),
        ("Cache-Control", "no-cache"),
        ("request-id", REQUEST_ID),
    )
    return Reply(200, headers, (*opening, *content, *closing), len(opening), len(content), "chunked")


def stream_error(call: Call, variety: str) -> bytes:
    kind = variety or "overloaded_error"
    message = next((m for k, m in ERRORS.values() if k == kind), "Overloaded")
    return _event("error", error={"type": kind, "message": message, "details": None}, request_id=REQUEST_ID)


def keys(call: Call) -> list[str]:
    own = call.headers.get("x-api-key")
    return ([own] if own else []) + bearer(call)


def _message(call: Call, content: list[Any], stop: str | None, output_tokens: int) -> dict[str, Any]:
    return {
        "model": call.model,
        "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
        "type": "message",
        "role": "assistant",
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {
            "input_tokens": call.prompt_tokens(),
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": output_tokens,
            "service_tier": "standard",
        },
    }


def _event(name: str, **fields: Any) -> bytes:
    return f"event: {name}\ndata: {compact({'type': name, **fields})}\n\n".encode()


WIRE = Wire("anthropic", check, answer, error, stream_error, keys)
PING = _event("ping")
