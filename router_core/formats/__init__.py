"""Wire formats and the operations that each of them offers.

A *format* is the shape of a request and of its answer; an *operation* is what a path asks for.
``PATHS`` is the one table from (format, operation) to the path below a base URL; it follows the join
rule of the configuration: OpenAI-style base URLs include ``/v1``, Anthropic's and Google's do not.
Sources: the providers' API references.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Format(StrEnum):
    ANTHROPIC = "anthropic"
    OPENAI_CHAT = "openai-chat"
    OPENAI_RESPONSES = "openai-responses"
    GEMINI = "gemini"
    OLLAMA = "ollama"
    """Only as a client's format (``/api/chat``); as an upstream Ollama speaks OpenAI Chat."""


class Operation(StrEnum):
    GENERATE = "generate"
    COUNT_TOKENS = "count_tokens"
    LIST_MODELS = "list_models"
    EMBEDDINGS = "embeddings"
    COMPACT = "compact"
    PASSTHROUGH = "passthrough"
    """A path that is forwarded and not interpreted; no format lists it."""


type Route = tuple[str, str]
"""(method, path below the base URL); ``{model}`` stands for one path segment up to the colon."""

PATHS: Final[dict[Format, dict[Operation, tuple[Route, ...]]]] = {
    Format.ANTHROPIC: {
        Operation.GENERATE: (("POST", "/v1/messages"),),
        Operation.COUNT_TOKENS: (("POST", "/v1/messages/count_tokens"),),
        Operation.LIST_MODELS: (("GET", "/v1/models"),),
    },
    Format.OPENAI_CHAT: {
        Operation.GENERATE: (("POST", "/chat/completions"),),
        Operation.EMBEDDINGS: (("POST", "/embeddings"),),
        Operation.LIST_MODELS: (("GET", "/models"),),
    },
    Format.OPENAI_RESPONSES: {
        # GET is the WebSocket handshake of the same surface.
        Operation.GENERATE: (("POST", "/responses"), ("GET", "/responses")),
        Operation.COUNT_TOKENS: (("POST", "/responses/input_tokens"),),
        Operation.COMPACT: (("POST", "/responses/compact"),),
        Operation.LIST_MODELS: (("GET", "/models"),),
    },
    Format.GEMINI: {
        Operation.GENERATE: (
            ("POST", "/v1beta/models/{model}:generateContent"),
            ("POST", "/v1beta/models/{model}:streamGenerateContent"),
        ),
        Operation.COUNT_TOKENS: (("POST", "/v1beta/models/{model}:countTokens"),),
        Operation.EMBEDDINGS: (
            ("POST", "/v1beta/models/{model}:embedContent"),
            ("POST", "/v1beta/models/{model}:batchEmbedContents"),
        ),
        Operation.LIST_MODELS: (("GET", "/v1beta/models"),),
    },
    Format.OLLAMA: {
        Operation.GENERATE: (("POST", "/api/chat"),),
        Operation.LIST_MODELS: (("GET", "/api/tags"),),
    },
}
