"""OpenAI's Chat Completions, embeddings and models as a server speaks them (platform.openai.com/docs/api-reference)."""

from __future__ import annotations

from typing import Any

from detour.fakes.call import Call, Wire, bearer, compact, json_reply
from detour.fakes.steps import Reply

MODELS = ("gpt-5.1", "gpt-5-mini", "text-embedding-3-small")

ERRORS: dict[int, tuple[str, str | None, str]] = {
    400: ("invalid_request_error", None, "Invalid request."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    402: ("insufficient_quota", "insufficient_quota", "Insufficient balance."),
    403: ("invalid_request_error", "unsupported_country_region_territory", "Access is denied."),
    404: ("invalid_request_error", None, "Invalid URL"),
    409: ("server_error", None, "The engine is currently overloaded, please try again later."),
    413: ("invalid_request_error", None, "Request too large."),
    429: ("tokens", "rate_limit_exceeded", "Rate limit reached for requests. Please try again in 20s."),
    500: ("server_error", None, "The server had an error while processing your request. Sorry about that!"),
    503: ("server_error", None, "The server is currently overloaded with other requests."),
}


def error(call: Call, status: int, message: str | None = None) -> Reply:
    kind, code, usual = ERRORS.get(status, ERRORS[500])
    return refusal(status, message or usual, kind, code)


def refusal(
    status: int,
    message: str,
    kind: str = "invalid_request_error",
    code: str | None = None,
    param: str | None = None,
) -> Reply:
    document = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return json_reply(status, document, ("x-request-id", "req_5b1f4d4a9c1e"), indent=4)


def check(call: Call) -> Reply | None:
    if not keys(call):
        return refusal(
            401, "You didn't provide an API key. You need to provide your API key in an Authorization header."
        )
    if call.operation == "list_models":
        return None
    if not isinstance(call.document, dict):
        return refusal(400, "We could not parse the JSON body of your request.")
    if "model" not in call.document:
        return refusal(400, "you must provide a model parameter")
    if not isinstance(call.document["model"], str):
        return refusal(
            400, "Invalid type for 'model': expected a string.", code="invalid_type", param="model"
        )
    wanted = {"generate": "messages", "embeddings": "input"}[call.operation]
    if wanted not in call.document:
        message = f"Missing required parameter: '{wanted}'."
        return refusal(400, message, code="missing_required_parameter", param=wanted)
    return None


def answer(call: Call) -> Reply:
    if call.operation == "list_models":
        return model_list()
    if call.operation == "embeddings":
        return _embeddings(call)
    if not call.stream:
        message: dict[str, Any] = {
            "role": "assistant",
            "content": call.text,
            "refusal": None,
            "annotations": [],
        }
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        return json_reply(200, {**_envelope(call, "chat.completion", [choice]), "usage": _usage(call)})
    opening = [_chunk(call, {"role": "assistant", "content": "", "refusal": None})]
    content = [_chunk(call, {"content": word}) for word in call.words()]
    closing = [_chunk(call, {}, "stop")]
    if (call.document.get("stream_options") or {}).get("include_usage"):
        closing.append(_data({**_envelope(call, "chat.completion.chunk", []), "usage": _usage(call)}))
    closing.append(b"data: [DONE]\n\n")
    headers = (("Content-Type", "text/event-stream; charset=utf-8"), ("x-request-id", "req_5b1f4d4a9c1e"))
    return Reply(200, headers, (*opening, *content, *closing), len(opening), len(content), "chunked")


def stream_error(call: Call, variety: str) -> bytes:
    kind, code, usual = ERRORS[int(variety or 503)]
    return _data({"error": {"message": usual, "type": kind, "param": None, "code": code}})


def keys(call: Call) -> list[str]:
    return bearer(call)


def model_list() -> Reply:
    data = [{"id": m, "object": "model", "created": 1762300000, "owned_by": "system"} for m in MODELS]
    return json_reply(200, {"object": "list", "data": data})


def _embeddings(call: Call) -> Reply:
    texts = call.document["input"] if isinstance(call.document["input"], list) else [call.document["input"]]
    vector: Any = [0.25, -0.5, 1.0]
    if call.document.get("encoding_format") == "base64":
        vector = "AACAPgAAAL8AAIA/"  # the same three numbers as little-endian float32
    data = [{"object": "embedding", "index": i, "embedding": vector} for i in range(len(texts))]
    usage = {"prompt_tokens": call.prompt_tokens(), "total_tokens": call.prompt_tokens()}
    return json_reply(200, {"object": "list", "data": data, "model": call.model, "usage": usage})


def _envelope(call: Call, kind: str, choices: list[Any]) -> dict[str, Any]:
    return {
        "id": "chatcmpl-CXnZgXq3pLFbZz4jJ2sVw7nH0aR1k",
        "object": kind,
        "created": 1762300000,
        "model": call.model,
        "choices": choices,
        "service_tier": "default",
        "system_fingerprint": None,
    }


def _usage(call: Call) -> dict[str, Any]:
    prompt, completion = call.prompt_tokens(), len(call.words())
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def _chunk(call: Call, delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return _data({**_envelope(call, "chat.completion.chunk", [choice]), "usage": None})


def _data(document: Any) -> bytes:
    return f"data: {compact(document)}\n\n".encode()


WIRE = Wire("openai-chat", check, answer, error, stream_error, keys)
