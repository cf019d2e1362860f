"""Requests and answers as a person reads them."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from router_core.capture.conversation import read_answer, read_body, read_messages, read_request
from router_core.capture.transcript import render
from router_core.formats import Format
from tests.router_core.capture.samples import EVENTS

WIRE = Path(os.environ.get("DETOUR_WIRE_CORPUS", Path(__file__).parents[4] / "shared" / "wire"))

CALL = {"city": "Rom"}
REQUESTS = {
    Format.ANTHROPIC: {
        "model": "m",
        "max_tokens": 9,
        "system": [{"type": "text", "text": "Be brief."}],
        "tools": [{"name": "weather", "input_schema": {}}],
        "messages": [
            {"role": "user", "content": "How is it?"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "s"},
                    {"type": "tool_use", "id": "c1", "name": "weather", "input": CALL},
                ],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "sunny"}]},
        ],
    },
    Format.OPENAI_CHAT: {
        "model": "m",
        "max_tokens": 9,
        "tools": [{"type": "function", "function": {"name": "weather"}}],
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "How is it?"},
            {
                "role": "assistant",
                "content": None,
                "reasoning_content": "hm",
                "tool_calls": [
                    {
                        "id": "c1",
                        "type": "function",
                        "function": {"name": "weather", "arguments": json.dumps(CALL)},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
        ],
    },
    Format.OPENAI_RESPONSES: {
        "model": "m",
        "max_tokens": 9,
        "instructions": "Be brief.",
        "tools": [{"type": "function", "name": "weather"}],
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "How is it?"}]},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
            {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": json.dumps(CALL)},
            {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
        ],
    },
    Format.GEMINI: {
        "model": "m",
        "max_tokens": 9,
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "tools": [{"functionDeclarations": [{"name": "weather"}]}],
        "contents": [
            {"role": "user", "parts": [{"text": "How is it?"}]},
            {
                "role": "model",
                "parts": [
                    {"text": "hm", "thought": True},
                    {"functionCall": {"name": "weather", "args": CALL}},
                ],
            },
            {
                "role": "user",
                "parts": [{"functionResponse": {"name": "weather", "response": {"result": "sunny"}}}],
            },
        ],
    },
}


@pytest.mark.parametrize("format", REQUESTS)
def test_a_request_reads_like_a_conversation(format):
    text = render(read_request(format, REQUESTS[format]))
    expected = [
        "model: m",
        "max_tokens: 9",
        "tools (1): weather",
        "[system]",
        "  Be brief.",
        "[user]",
        "  How is it?",
        "(thinking) hm",
        "-> weather",
        "Rom",
        "sunny",
    ]
    position = 0
    for words in expected:
        position = text.find(words, 0 if words.startswith(("model", "max", "tools")) else position)
        assert position >= 0, (words, text)


def test_a_stream_is_folded():
    text = render(read_body(Format.ANTHROPIC, b"".join(EVENTS)))
    assert "[assistant]\n  Bonjour\n" in text and "stop_reason: end_turn" in text
    assert "usage: input_tokens 3, output_tokens 4" in text


@pytest.mark.parametrize("count", range(2, 7))
def test_a_stream_that_breaks_off_shows_what_it_had_said(count):
    text = render(read_body(Format.ANTHROPIC, b"".join(EVENTS[:count])))
    assert ("Bon" in text) == (count > 2)
    assert ("Bonjour" in text) == (count > 3)


def test_a_stream_that_ends_in_an_error_shows_both():
    error = (
        b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
    )
    text = render(read_body(Format.ANTHROPIC, b"".join(EVENTS[:4]) + error))
    assert "[assistant, not complete]\n  Bonjour" in text and "Overloaded" in text


def test_a_websocket_is_a_conversation_in_turns():
    answer = {
        "type": "response.completed",
        "response": {
            "object": "response",
            "output": [
                {
                    "type": "message",
                    "role": "assistant",
                    "content": [{"type": "output_text", "text": "Sunny."}],
                }
            ],
        },
    }
    messages = [
        (True, {"type": "response.create", "model": "m", "input": "How is it?"}),
        (False, {"type": "response.output_text.delta", "output_index": 0, "delta": "Sun"}),
        (False, answer),
        (True, {"type": "response.create", "input": "And now?"}),
        (False, {"type": "response.output_text.delta", "output_index": 0, "delta": "Rai"}),
    ]
    read = read_messages(
        Format.OPENAI_RESPONSES, [(c, json.dumps(d).encode()) for c, d in messages] + [(True, b"\xff")]
    )
    texts = [render(turn) for turn in read]
    assert [next(w for w in ("How", "Sunny.", "And", "Rai", "�") if w in text) for text in texts] == [
        "How",
        "Sunny.",
        "And",
        "Rai",
        "�",
    ]


@pytest.mark.parametrize(
    ("format", "event", "words"),
    [
        (Format.OPENAI_CHAT, {"choices": [{"index": 0, "delta": {"content": "Hal"}}]}, "Hal"),
        (
            Format.OPENAI_RESPONSES,
            {"type": "response.output_text.delta", "output_index": 0, "delta": "Hal"},
            "Hal",
        ),
        (Format.GEMINI, {"candidates": [{"content": {"parts": [{"text": "Hal"}]}}]}, "Hal"),
    ],
)
def test_beginnings_of_other_formats(format, event, words):
    body = b"data: " + json.dumps(event).encode() + b"\n\n"
    assert words in render(read_body(format, body))


def test_errors_and_refusals_are_words_too():
    assert "slow down" in render(
        read_answer(Format.ANTHROPIC, {"type": "error", "error": {"message": "slow down"}})
    )
    choice = {"message": {"role": "assistant", "content": None, "refusal": "No."}, "finish_reason": "stop"}
    assert "(refusal) No." in render(read_answer(Format.OPENAI_CHAT, {"choices": [choice]}))


def test_media_are_named_and_not_shown():
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 5000}}
    text = render(read_request(Format.ANTHROPIC, {"messages": [{"role": "user", "content": [image]}]}))
    assert "image/png, 5000 characters of base64" in text and "AAAA" not in text


def test_long_parts_are_folded_unless_all_is_asked_for():
    request = {"messages": [{"role": "user", "content": "x" * 9000}]}
    assert "... 5000 characters ..." in render(read_request(Format.OPENAI_CHAT, request))
    assert "x" * 9000 in render(read_request(Format.OPENAI_CHAT, request), limit=None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda c: (
        st.lists(c, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "messages",
                    "content",
                    "type",
                    "text",
                    "role",
                    "tools",
                    "function",
                    "tool_calls",
                    "parts",
                    "contents",
                    "candidates",
                    "output",
                    "input",
                    "choices",
                    "message",
                    "error",
                    "usage",
                    "delta",
                    "system",
                    "functionCall",
                    "source",
                ]
            ),
            c,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=150)
@given(st.sampled_from(list(Format)), JSON)
def test_nothing_is_too_strange_to_be_shown(format, document):
    assert isinstance(render(read_request(format, document)), str)
    assert isinstance(render(read_answer(format, document)), str)
    body = b"data: " + json.dumps(document).encode() + b"\n\n"
    assert isinstance(render(read_body(format, body)), str)


@pytest.mark.skipif(not WIRE.exists(), reason="the recorded wire data is not here (DETOUR_WIRE_CORPUS)")
def test_recorded_wire_data_is_understood():
    strange = 0
    with (WIRE / "INDEX.tsv").open() as index:
        for row in csv.DictReader(index, delimiter="\t"):
            format = Format(row["api format"])
            for path in (WIRE / row["path"]).glob("re*.*"):
                body = path.read_bytes()
                found = (
                    read_request(format, json.loads(body))
                    if path.stem == "request"
                    else read_body(format, body)
                )
                assert render(found)
                strange += sum(part.kind == "unknown" for turn in found.turns for part in turn.parts)
    assert strange < 20
