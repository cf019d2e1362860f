"""What an event before content tells: nothing, a keep-alive, content, an error."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from router_core.formats import Format
from router_core.opening import Opening, Verdict
from router_core.sse import ArrayReader, Event, EventReader, of_message
from tests.router_core import wire

A, C, R, G = Format.ANTHROPIC, Format.OPENAI_CHAT, Format.OPENAI_RESPONSES, Format.GEMINI
HOLD, PING, CONTENT, ERROR = Verdict.HOLD, Verdict.PING, Verdict.CONTENT, Verdict.ERROR

CASES = [
    (A, b'event: message_start\ndata: {"type":"message_start","message":{"content":[],"usage":{"output_tokens":4}}}', HOLD),
    (A, b'data: {"type":"message_start","message":{"content":[{"type":"tool_use"}]}}', CONTENT),
    (A, b'event: ping\ndata: {"type": "ping"}', PING),
    (A, b'data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}', HOLD),
    (A, b'data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}', HOLD),
    (A, b'data: {"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}', HOLD),
    (A, b'data: {"type":"content_block_start","index":0,"content_block":{"type":"redacted_thinking","data":"x"}}', CONTENT),
    (A, b'data: {"type":"content_block_start","index":1,"content_block":{"type":"web_search_tool_result","content":[]}}', CONTENT),
    (A, b'data: {"type":"content_block_delta","delta":{"type":"input_json_delta","partial_json":""}}', HOLD),
    (A, b'data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"a"}}', CONTENT),
    (A, b'data: {"type":"content_block_delta","delta":{"type":"signature_delta","signature":"s"}}', CONTENT),
    (A, b'data: {"type":"message_delta","delta":{"stop_reason":"refusal"}}', CONTENT),
    (A, b'data: {"type":"message_stop"}', CONTENT),
    (A, b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}', ERROR),
    (A, b'data: {"type":"error","error":{"type":"overloaded_error"}}', ERROR),
    (A, b'data: {"error":{"message":"x"}}', ERROR),
    (A, b'data: {"type":"unheard_of"}', CONTENT),
    (C, b": OPENROUTER PROCESSING", PING),
    (C, b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}', HOLD),
    (C, b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":null,"tool_calls":[],"refusal":null}}]}', HOLD),
    (C, b'data: {"choices":[],"prompt_filter_results":[{}],"id":"","model":""}', HOLD),
    (C, b'data: {"choices":[],"usage":{"prompt_tokens":1}}', HOLD),
    (C, b'data: {"choices":[{"delta":{"content":"a"}}]}', CONTENT),
    (C, b'data: {"choices":[{"delta":{"reasoning":"a"}}]}', CONTENT),
    (C, b'data: {"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}', CONTENT),
    (C, b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}', CONTENT),
    (C, b"data: [DONE]", CONTENT),
    (C, b'data: {"error":{"message":"Rate limit","type":"rate_limit_error"}}', ERROR),
    (C, b'event: error\ndata: {"error":{"message":"failed_generation"}}', ERROR),
    (C, b'data: {"id":"gen","choices":[{"delta":{"content":""},"finish_reason":"error"}],"error":{"code":502,"message":"x"}}', ERROR),
    (C, b'data: {"object":"error","message":"x","code":400}', ERROR),
    (C, b'data: {"code":11101,"msg":"invalid request"}', ERROR),
    (C, b'data: {"error":null,"choices":[{"delta":{"content":"a"}}]}', CONTENT),
    (R, b'event: response.created\ndata: {"type":"response.created","response":{"status":"in_progress","error":null}}', HOLD),
    (R, b'data: {"type":"response.in_progress","response":{}}', HOLD),
    (R, b'data: {"type":"response.queued","response":{}}', HOLD),
    (R, b'data: {"type":"keepalive","sequence_number":2}', HOLD),
    (R, b'data: {"type":"codex.rate_limits","rate_limits":{}}', HOLD),
    (R, b'data: {"type":"response.created","response":{"status":"failed","error":{"code":"x"}}}', ERROR),
    (R, b'data: {"type":"response.output_item.added","item":{"type":"message","content":[]}}', HOLD),
    (R, b'data: {"type":"response.output_item.added","item":{"type":"function_call","name":"f"}}', CONTENT),
    (R, b'data: {"type":"response.content_part.added","part":{"type":"output_text","text":""}}', HOLD),
    (R, b'data: {"type":"response.output_text.delta","delta":"a"}', CONTENT),
    (R, b'data: {"type":"response.completed","response":{}}', CONTENT),
    (R, b'data: {"type":"response.failed","response":{"error":{"code":"server_error","message":"selected model is at capacity"}}}', ERROR),
    (R, b'event: error\ndata: {"type":"error","code":"x","message":"flat"}', ERROR),
    (R, b'data: {"type":"error","error":{"message":"nested"}}', ERROR),
    (G, b'data: {"usageMetadata":{"promptTokenCount":1},"modelVersion":"g","responseId":"r"}', HOLD),
    (G, b'data: {"candidates":[{"content":{"parts":[{"text":""}],"role":"model"},"index":0}]}', HOLD),
    (G, b'data: {"candidates":[{"content":{"parts":[{"text":"a"}]}}]}', CONTENT),
    (G, b'data: {"candidates":[{"content":{"parts":[{"functionCall":{"name":"f"}}]}}]}', CONTENT),
    (G, b'data: {"candidates":[{"finishReason":"SAFETY"}]}', CONTENT),
    (G, b'data: {"promptFeedback":{"blockReason":"OTHER"}}', CONTENT),
    (G, b'data: {"error":{"code":503,"status":"UNAVAILABLE"}}', ERROR),
    (G, b'data: {"response":{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}}', CONTENT),
    (C, b"data: not json", CONTENT),
    (C, b'data: {"choices":7}', CONTENT),
    (A, b'data: {"type":"message_start"}', CONTENT),
    (A, b"data: ", HOLD),
    (R, b'data: ["list"]', CONTENT),
]  # fmt: skip


@pytest.mark.parametrize(
    ("format", "event", "verdict"), CASES, ids=lambda v: v[:60].decode() if isinstance(v, bytes) else str(v)
)
def test_events(format: Format, event: bytes, verdict: Verdict) -> None:
    [read] = EventReader().feed(event + b"\n\n")
    assert Opening(format).judge(read) is verdict


def test_an_error_as_an_element_of_geminis_array() -> None:
    [event] = ArrayReader().feed(b'[{"error": {"code": 503, "message": "x"}}')
    assert Opening(Format.GEMINI).judge(event) is ERROR


@given(st.sampled_from([*Format]), st.binary(max_size=80), st.none() | st.text(max_size=8))
def test_any_bytes_are_judged(format: Format, data: bytes, name: str | None) -> None:
    assert Opening(format).judge(Event(data, name, data, parsed=True)) in Verdict


@wire.recorded(lambda pair: pair.streams and pair.status == 200)
def test_recorded_streams_come_to_content(pair: wire.Pair) -> None:
    reader = ArrayReader() if pair.response.lstrip().startswith(b"[") else EventReader()
    opening = Opening(pair.format)
    verdicts = [opening.judge(event) for event in reader.feed(pair.response) + reader.close()]
    assert CONTENT in verdicts
    assert set(verdicts[: verdicts.index(CONTENT)]) <= {HOLD, PING}
    assert verdicts.index(CONTENT) < 10


@pytest.mark.parametrize(
    ("format", "value", "before", "verdict"),
    [
        (Format.GEMINI, {"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL"}]}, False, ERROR),
        (Format.GEMINI, {"candidates": [{"finishReason": "UNEXPECTED_TOOL_CALL"}]}, False, ERROR),
        (Format.GEMINI, {"candidates": [{"finishReason": "UNEXPECTED_TOOL_CALL"}]}, True, CONTENT),
        (Format.GEMINI, {"candidates": [{"finishReason": "SAFETY"}]}, False, CONTENT),
        (Format.OPENAI_CHAT, {"choices": [{"delta": {}, "finish_reason": "error"}]}, False, ERROR),
        (Format.OPENAI_CHAT, {"choices": [{"delta": {}, "finish_reason": "content_filter"}]}, False, CONTENT),
    ],
)
def test_what_is_given_up_has_a_word_in_its_own_format_alone(
    format: Format, value: Any, before: bool, verdict: Verdict
) -> None:
    said = {
        Format.GEMINI: {"candidates": [{"content": {"parts": [{"text": "a"}]}}]},
        Format.OPENAI_CHAT: {"choices": [{"delta": {"content": "a"}}]},
    }[format]
    translated = Opening(format, translated=True)
    if before:
        translated.judge(of_message(json.dumps(said).encode()))
    event = of_message(json.dumps(value).encode())
    assert translated.judge(event) is verdict
    assert Opening(format).judge(event) is CONTENT
