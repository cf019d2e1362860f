"""Which wire format and operation a path of a fake provider asks for."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from detour.fakes import anthropic, gemini, openai_chat, openai_responses
from detour.fakes.call import Call, Wire

WIRES: Final[dict[str, Wire]] = {
    w.name: w for w in (anthropic.WIRE, openai_chat.WIRE, openai_responses.WIRE, gemini.WIRE)
}

# The official SDK asks for v1 from its third major version on, for v1beta before.
_VERSION = r"(?:v1beta|v1alpha|v1)"
_MODEL = r"(?:models|tunedModels)/(?P<model>[^:]+)"
_PATHS: Final = tuple(
    (method, re.compile(pattern), WIRES[wire], operation)
    for method, pattern, wire, operation in (
        ("POST", r"/v1/messages", "anthropic", "generate"),
        ("POST", r"/v1/messages/count_tokens", "anthropic", "count_tokens"),
        ("POST", r"/v1/chat/completions", "openai-chat", "generate"),
        ("POST", r"/v1/embeddings", "openai-chat", "embeddings"),
        ("POST", r"/v1/responses", "openai-responses", "generate"),
        ("POST", r"/v1/responses/input_tokens", "openai-responses", "count_tokens"),
        ("GET", r"/v1/responses", "openai-responses", "generate"),
        ("GET", r"/v1/models", "openai-chat", "list_models"),
        (
            "POST",
            rf"/{_VERSION}/{_MODEL}:(?P<verb>generateContent|streamGenerateContent)",
            "gemini",
            "generate",
        ),
        ("POST", rf"/{_VERSION}/{_MODEL}:countTokens", "gemini", "count_tokens"),
        ("POST", rf"/{_VERSION}/{_MODEL}:(?:embedContent|batchEmbedContents)", "gemini", "embeddings"),
        ("GET", r"/v1beta/models", "gemini", "list_models"),
    )
)
_LENIENT: Final = tuple(
    (method, re.compile(".*" + pattern.pattern.removeprefix("/v1")), wire, operation)
    for method, pattern, wire, operation in _PATHS
)


def read_call(
    method: str,
    target: str,
    headers: Sequence[tuple[str, str]],
    body: bytes,
    text: str,
    lenient: bool = False,
) -> Call | None:
    """The call that a request makes, or None when no format knows the path.

    `target` is path and query; a `lenient` provider stands below any path, and its version is optional.
    """
    url = urlsplit(target)
    names = {name.lower(): value for name, value in headers}
    for wanted, pattern, wire, operation in _LENIENT if lenient else _PATHS:
        match = pattern.fullmatch(url.path)
        if wanted != method or not match:
            continue
        if operation == "list_models" and "anthropic-version" in names:
            wire = anthropic.WIRE
        document = read_json(body)
        fields = document if isinstance(document, dict) else {}
        path = match.groupdict()
        stream = path["verb"].startswith("stream") if "verb" in path else fields.get("stream") is True
        model = unquote(path["model"]) if "model" in path else fields.get("model")
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        return Call(wire, operation, model, document, stream, names, query, text)
    return None


def read_json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
