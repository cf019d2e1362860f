"""Streams, bodies and WebSocket messages through the meter."""

import json

import pytest
from hypothesis import given, settings, strategies as st

from router_core.exchange import Usage
from router_core.formats import Format, Operation
from router_core.sse import Event
from router_core.usage.count import Meter


def feed(format: Format, *parts: object) -> Usage:
    meter = Meter(format)
    for part in parts:
        meter.feed(part if isinstance(part, bytes) else json.dumps(part).encode())
    return meter.usage


def start(**usage: object) -> dict:
    return {"type": "message_start", "message": {"id": "msg_1", "usage": usage}}


def delta(**usage: object) -> dict:
    return {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}


def test_anthropic_output_is_replaced_and_never_added() -> None:
    usage = feed(Format.ANTHROPIC, start(input_tokens=450, output_tokens=2), delta(output_tokens=145))
    assert usage == Usage(input=450, output=145)


def test_anthropic_inputs_grow_when_server_tools_run() -> None:
    usage = feed(
        Format.ANTHROPIC,
        start(input_tokens=2068, output_tokens=1, cache_read_input_tokens=55096),
        delta(input_tokens=22397, output_tokens=415, cache_read_input_tokens=0),
    )
    assert (usage.input, usage.cache_read, usage.output) == (22397, 0, 415)


def test_anthropic_second_message_start_begins_again() -> None:
    usage = feed(
        Format.ANTHROPIC,
        start(input_tokens=17, output_tokens=1, cache_read_input_tokens=9),
        start(input_tokens=20, output_tokens=1),
        delta(output_tokens=227),
    )
    assert usage == Usage(input=20, output=227)


def test_anthropic_zero_in_the_last_event_does_not_empty_the_prompt() -> None:
    usage = feed(
        Format.ANTHROPIC, start(input_tokens=12, output_tokens=0), delta(input_tokens=0, output_tokens=9)
    )
    assert usage == Usage(input=12, output=9)


def test_a_cancelled_stream_keeps_what_was_reported_until_then() -> None:
    assert feed(Format.ANTHROPIC, start(input_tokens=30, output_tokens=3)) == Usage(input=30, output=3)


def test_chat_usage_after_the_finish_reason_and_on_every_chunk() -> None:
    def chunk(tokens: int, **more: object) -> dict:
        usage = {"prompt_tokens": 236, "completion_tokens": tokens, "total_tokens": 236 + tokens}
        return {"choices": [], "usage": usage, **more}

    usage = feed(
        Format.OPENAI_CHAT,
        chunk(1),
        {"choices": [{"finish_reason": "stop"}], "usage": None},
        chunk(33),
        b"[DONE]",
    )
    assert usage == Usage(input=236, output=33)
    assert feed(Format.OPENAI_CHAT, chunk(1, service_tier="flex")).tier == "flex"


@pytest.mark.parametrize("place", ["x_groq", "choice"])
def test_chat_usage_in_other_places(place: str) -> None:
    usage = {"prompt_tokens": 93, "completion_tokens": 21}
    chunk = {"x_groq": {"usage": usage}} if place == "x_groq" else {"choices": [{"index": 0, "usage": usage}]}
    assert feed(Format.OPENAI_CHAT, chunk) == Usage(input=93, output=21)


def completed(id: str, tokens: int, *items: str) -> dict:
    usage = {"input_tokens": 10, "output_tokens": tokens, "total_tokens": 10 + tokens}
    output = [{"type": item} for item in items]
    return {"type": "response.completed", "response": {"id": id, "usage": usage, "output": output}}


def test_responses_counts_the_terminal_event_and_the_tools_it_ran() -> None:
    usage = feed(
        Format.OPENAI_RESPONSES,
        {"type": "response.created", "response": {"id": "resp_1", "usage": None}},
        completed("resp_1", 8, "reasoning", "web_search_call", "function_call", "web_search_call"),
    )
    assert usage == Usage(input=10, output=8, server_tools={"web_search": 2})


def test_several_responses_on_one_websocket_add_up() -> None:
    usage = feed(
        Format.OPENAI_RESPONSES,
        completed("resp_1", 8, "web_search_call"),
        completed("resp_2", 5, "web_search_call"),
        {"type": "response.in_progress", "response": {"id": "resp_3", "usage": {"input_tokens": 10}}},
        completed("resp_3", 1),
    )
    assert usage == Usage(input=30, output=14, server_tools={"web_search": 2})


def test_gemini_last_figures_win_and_empty_ones_do_not() -> None:
    usage = feed(
        Format.GEMINI,
        {"usageMetadata": {"promptTokenCount": 169, "candidatesTokenCount": 1, "totalTokenCount": 170}},
        {"usageMetadata": {"promptTokenCount": 79, "candidatesTokenCount": 5, "totalTokenCount": 84}},
        {"usageMetadata": {"trafficType": "ON_DEMAND"}},
    )
    assert usage == Usage(input=79, output=5)


def test_gemini_array_and_code_assist_wrapper() -> None:
    chunk = {"usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 5, "totalTokenCount": 14}}
    assert feed(Format.GEMINI, [{"candidates": []}, chunk]) == Usage(input=9, output=5)
    assert feed(Format.GEMINI, {"response": chunk}) == Usage(input=9, output=5)


def test_text_that_looks_like_usage_is_not_read() -> None:
    quoted = {"type": "content_block_delta", "delta": {"text": '"usage": {"input_tokens": 999}'}}
    meter = Meter(Format.ANTHROPIC)
    meter.feed(json.dumps(quoted).encode())
    assert not meter.reported


def test_counting_tokens_uses_none() -> None:
    meter = Meter(Format.ANTHROPIC, Operation.COUNT_TOKENS)
    meter.feed(b'{"input_tokens": 900, "usage": {"input_tokens": 900}}')
    meter.feed_json({"usage": {"input_tokens": 900}})
    assert meter.usage == Usage()


def test_events_of_the_stream_reader_are_taken_as_they_are() -> None:
    meter = Meter(Format.OPENAI_CHAT)
    meter.feed(Event(b": keep-alive\n\n"))
    meter.feed(Event(b'data: {"usage": {"prompt_tokens": 4, "completion_tokens": 2}}\n\n'))
    assert meter.usage == Usage(input=4, output=2)


def test_a_broken_event_is_noted() -> None:
    assert feed(Format.OPENAI_CHAT, b'{"usage": {"prompt_tokens": ').notes == (
        "answer: not readable as JSON",
    )


@settings(max_examples=60)
@given(
    st.sampled_from(list(Format)),
    st.lists(st.binary(max_size=40) | st.just(b'{"usage":{}}') | st.just(b'[{"usage":[]}]')),
)
def test_any_bytes_are_survived(format: Format, parts: list[bytes]) -> None:
    meter = Meter(format)
    for part in parts:
        meter.feed(part)
    assert meter.usage.input is None
