"""Embeddings between OpenAI's and Google's shapes."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest

from router_core.errors import Code, Refusal
from router_core.formats import Format, Operation
from router_core.formats.answer import Answer
from router_core.formats.translate import TranslatedRequest, request

C, G = Format.OPENAI_CHAT, Format.GEMINI
VECTORS = [[0.5, -0.25], [1, 0.125]]
OPENAI = {
    "object": "list",
    # Out of order, which the index sets right.
    "data": [{"object": "embedding", "index": n, "embedding": VECTORS[n]} for n in (1, 0)],
    "model": "text-embedding-3-small",
    "usage": {"prompt_tokens": 5, "total_tokens": 5},
}
GOOGLE = {"embeddings": [{"values": vector} for vector in VECTORS], "usageMetadata": {"promptTokenCount": 7}}


def asks(client: Format, upstream: Format, document: dict[str, Any]) -> TranslatedRequest | Refusal:
    return request(
        client, upstream, Operation.EMBEDDINGS, document, model="up", stream=False, client_model="mine"
    )


def translated(client: Format, upstream: Format, document: dict[str, Any]) -> TranslatedRequest:
    found = asks(client, upstream, document)
    assert isinstance(found, TranslatedRequest)
    return found


@pytest.mark.parametrize("packed", [True, False])
def test_google_for_openai(packed: bool) -> None:
    more = {"encoding_format": "base64"} if packed else {}
    asked = translated(C, G, {"input": ["a", "b"], "model": "mine", "user": "u", **more})
    assert asked.document == {
        "requests": [{"model": "models/up", "content": {"parts": [{"text": text}]}} for text in ("a", "b")]
    }
    assert asked.dropped() == ["user"]
    read = Answer(C, G, asked.context).body(GOOGLE)
    assert (read["model"], read["usage"]) == ("mine", {"prompt_tokens": 7, "total_tokens": 7})
    found = [entry["embedding"] for entry in read["data"]]
    if packed:
        found = [list(struct.unpack("<2f", base64.b64decode(text))) for text in found]
    assert found == VECTORS


def test_openai_for_google_one_and_many() -> None:
    content = {"parts": [{"text": "a"}, {"text": "b"}]}
    one = {"content": content, "taskType": "RETRIEVAL_QUERY", "outputDimensionality": 2}
    asked = translated(G, C, one)
    assert asked.document == {"model": "up", "input": ["ab"], "encoding_format": "float", "dimensions": 2}
    assert asked.dropped() == ["taskType"]
    assert Answer(G, C, asked.context).body(OPENAI) == {"embedding": {"values": VECTORS[0]}}
    asked = translated(G, C, {"requests": [one, {"content": content, "output_dimensionality": 2}]})
    assert asked.document["input"] == ["ab", "ab"]
    assert Answer(G, C, asked.context).body(OPENAI) == {"embeddings": [{"values": v} for v in VECTORS]}


@pytest.mark.parametrize(
    ("client", "document", "code", "words"),
    [
        (C, {"input": [[1, 2]]}, Code.UNSUPPORTED, "tokens"),
        (C, {"input": [1, 2]}, Code.UNSUPPORTED, "tokens"),
        (C, {}, Code.INVALID_REQUEST, "input: expected an array"),
        (C, {"input": [None]}, Code.INVALID_REQUEST, "input[0]: expected a string"),
        (G, {"content": {"parts": [{"inlineData": {}}]}}, Code.UNSUPPORTED, "anything but text"),
        (G, {"requests": [{}]}, Code.INVALID_REQUEST, "requests[0].content: expected an object"),
    ],
)
def test_what_cannot_be_asked(client: Format, document: dict[str, Any], code: Code, words: str) -> None:
    refusal = asks(client, G if client is C else C, document)
    assert isinstance(refusal, Refusal)
    assert (refusal.code, words in refusal.message) == (code, True), refusal.message


@pytest.mark.parametrize("body", [{}, [], None, {"data": [{}]}, {"embeddings": [{"values": [None]}]}])
def test_an_answer_without_vectors_is_an_error(body: Any) -> None:
    asked = translated(C, G, {"input": "a", "encoding_format": "base64"})
    assert "error" in Answer(C, G, asked.context).body(body)


@pytest.mark.parametrize("upstream", [Format.ANTHROPIC, Format.OPENAI_RESPONSES])
def test_formats_without_embeddings(upstream: Format) -> None:
    refusal = asks(C, upstream, {"input": "a"})
    assert isinstance(refusal, Refusal)
    assert refusal.code is Code.UNSUPPORTED
