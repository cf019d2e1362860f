"""Embeddings between OpenAI's and Google's API.

Sources: OpenAI "Create embeddings"; Gemini ``models.embedContent`` and ``models.batchEmbedContents``, of which
the second serves every client, because it takes one text as well as many.
"""

from __future__ import annotations

import base64
import sys
from array import array as numbers
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from router_core.formats import Format, counting
from router_core.formats.gemini.fields import get
from router_core.formats.ir import Unsupported
from router_core.formats.shape import array, each, mapping, optional_int, string

FORMATS: Final = frozenset({Format.OPENAI_CHAT, Format.GEMINI})
"""The formats that have the operation."""


@dataclass(slots=True)
class Wanted:
    """What a client wants embedded, and how it reads the answer."""

    texts: list[str]
    dimensions: int | None = None
    user: str | None = None
    packed: bool = False
    """As base64 of little-endian floats, which OpenAI's libraries ask for by themselves."""
    single: bool = False
    """One text was asked for, not a list of one (Gemini)."""
    unread: list[str] = field(default_factory=list)


def read(client: Format, document: dict[str, Any]) -> Wanted:
    """Raises Malformed, and Unsupported for what is no text."""
    return _openai(document) if client is Format.OPENAI_CHAT else _gemini(document)


def write(upstream: Format, wanted: Wanted, model: str) -> dict[str, Any]:
    """The upstream's request; `unread` names what it cannot be told."""
    if upstream is Format.OPENAI_CHAT:
        document: dict[str, Any] = {"model": model, "input": wanted.texts, "encoding_format": "float"}
        if wanted.dimensions is not None:
            document["dimensions"] = wanted.dimensions
        return document
    if wanted.user:
        wanted.unread.append("user")
    more = {} if wanted.dimensions is None else {"outputDimensionality": wanted.dimensions}
    requests = [
        {"model": f"models/{model.removeprefix('models/')}", "content": {"parts": [{"text": text}]}, **more}
        for text in wanted.texts
    ]
    return {"requests": requests}


def answer(client: Format, wanted: Wanted, model: str, body: Any) -> dict[str, Any]:
    """The upstream's answer in the client's format. Raises ValueError for a body that holds no vectors."""
    vectors = _vectors(body)
    if client is Format.GEMINI:
        embeddings = [{"values": vector} for vector in vectors]
        return {"embedding": embeddings[0]} if wanted.single else {"embeddings": embeddings}
    data = [
        {"object": "embedding", "index": index, "embedding": _packed(vector) if wanted.packed else vector}
        for index, vector in enumerate(vectors)
    ]
    # Google does not say what it counted.
    tokens = _counted(body) or counting.estimate(wanted.texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": model, "usage": usage}


def _openai(document: dict[str, Any]) -> Wanted:
    given = document.get("input")
    texts = [given] if isinstance(given, str) else array(given, "input")
    if any(isinstance(text, int | list) for text in texts):
        raise Unsupported("input as tokens, which are of another model's vocabulary")
    for number, text in enumerate(texts):
        string(text, f"input[{number}]")
    return Wanted(
        list(texts),
        optional_int(document.get("dimensions"), "dimensions"),
        document.get("user"),
        packed=document.get("encoding_format") == "base64",
    )


def _gemini(document: dict[str, Any]) -> Wanted:
    batch = document.get("requests")
    if batch is None:
        wanted = Wanted([], single=True)
        _gemini_request(wanted, document)
        return wanted
    wanted = Wanted([])
    each(batch, "requests", partial(_gemini_request, wanted))
    return wanted


def _gemini_request(wanted: Wanted, request: dict[str, Any]) -> None:
    content = mapping(request.get("content"), "content")
    parts = each(content.get("parts"), "content.parts", mapping)
    if any("text" not in part for part in parts):
        raise Unsupported("embeddings of anything but text")
    wanted.texts.append("".join(string(part["text"], "content.parts") for part in parts))
    config = get(request, "embedContentConfig")
    fields = {**request, **config} if isinstance(config, dict) else request
    dimensions = optional_int(get(fields, "outputDimensionality"), "outputDimensionality")
    if wanted.dimensions not in (None, dimensions):
        raise Unsupported("texts with dimensions of their own in one request")
    wanted.dimensions = dimensions
    for name in ("taskType", "title"):
        if get(fields, name) and name not in wanted.unread:
            wanted.unread.append(name)


def _vectors(body: Any) -> list[list[float]]:
    fields = body if isinstance(body, dict) else {}
    try:
        if "data" in fields:
            return [entry["embedding"] for entry in sorted(fields["data"], key=lambda entry: entry["index"])]
        found = fields["embeddings"] if "embeddings" in fields else [fields["embedding"]]
        return [entry["values"] for entry in found]
    except (KeyError, TypeError) as error:
        raise ValueError("the upstream's answer holds no embeddings") from error


def _counted(body: Any) -> int | None:
    usage = get(body, "usageMetadata")
    count = get(usage, "promptTokenCount") if isinstance(usage, dict) else None
    return count if isinstance(count, int) else None


def _packed(vector: list[float]) -> str:
    packed = numbers("f", vector)
    if sys.byteorder == "big":
        packed.byteswap()
    return base64.b64encode(packed.tobytes()).decode()
