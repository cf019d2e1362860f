"""What a request asks for: its document, model and stream, or why it cannot be read."""

from __future__ import annotations

import json
from functools import lru_cache

from router_core.encoding import DecodingError, decode
from router_core.errors import Code, Refusal
from router_core.exchange import Exchange, Headers
from router_core.formats import Format, Operation
from router_core.json_document import Json, parse

BODILESS = frozenset({Operation.LIST_MODELS, Operation.PASSTHROUGH})
ANOTHER_TYPE = ("multipart/", "application/x-www-form-urlencoded", "image/", "audio/", "video/")


def read(exchange: Exchange, body_limit: int) -> Refusal | None:
    """Fill in `document`, `model` and `stream` of `exchange` from its request.

    Returns a Refusal in words that the client's author can act on; the exchange is then as it was.
    """
    surface, request = exchange.surface, exchange.request
    exchange.model = surface.path_model
    if exchange.websocket:
        exchange.model = exchange.model or announced_model(request.headers)
    if surface.operation in BODILESS or exchange.websocket:
        exchange.stream = exchange.websocket
        return None
    if content_type := _wrong_type(request.headers):
        return invalid(f"The body is {content_type}, but this path takes application/json.")
    try:
        body = decode(request.body, header(request.headers, "content-encoding"), body_limit)
    except DecodingError as error:
        return invalid(f"The body cannot be decoded: {error}.")
    try:
        document = parse(body)
    except ValueError as error:
        return invalid(f"The body is not valid JSON: {error}.")
    if not isinstance(document, dict):
        return invalid("The body must be a JSON object.")
    if twice := duplicate_key(body, document):
        return invalid(f"The key {twice!r} stands twice in the body; readers differ in which one counts.")
    if surface.path_model is None:
        model = document.get("model")
        if not isinstance(model, str) or not model.strip():
            return invalid("The body needs a `model`, a string that is not empty.")
        if not is_text(model):
            return invalid("The `model` is no text: it holds half of a surrogate pair.")
        exchange.model = model
    exchange.document = document
    exchange.stream = (
        surface.path_stream if surface.path_stream is not None else _streams(surface.format, document)
    )
    return None


def announced_model(headers: Headers) -> str | None:
    """The model of a WebSocket handshake, whose messages name it only later: Codex tells it in a header.

    ``x-codex-turn-metadata`` is a JSON object with ``model`` (codex-rs, since 0.150).
    """
    try:
        metadata = parse(header(headers, "x-codex-turn-metadata").encode())
    except ValueError:
        return None
    model = metadata.get("model") if isinstance(metadata, dict) else None
    return model if isinstance(model, str) and model.strip() and is_text(model) else None


def is_text(value: str) -> bool:
    """Whether `value` can be written: JSON can spell half of a surrogate pair, which no name is and no file takes."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _streams(format: Format, document: dict[str, Json]) -> bool:
    # Ollama streams unless it is told not to (https://github.com/ollama/ollama/blob/main/docs/api.md).
    return document.get("stream", format is Format.OLLAMA) is True


def _wrong_type(headers: Headers) -> str | None:
    """The media type of a body that cannot be JSON. Others, and none, are given the benefit of the doubt."""
    media_type = header(headers, "content-type").partition(";")[0].strip().lower()
    return media_type if media_type.startswith(ANOTHER_TYPE) else None


def duplicate_key(body: bytes, document: dict[str, Json]) -> str | None:
    """A key that stands twice in the outermost object of `body`, whose value is `document`."""
    # The same text within a string is escaped, so almost every body is settled by counting.
    if all(body.count(_written(key)) <= 1 for key in document):
        return None
    pairs: list[tuple[str, Json]] = []

    def outermost(found: list[tuple[str, Json]]) -> None:
        pairs[:] = found  # objects are told from the inside out, so the last one stays

    json.loads(body, object_pairs_hook=outermost)
    names = [name for name, _ in pairs]
    return next((name for name in names if names.count(name) > 1), None)


@lru_cache(1024)
def _written(key: str) -> bytes:
    return json.dumps(key).encode()


def header(headers: Headers, name: str) -> str:
    """The last header of that name (lower case), or an empty text."""
    for key, value in reversed(headers):
        if key.lower() == name:
            return value
    return ""


def invalid(message: str) -> Refusal:
    return Refusal(Code.INVALID_REQUEST, message)


def too_large(limit: int) -> Refusal:
    """For a request body over `limit` bytes."""
    return Refusal(
        Code.REQUEST_TOO_LARGE, f"The request body is over the limit of {limit >> 20} MiB (limits.body)."
    )
