"""Token counting across formats: asked of the upstream where it counts, estimated where it does not.

Sources: Anthropic "Count tokens in a Message"; OpenAI "Get input token counts"; Gemini ``models.countTokens``.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from router_core.formats import Format

FORMATS: Final = frozenset({Format.ANTHROPIC, Format.OPENAI_RESPONSES, Format.GEMINI})
"""The formats that have the operation."""

BYTES_PER_TOKEN: Final = 3.6
"""Of JSON text in UTF-8, on the safe side for English, code and schemas."""
MEDIA_TOKENS: Final = 1500
"""One image or page; base64 is no text."""
_MEDIA_KEYS: Final = frozenset({"data", "file_data", "url", "image_url"})
_GENERATION_ONLY: Final = (
    "max_tokens",
    "stream",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "metadata",
)
_COUNTED: Final = frozenset(
    {"model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "reasoning", "text"}
)
"""What OpenAI's operation takes of a generation request; anything else is an error to it."""


def request(upstream: Format, document: dict[str, Any], model: str) -> dict[str, Any]:
    """A generation request of `upstream` as its request to count."""
    if upstream is Format.ANTHROPIC:
        return {key: value for key, value in document.items() if key not in _GENERATION_ONLY}
    if upstream is Format.OPENAI_RESPONSES:
        return {key: value for key, value in document.items() if key in _COUNTED}
    inner = {key: value for key, value in document.items() if key != "generationConfig"}
    return {"generateContentRequest": {"model": f"models/{model}", **inner}}


def answer(client: Format, document: Any) -> dict[str, Any]:
    """The upstream's count in the client's format."""
    fields = document if isinstance(document, dict) else {}
    count = fields.get("input_tokens", fields.get("totalTokens"))
    return write(client, count if isinstance(count, int) else 0)


def write(client: Format, tokens: int) -> dict[str, Any]:
    match client:
        case Format.GEMINI:
            return {"totalTokens": tokens}
        case Format.OPENAI_RESPONSES:
            return {"object": "response.input_tokens", "input_tokens": tokens}
    return {"input_tokens": tokens}


def estimate(document: Any) -> int:
    """About how many tokens a request of any format has. No tokenizer is asked, so it is never exact."""
    media: list[int] = []
    text = _size(document, media)
    return int(text / BYTES_PER_TOKEN) + MEDIA_TOKENS * len(media)


def _size(value: Any, media: list[int]) -> int:
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogatepass"))
    if isinstance(value, dict):
        size = 0
        for key, inner in value.items():
            if isinstance(inner, str) and key in _MEDIA_KEYS and (len(inner) > 512 or inner[:5] == "data:"):
                media.append(len(inner))
            else:
                size += len(key) + 4 + _size(inner, media)
        return size
    if isinstance(value, list):
        return sum(2 + _size(inner, media) for inner in value)
    return len(orjson.dumps(value)) if value is not None else 0
