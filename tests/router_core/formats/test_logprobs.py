"""Log probabilities of an answer's tokens, in the three formats that have them, read by the official libraries."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.genai.types import GenerateContentResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseTextDeltaEvent

from router_core.formats import Format
from tests.router_core.formats.translated import translated

C, R, G = Format.OPENAI_CHAT, Format.OPENAI_RESPONSES, Format.GEMINI
TOKENS = [("Pe", -0.25, ["Pe", "Ap"]), ("ars", -0.5, ["ars", "ar"])]
"""(token, its log probability, the likeliest tokens)"""


def _openai(token: str, logprob: float, tops: list[str]) -> dict[str, Any]:
    top = [{"token": t, "logprob": logprob, "bytes": list(t.encode())} for t in tops]
    return {"token": token, "logprob": logprob, "bytes": list(token.encode()), "top_logprobs": top}


def _gemini(*tokens: tuple[str, float, list[str]]) -> dict[str, Any]:
    return {
        "chosenCandidates": [{"token": t, "tokenId": 7, "logProbability": p} for t, p, _ in tokens],
        "topCandidates": [
            {"candidates": [{"token": t, "logProbability": p} for t in tops]} for _, p, tops in tokens
        ],
    }


def _chat_body() -> dict[str, Any]:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "Pears"},
        "logprobs": {"content": [_openai(*token) for token in TOKENS]},
        "finish_reason": "stop",
    }
    return {"id": "c", "object": "chat.completion", "model": "m", "created": 1, "choices": [choice]}


def _responses_body() -> dict[str, Any]:
    text = {"type": "output_text", "text": "Pears", "annotations": []}
    text["logprobs"] = [_openai(*token) for token in TOKENS]
    item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [text]}
    return {"id": "r", "object": "response", "created_at": 1, "model": "m", "status": "completed", "output": [item]}  # fmt: skip


def _candidate(text: str, *tokens: Any, **fields: Any) -> dict[str, Any]:
    content = {"role": "model", "parts": [{"text": text}]}
    return {"candidates": [{"content": content, "logprobsResult": _gemini(*tokens), **fields}]}


BODIES = {C: _chat_body(), R: _responses_body(), G: _candidate("Pears", *TOKENS, finishReason="STOP")}


def _chat_chunk(token: Any, reason: str | None) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": token[0]}, "finish_reason": reason}
    choice["logprobs"] = {"content": [_openai(*token)]}
    return {"id": "c", "object": "chat.completion.chunk", "model": "m", "created": 1, "choices": [choice]}


STREAMS: dict[Format, list[dict[str, Any]]] = {
    C: [_chat_chunk(TOKENS[0], None), _chat_chunk(TOKENS[1], "stop")],
    R: [
        {"type": "response.created", "response": {"id": "r", "model": "m", "output": []}},
        *(
            {
                "type": "response.output_text.delta",
                "output_index": 0,
                "content_index": 0,
                "delta": token[0],
                "logprobs": [_openai(*token)],
            }
            for token in TOKENS
        ),
        {"type": "response.completed", "response": BODIES[R]},
    ],
    G: [
        _candidate(TOKENS[0][0], TOKENS[0]),
        _candidate(TOKENS[1][0], TOKENS[1], finishReason="STOP"),
    ],
}


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize(("client", "upstream"), [(c, u) for c in (C, R, G) for u in (C, R, G) if c is not u])
def test_every_token_keeps_its_probability(
    client: Format, upstream: Format, streamed: bool, streaming: bool
) -> None:
    lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in STREAMS[upstream]]
    body = "".join(lines) if streamed else json.dumps(BODIES[upstream])
    status, out = translated(client, upstream, body.encode(), streamed=streamed, streaming=streaming)
    assert status == 200
    documents = [
        json.loads(line[5:]) for line in out.decode().splitlines() if line.startswith("data: {")
    ] or [json.loads(out)]
    assert _read(client, documents, streaming) == TOKENS


def _read(client: Format, documents: list[Any], streaming: bool) -> list[tuple[str, float, list[str]]]:
    if client is G:
        results = [
            candidate.logprobs_result
            for document in documents
            for candidate in GenerateContentResponse.model_validate(document).candidates or ()
            if candidate.logprobs_result
        ]
        return [
            (chosen.token or "", chosen.log_probability or 0, [t.token or "" for t in top.candidates or ()])
            for result in results
            for chosen, top in zip(result.chosen_candidates or (), result.top_candidates or (), strict=True)
        ]
    entries: list[Any] = []
    if client is C:
        type_ = ChatCompletionChunk if streaming else ChatCompletion
        for document in documents:
            for choice in type_.model_validate(document).choices:
                entries += (choice.logprobs.content if choice.logprobs else None) or []
    else:
        if streaming:
            of_deltas = [
                entry
                for document in documents
                if document["type"] == "response.output_text.delta"
                for entry in ResponseTextDeltaEvent.model_validate(document).logprobs
            ]
            assert [entry.token for entry in of_deltas] == [token for token, _, _ in TOKENS]
            documents = [documents[-1]["response"]]
        for item in Response.model_validate(documents[0]).output:
            assert item.type == "message"
            for text in item.content:
                assert text.type == "output_text"
                entries += text.logprobs or []
    return [(e.token, e.logprob, [top.token for top in e.top_logprobs]) for e in entries]
