"""What is read of Chat Completions requests; everything else is listed as dropped."""

from __future__ import annotations

from typing import Any, Final

from router_core.formats.openai_chat import reasoning
from router_core.formats.unread import ByType, check, find, names, others

SHARED: Final = (
    "store",
    "metadata",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
)
"""Fields that Chat Completions and Responses spell alike."""
_READ: Final = frozenset(
    {"model", "messages", "max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k", "stop"}
    | {
        "seed",
        "random_seed",
        "presence_penalty",
        "frequency_penalty",
        "logprobs",
        "top_logprobs",
        "n",
        "tools",
    }
    | {"tool_choice", "parallel_tool_calls", "functions", "function_call", "response_format", "modalities"}
    | {"reasoning_effort", "reasoning", "thinking", "enable_thinking", "thinking_budget", "user"}
    | {"include_reasoning", "verbosity", "service_tier", "stream", "stream_options", "web_search_options"}
    | {"usage", *SHARED}
)
_MARK: Final = ("cache_control", "prompt_cache_breakpoint")
_CONTENT: Final = ByType(
    {
        "text": names("type", "text", *_MARK, least=2),
        "image_url": names("type", *_MARK, image_url=names("url", "detail")),
        "input_audio": names("type", *_MARK, input_audio=names("data", "format")),
        "file": names("type", *_MARK, file=names("filename", "file_data", "file_id")),
    }
)
_FUNCTION: Final = names("name", "description", "parameters", "strict")
_TOOLS: Final = ByType(
    {
        "function": names("type", "cache_control", function=_FUNCTION),
        "custom": names("type", custom=names("name", "description", "format")),
    }
)
_MESSAGE: Final = names(
    *("role", "tool_call_id", "tool_calls", "function_call", "cache_control", "refusal", "audio", "images"),
    *(*reasoning.FIELDS, reasoning.OPAQUE, reasoning.DETAILS, "extra_content"),
    content=_CONTENT,
)
_RESULT: Final = names("role", "tool_call_id", "name", "cache_control", content=_CONTENT)


def unread(document: dict[str, Any]) -> list[str]:
    """Fields that are not read, by their places. The document is one that `read_request` has read."""
    found = others(document, _READ)
    for message in document["messages"]:
        table = _RESULT if message["role"] in ("tool", "function") else _MESSAGE
        check(message, table, "messages", found)
    find(document.get("tools"), _TOOLS, "tools", found)
    find(document.get("functions"), _FUNCTION, "functions", found)
    return found
