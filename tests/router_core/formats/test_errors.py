"""Errors as each client's format has them, as bodies and at the end of streams."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from openai.types.responses import ResponseError

from router_core.errors import Code, Refusal
from router_core.formats import Format, failures
from router_core.formats.errors import WireError, error_body, error_event
from router_core.json_document import parse, serialise
from router_core.sse import EventReader

COOLING = Refusal(Code.ALL_COOLING, "All credentials are cooling.")


@pytest.mark.parametrize(
    ("format", "expected"),
    [
        (Format.ANTHROPIC, {"type": "error", "error": {"type": "rate_limit_error", "message": COOLING.message}}),
        (Format.OPENAI_CHAT, {"error": {"message": COOLING.message, "type": "rate_limit_error", "param": None, "code": "all_cooling"}}),
        (Format.OPENAI_RESPONSES, {"error": {"message": COOLING.message, "type": "rate_limit_error", "param": None, "code": "all_cooling"}}),
        (Format.GEMINI, {"error": {"code": 429, "message": COOLING.message, "status": "RESOURCE_EXHAUSTED"}}),
        (Format.OLLAMA, {"error": COOLING.message}),
    ],
)  # fmt: skip
def test_a_refusal_in_each_format(format: Format, expected: dict[str, Any]) -> None:
    assert parse(error_body(format, COOLING)) == expected


TYPES = [
    (400, "invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT"),
    (401, "authentication_error", "authentication_error", "UNAUTHENTICATED"),
    (402, "billing_error", "invalid_request_error", "INVALID_ARGUMENT"),
    (403, "permission_error", "permission_error", "PERMISSION_DENIED"),
    (404, "not_found_error", "invalid_request_error", "NOT_FOUND"),
    (413, "request_too_large", "invalid_request_error", "INVALID_ARGUMENT"),
    (418, "invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT"),
    (429, "rate_limit_error", "rate_limit_error", "RESOURCE_EXHAUSTED"),
    (500, "api_error", "server_error", "INTERNAL"),
    (502, "api_error", "server_error", "INTERNAL"),
    (503, "overloaded_error", "server_error", "UNAVAILABLE"),
    (504, "timeout_error", "server_error", "DEADLINE_EXCEEDED"),
    (529, "overloaded_error", "server_error", "UNAVAILABLE"),
]


@pytest.mark.parametrize(("status", "anthropic", "openai", "gemini"), TYPES)
def test_the_nearest_type_for_a_status(status: int, anthropic: str, openai: str, gemini: str) -> None:
    error = WireError(status, "x")
    assert parse(error_body(Format.ANTHROPIC, error))["error"]["type"] == anthropic
    assert parse(error_body(Format.OPENAI_CHAT, error))["error"]["type"] == openai
    assert parse(error_body(Format.GEMINI, error))["error"]["status"] == gemini


@pytest.mark.parametrize("format", [f for f in Format if f is not Format.OLLAMA])
def test_the_end_of_a_stream(format: Format) -> None:
    events = EventReader().feed(error_event(format, COOLING, sequence=7))
    documents = [parse(e.data) for e in events if e.data and e.data != b"[DONE]"]
    if format is Format.OPENAI_RESPONSES:
        assert [e.name for e in events] == ["error", "response.failed"]
        assert [d["sequence_number"] for d in documents] == [7, 8]
        assert documents[0]["message"] == documents[1]["response"]["error"]["message"] == COOLING.message
        assert documents[0]["error"]["message"] == COOLING.message
    else:
        # Gemini's is said twice, for libraries that overlook one or the other.
        assert documents == [parse(error_body(format, COOLING))] * (2 if format is Format.GEMINI else 1)
        assert events[0].name == ("error" if format is Format.ANTHROPIC else None)
    assert (events[-1].data == b"[DONE]") is (format is Format.OPENAI_CHAT)


@pytest.mark.parametrize("code", get_args(ResponseError.model_fields["code"].annotation))
def test_openais_codes_of_failed_responses_are_known(code: str) -> None:
    assert (failures.read({"code": code, "message": "m"}).kind == "api") is (code == "server_error")


def _relayed(raw: str) -> dict[str, Any]:
    return {"error": {"message": "Provider returned error", "code": 400, "metadata": {"raw": raw}}}


HOSTS = {
    "OpenRouter": (400, _relayed('{"error":{"message":"maximum context length is 9"}}'), "context_length", "maximum context length is 9"),
    "OpenRouter, a text": (400, _relayed("no such voice"), "invalid_request", "no such voice"),
    "Bedrock": (400, {"message": "Input is too long for requested model."}, "context_length", "Input is too long for requested model."),
    "AWS": (403, {"Message": "not for you"}, "permission", "not for you"),
    "Mistral": (422, {"object": "error", "message": {"detail": [{"loc": ["body", "top_p"], "msg": "too high"}]}}, "invalid_request", "body.top_p: too high"),
    "vLLM": (422, {"detail": [{"loc": ["body", "n"], "msg": "not 0"}, {"msg": "and no"}]}, "invalid_request", "body.n: not 0; and no"),
    "Cloudflare": (401, {"success": False, "errors": [{"code": 10000, "message": "who?"}]}, "authentication", "who?"),
    "llama.cpp": (400, {"error": {"code": 400, "message": "too much", "type": "exceed_context_size_error"}}, "context_length", "too much"),
    "GitHub Copilot": (400, {"error": {"message": "9 is over 8", "code": "model_max_prompt_tokens_exceeded"}}, "context_length", "9 is over 8"),
    "Moonshot": (429, {"error": {"message": "suspended", "type": "exceeded_current_quota_error"}}, "billing", "suspended"),
    "DeepSeek": (402, {"error": {"message": "Insufficient Balance", "code": "invalid_request_error"}}, "billing", "Insufficient Balance"),
    "Z.ai": (429, {"error": {"code": "1113", "message": "Insufficient balance. Please recharge."}}, "billing", "Insufficient balance. Please recharge."),
    "Anthropic": (400, {"error": {"type": "invalid_request_error", "message": "Your credit balance is too low"}}, "billing", "Your credit balance is too low"),
}  # fmt: skip


@pytest.mark.parametrize(("status", "document", "kind", "message"), HOSTS.values(), ids=HOSTS)
def test_what_hosts_say_is_understood(status: int, document: Any, kind: str, message: str) -> None:
    body = serialise(document)
    failure = failures.read_body(status, body)
    assert (failure.kind, failure.message) == (kind, message)
    _, told = failures.translate(Format.OPENAI_CHAT, status, body)
    code = {"context_length": "context_length_exceeded", "billing": "insufficient_quota"}.get(kind)
    assert code is None or parse(told)["error"]["code"] == code
    _, told = failures.translate(Format.ANTHROPIC, status, body)
    assert ("prompt is too long" in parse(told)["error"]["message"]) is (kind == "context_length")


def test_ollamas_stream_ends_with_a_line() -> None:
    assert error_event(Format.OLLAMA, COOLING) == b'{"error":"All credentials are cooling."}\n'


def test_a_message_of_any_characters_stays_json_and_one_event() -> None:
    error = WireError(500, 'a "quote"\nand \ud83d a line')
    for format in Format:
        assert parse(error_body(format, error))
    [event] = EventReader().feed(error_event(Format.ANTHROPIC, error))
    assert parse(event.data or b"")["error"]["message"] == error.message
