"""Reasoning that a model writes into its text, between tags, and into the fields that hosts invented for it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from router_core.formats import Format
from router_core.formats.answer import Answer
from router_core.formats.openai_chat.think_tags import ThinkTags, split
from tests.router_core.formats import clients
from tests.router_core.formats.translated import asks, translated

A, C, R, G = Format.ANTHROPIC, Format.OPENAI_CHAT, Format.OPENAI_RESPONSES, Format.GEMINI


def stream(*deltas: dict[str, Any], finish: str = "stop") -> bytes:
    chunks = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    lines = [json.dumps({"id": "c1", "model": "m", **chunk}) for chunk in chunks]
    return "".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"]).encode()


CASES = [
    ("<think>hm</think>yes", "hm", "yes"),
    ("\n <think>\nhm\n\nhm\n</think>\n\n  yes <think>", "hm\n\nhm", "yes <think>"),
    ("<think></think>\n\nyes", "", "yes"),
    ("<think>not closed </thin", "not closed", ""),
    ("a <think>b</think>", "", "a <think>b</think>"),
    ("<thin", "", "<thin"),
    ("<thinking>a</thinking>", "", "<thinking>a</thinking>"),
    ("<think>a < b </ c</think>d", "a < b </ c", "d"),
    ("", "", ""),
    ("  ", "", ""),
]


@pytest.mark.parametrize(("text", "thought", "answer"), CASES)
def test_a_whole_text(text: str, thought: str, answer: str) -> None:
    found = split(text)
    assert (found[0].partition("</")[0].rstrip(), found[1]) == (thought.partition("</")[0].rstrip(), answer)


@given(st.lists(st.sampled_from(["<think>", "</think>", "<", "/", "th", "ink>", " ", "\n", "a"])), st.data())
def test_any_cut_gives_the_same(pieces: list[str], data: st.DataObject) -> None:
    text = "".join(pieces)
    tags = ThinkTags()
    found: list[tuple[bool, str]] = []
    while text:
        size = data.draw(st.integers(1, len(text)))
        piece, text = text[:size], text[size:]
        found += tags.feed(piece)
    found += tags.end()
    joined = tuple("".join(t for inside, t in found if inside is side) for side in (True, False))
    assert joined == split("".join(pieces))
    # Reasoning comes first, and neither side is ever empty.
    assert sorted(found, key=lambda piece: not piece[0]) == found
    assert all(piece for _, piece in found)


@pytest.mark.parametrize("client", [A, R, G])
@pytest.mark.parametrize("step", [1, 3, 1000])
def test_every_client_is_told_what_is_reasoning(client: Format, step: int) -> None:
    text = "<think>\nI add: 2 < 3.\n</think>\n\nFive."
    body = stream(*({"content": text[i : i + step]} for i in range(0, len(text), step)))
    _, out = translated(client, C, body, streamed=True, streaming=True)
    said = clients.read(client, out, streaming=True)
    assert (said.reasoning, said.text) == ("I add: 2 < 3.", "Five.")


def test_a_call_right_after_the_reasoning() -> None:
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}
    body = stream(
        {"content": "<think>hm</think>\n\n"}, {"tool_calls": [call]}, {"content": ""}, finish="tool_calls"
    )
    _, out = translated(A, C, body, streamed=True, streaming=True)
    said = clients.read(A, out, streaming=True)
    assert (said.reasoning, said.text, said.calls) == ("hm", "", [("f", {})])


@pytest.mark.parametrize("model", ["gpt-5.2", "claude-opus-4-5", "models/gemini-2.5-pro"])
def test_closed_models_mean_the_words(model: str) -> None:
    asked = asks(A, C, {"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}, model=model)
    message = {"role": "assistant", "content": "<think>x</think>y"}
    answer = {
        "id": "c1",
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    }
    read = Answer(A, C, asked.context).body(answer)
    assert [block["text"] for block in read["content"]] == ["<think>x</think>y"]


DIALECTS = {
    "tags": ({"content": "<think>\nhm\n</think>\n\nyes"}, {"content": "<think>\nhm\n</think>\n\nyes"}),
    "reasoning_content": ({"content": "yes", "reasoning_content": "hm"},) * 2,
    "reasoning": ({"content": "yes", "reasoning": "hm"},) * 2,
    "reasoning_text": ({"content": "yes", "reasoning_text": "hm"},) * 2,
    "reasoning_opaque": ({"content": "yes", "reasoning_text": "hm", "reasoning_opaque": "b3BhcXVl"},) * 2,
    "reasoning_details": (
        {
            "content": "yes",
            "reasoning": "hm",
            "reasoning_details": [{"type": "reasoning.text", "text": "hm", "signature": "s", "index": 0}],
        },
        {
            "content": "yes",
            "reasoning_details": [{"type": "reasoning.text", "text": "hm", "signature": "s", "index": 0}],
        },
    ),
}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("client", [A, R, G])
def test_a_model_gets_its_reasoning_back_where_it_wrote_it(client: Format, dialect: str) -> None:
    came, goes = DIALECTS[dialect]
    opening: dict[str, Any] = {
        A: {"max_tokens": 99, "messages": [{"role": "user", "content": "hi"}]},
        R: {"input": [{"role": "user", "content": "hi"}]},
        G: {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
    }[client]
    asked = asks(client, C, opening, model="some-model")
    choice = {"index": 0, "message": {"role": "assistant", **came}, "finish_reason": "stop"}
    read = Answer(client, C, asked.context).body({"id": "c1", "model": "m", "choices": [choice]})
    key, turns = {
        A: ("messages", [{"role": "assistant", "content": read.get("content")}]),
        R: ("input", read.get("output")),
        G: ("contents", [candidate["content"] for candidate in read.get("candidates", ())]),
    }[client]
    question = opening[key][0]
    following = {**opening, key: [question, *turns, question]}
    said = asks(client, C, following, model="some-model").document["messages"][1]
    assert said == {"role": "assistant", **goes}
    other = asks(client, C, following, model="another-model").document["messages"][1]
    assert other == {"role": "assistant", "content": "yes"}


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "reasoning_text"])
def test_a_chat_client_is_shown_reasoning_in_its_own_field(field: str) -> None:
    said = {"role": "assistant", "content": "a", field: "b"}
    question = {"role": "user", "content": "hi"}
    answer = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            {"type": "text", "text": "yes"},
        ],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
    body = json.dumps(answer).encode()
    _, out = translated(C, A, body, streamed=False, streaming=False, messages=[question, said, question])
    assert json.loads(out)["choices"][0]["message"][field] == "hm"


def test_history_with_tags_goes_elsewhere_without_them() -> None:
    question = {"role": "user", "content": "hi"}
    said = {"role": "assistant", "content": "<think>\nhm\n</think>\n\nyes"}
    document = asks(C, A, {"messages": [question, said, question]}).document
    assert document["messages"][1]["content"] == [{"type": "text", "text": "yes"}]
