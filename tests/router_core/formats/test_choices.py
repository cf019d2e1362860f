"""Several answers to one request: told apart where the client's format can, refused where the upstream's cannot."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.genai.types import GenerateContentResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from router_core.errors import Code, Refusal
from router_core.formats import Format, Operation
from router_core.formats.translate import request
from tests.router_core.formats.translated import MINIMAL, translated

A, C, R, G = Format.ANTHROPIC, Format.OPENAI_CHAT, Format.OPENAI_RESPONSES, Format.GEMINI
TWO: dict[Format, dict[str, Any]] = {C: {"n": 2}, G: {"generationConfig": {"candidateCount": 2}}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at":1}'}}


def _chat_chunk(index: int, reason: str | None = None, **delta: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "finish_reason": reason}
    return {"id": "c", "object": "chat.completion.chunk", "model": "m", "created": 1, "choices": [choice]}


def _candidate(index: int, *parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"index": index, "content": {"role": "model", "parts": list(parts)}, **fields}


CHAT_STREAM = [
    _chat_chunk(0, role="assistant", content="A"),
    _chat_chunk(1, role="assistant", content="X"),
    _chat_chunk(0, content="B"),
    _chat_chunk(1, tool_calls=[{"index": 0, **CALL}]),
    _chat_chunk(0, "length"),
    _chat_chunk(1, "tool_calls"),
]
CHAT_BODY = {
    **_chat_chunk(0),
    "object": "chat.completion",
    "choices": [
        {"index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": "AB"}},
        {
            "index": 1,
            "finish_reason": "tool_calls",
            "message": {"role": "assistant", "content": "X", "tool_calls": [CALL]},
        },
    ],
}
GEMINI_CALL = {"functionCall": {"name": "look", "args": {"at": 1}}}
GEMINI_STREAM = [
    {"candidates": [_candidate(0, {"text": "A"}), _candidate(1, {"text": "X"})]},
    {"candidates": [_candidate(0, {"text": "B"}, finishReason="MAX_TOKENS")]},
    {"candidates": [_candidate(1, GEMINI_CALL, finishReason="STOP")]},
]
GEMINI_BODY = {
    "candidates": [
        _candidate(0, {"text": "AB"}, finishReason="MAX_TOKENS"),
        _candidate(1, {"text": "X"}, GEMINI_CALL, finishReason="STOP"),
    ]
}
SPOKEN: dict[Format, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    C: (CHAT_STREAM, CHAT_BODY),
    G: (GEMINI_STREAM, GEMINI_BODY),
}
type Choice = tuple[str, list[tuple[str, dict[str, Any]]], str]
"""(text, calls, why it ended)"""


def _read_chat(body: bytes, streaming: bool) -> list[Choice]:
    if not streaming:
        completion = ChatCompletion.model_validate_json(body)
        return [
            (
                choice.message.content or "",
                [
                    (call.function.name, json.loads(call.function.arguments))
                    for call in choice.message.tool_calls or ()
                    if call.type == "function"
                ],
                choice.finish_reason,
            )
            for choice in completion.choices
        ]
    texts, names, arguments, ends = ["", ""], ["", ""], ["", ""], ["", ""]
    for line in body.splitlines():
        if not line.startswith(b"data: {"):
            continue
        for choice in ChatCompletionChunk.model_validate_json(line[6:]).choices:
            texts[choice.index] += choice.delta.content or ""
            ends[choice.index] = choice.finish_reason or ends[choice.index]
            for call in choice.delta.tool_calls or ():
                assert call.function is not None
                names[choice.index] += call.function.name or ""
                arguments[choice.index] += call.function.arguments or ""
    calls = [[(names[n], json.loads(arguments[n]))] if names[n] else [] for n in (0, 1)]
    return list(zip(texts, calls, ends, strict=True))


def _read_gemini(body: bytes, streaming: bool) -> list[Choice]:
    lines = [line[6:] for line in body.splitlines() if line.startswith(b"data: ")] if streaming else [body]
    texts, ends = ["", ""], ["", ""]
    calls: list[list[tuple[str, dict[str, Any]]]] = [[], []]
    for line in lines:
        for candidate in GenerateContentResponse.model_validate_json(line).candidates or ():
            index = candidate.index or 0
            for part in (candidate.content and candidate.content.parts) or ():
                texts[index] += part.text or ""
                if part.function_call:
                    calls[index].append((part.function_call.name or "", part.function_call.args or {}))
            if candidate.finish_reason:
                ends[index] = candidate.finish_reason.value
    return list(zip(texts, calls, ends, strict=True))


@pytest.mark.parametrize("streaming", [True, False], ids=["to a stream", "to a body"])
@pytest.mark.parametrize("streamed", [True, False], ids=["from a stream", "from a body"])
@pytest.mark.parametrize("client", [C, G], ids=str)
def test_choices_stay_apart(client: Format, streamed: bool, streaming: bool) -> None:
    upstream = G if client is C else C
    stream, whole = SPOKEN[upstream]
    lines = b"".join(b"data: %s\n\n" % json.dumps(line).encode() for line in stream)
    if upstream is C:
        lines += b"data: [DONE]\n\n"
    body = lines if streamed else json.dumps(whole).encode()
    status, answer = translated(client, upstream, body, streamed=streamed, streaming=streaming, **TWO[client])
    assert status == 200
    read = _read_chat if client is C else _read_gemini
    ends = ("length", "tool_calls") if client is C else ("MAX_TOKENS", "STOP")
    assert read(answer, streaming) == [("AB", [], ends[0]), ("X", [("look", {"at": 1})], ends[1])]


def test_a_call_is_the_last_part_of_a_body_that_was_streamed() -> None:
    lines = b"".join(b"data: %s\n\n" % json.dumps(line).encode() for line in CHAT_STREAM)
    body = translated(G, C, lines + b"data: [DONE]\n\n", streamed=True, streaming=False, **TWO[G])[1]
    second = json.loads(body)["candidates"][1]
    assert [list(part) for part in second["content"]["parts"]] == [["text"], ["functionCall"]]


@pytest.mark.parametrize("streaming", [True, False])
def test_a_format_of_one_answer_has_the_first(streaming: bool) -> None:
    body = json.dumps(CHAT_BODY).encode()
    status, answer = translated(A, C, body, streamed=False, streaming=streaming)
    assert status == 200
    assert b"AB" in answer and b"look" not in answer and b"max_tokens" in answer


@pytest.mark.parametrize("client", [C, G], ids=str)
@pytest.mark.parametrize("upstream", [A, R], ids=str)
def test_several_answers_are_refused_where_there_is_one(client: Format, upstream: Format) -> None:
    document = {**MINIMAL[client], **TWO[client]}
    made = request(client, upstream, Operation.GENERATE, document, model="m", stream=False)
    assert isinstance(made, Refusal)
    assert made.code is Code.UNSUPPORTED
    assert "more than one choice" in made.message


@pytest.mark.parametrize("upstream", [A, R, G], ids=str)
def test_a_recording_is_no_answer_of_other_formats(upstream: Format) -> None:
    document = {**MINIMAL[C], "modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}}
    made = request(C, upstream, Operation.GENERATE, document, model="m", stream=False)
    assert isinstance(made, Refusal)
    assert "answers in text, audio" in made.message
