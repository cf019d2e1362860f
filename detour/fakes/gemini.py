"""Google's Gemini API as a server speaks it (ai.google.dev/api/generate-content).

With ``alt=sse`` a stream is an event stream with CRLF line ends and no event names; without it, a
pretty-printed JSON array that arrives element by element.
"""

from __future__ import annotations

import json
from typing import Any

from detour.fakes.call import Call, Wire, bearer, compact, json_reply
from detour.fakes.steps import Reply

MODELS = ("gemini-3-pro-preview", "gemini-2.5-flash")

ERRORS: dict[int, tuple[str, str]] = {
    400: ("INVALID_ARGUMENT", "Request contains an invalid argument."),
    401: ("UNAUTHENTICATED", "Request had invalid authentication credentials."),
    402: ("FAILED_PRECONDITION", "Billing is not enabled for this project."),
    403: ("PERMISSION_DENIED", "The caller does not have permission"),
    404: ("NOT_FOUND", "Requested entity was not found."),
    409: ("ABORTED", "The model is overloaded. Please try again later."),
    413: ("INVALID_ARGUMENT", "Request payload size exceeds the limit."),
    429: (
        "RESOURCE_EXHAUSTED",
        "You exceeded your current quota, please check your plan and billing details.",
    ),
    500: ("INTERNAL", "An internal error has occurred. Please retry or report the issue."),
    503: ("UNAVAILABLE", "The model is overloaded. Please try again later."),
    504: ("DEADLINE_EXCEEDED", "The request timed out. Please try again."),
}
_TYPE = "type.googleapis.com/google.rpc."


def error(call: Call, status: int, message: str | None = None) -> Reply:
    document: Any = {"error": _status(status, message)}
    if call.stream and "alt" not in call.query:
        document = [document]
    headers = (("Content-Type", "application/json; charset=UTF-8"), ("Server-Timing", "gfet4t7; dur=31"))
    return Reply(status, headers, (json.dumps(document, indent=2).encode(),), content=1)


def check(call: Call) -> Reply | None:
    if not keys(call):
        return error(
            call, 403, "Method doesn't allow unregistered callers (callers without established identity)."
        )
    if call.operation == "list_models":
        return None
    if not isinstance(call.document, dict):
        return error(call, 400, "Invalid JSON payload received. Expected a value.")
    wanted = {"embeddings": ("content", "requests")}.get(
        call.operation, ("contents", "generateContentRequest")
    )
    if not any(name in call.document for name in wanted):
        return error(call, 400, "* GenerateContentRequest.contents: contents is not specified\n")
    return None


def answer(call: Call) -> Reply:
    if call.operation == "list_models":
        return json_reply(200, {"models": [_model(m) for m in MODELS]}, indent=2)
    if call.operation == "count_tokens":
        return json_reply(200, {"totalTokens": call.prompt_tokens()}, indent=2)
    if call.operation == "embeddings":
        values = {"values": [0.25, -0.5, 1.0]}
        if "requests" in call.document:
            return json_reply(200, {"embeddings": [values for _ in call.document["requests"]]}, indent=2)
        return json_reply(200, {"embedding": values}, indent=2)
    if not call.stream:
        return json_reply(200, _chunk(call, call.text, len(call.words()), "STOP"), indent=2)
    words = call.words()
    last = len(words) - 1
    chunks = [_chunk(call, w, i + 1, "STOP" if i == last else None) for i, w in enumerate(words)]
    if call.query.get("alt") == "sse":
        parts = tuple(f"data: {compact(c)}\r\n\r\n".encode() for c in chunks)
        return Reply(200, (("Content-Type", "text/event-stream"),), parts, 0, len(parts), "chunked")
    opened = ["[" + json.dumps(chunks[0], indent=2)] + [",\r\n" + json.dumps(c, indent=2) for c in chunks[1:]]
    parts = (*(p.encode() for p in opened), b"]\n")
    headers = (("Content-Type", "application/json; charset=UTF-8"),)
    return Reply(200, headers, parts, 0, len(chunks), "chunked")


def stream_error(call: Call, variety: str) -> bytes:
    document = {"error": _status(int(variety or 503))}
    text = json.dumps(document, indent=2)
    # In an event stream it stands in no field.
    return f"{text}\n".encode() if call.query.get("alt") == "sse" else f"[{text}]\n".encode()


def keys(call: Call) -> list[str]:
    own = [call.headers.get("x-goog-api-key"), call.query.get("key")]
    return [k for k in own if k] + bearer(call)


def _status(status: int, message: str | None = None) -> dict[str, Any]:
    name, usual = ERRORS.get(status, ERRORS[500])
    document: dict[str, Any] = {"code": status, "message": message or usual, "status": name}
    if status == 429:
        violation = {"quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}
        document["details"] = [
            {"@type": _TYPE + "QuotaFailure", "violations": [violation]},
            {"@type": _TYPE + "RetryInfo", "retryDelay": "34s"},
        ]
    return document


def _model(name: str) -> dict[str, Any]:
    return {
        "name": f"models/{name}",
        "version": "001",
        "displayName": name,
        "inputTokenLimit": 1048576,
        "outputTokenLimit": 65536,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
    }


def _chunk(call: Call, text: str, tokens: int, finish: str | None) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    prompt = call.prompt_tokens()
    usage = {
        "promptTokenCount": prompt,
        "candidatesTokenCount": tokens,
        "totalTokenCount": prompt + tokens,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": prompt}],
    }
    return {
        "candidates": [candidate],
        "usageMetadata": usage,
        "modelVersion": call.model,
        "responseId": "mW0caZrVO6mA",
    }


WIRE = Wire("gemini", check, answer, error, stream_error, keys)
