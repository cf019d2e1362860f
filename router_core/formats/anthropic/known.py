"""What is read of Anthropic Messages requests; everything else is listed as dropped."""

from __future__ import annotations

from typing import Any, Final

from router_core.formats.anthropic.client_tools import client_tool
from router_core.formats.unread import ByType, find, names, others

_READ: Final = frozenset(
    {"model", "messages", "system", "max_tokens", "metadata", "stop_sequences", "stream", "temperature"}
    | {"top_k", "top_p", "tools", "tool_choice", "thinking", "output_config", "output_format"}
    | {"service_tier", "speed"}
    # About the transport: their loss changes no answer.
    | {"betas", "anthropic_version"}
)
_TEXT: Final = names("type", "text", "cache_control", least=2)
_WORDS: Final = ByType({"text": names("type", "text")}, complete=True)
"""Texts within a search result, of which nothing but the words is read."""
_PAGES: Final = ByType({"text": names("type", "text"), "image": names("type", "source")}, complete=True)
"""What stands in a document of several blocks."""
_DOCUMENT: Final = names(
    "type",
    "title",
    "context",
    "cache_control",
    source=names("type", "data", "media_type", "url", "file_id", content=_PAGES),
)
_GIVEN: Final = {
    "text": _TEXT,
    "image": names("type", "source", "cache_control"),
    "document": _DOCUMENT,
    "search_result": names("type", "title", "source", "cache_control", content=_WORDS),
    "tool_reference": names("type", "tool_name"),
}
_BLOCKS: Final = {
    **_GIVEN,
    "tool_use": names("type", "id", "name", "input", "cache_control", least=4),
    "tool_result": names(
        "type",
        "tool_use_id",
        "is_error",
        "cache_control",
        least=2,
        content=ByType(_GIVEN, complete=True),
    ),
    "thinking": names("type", "thinking", "signature", least=3),
    "redacted_thinking": names("type", "data"),
    "compaction": names("type", "content"),
}
_USER: Final = ByType(_BLOCKS, complete=True)
_MODEL: Final = ByType(_BLOCKS)
"""Other blocks of the model's are its server tools', which have notes of their own."""
_TOOL: Final = names("type", "name", "description", "input_schema", "strict", "cache_control")
_TYPED_TOOL: Final = names("type", "name", "cache_control", "display_width_px", "display_height_px")
_REST: Final = names(
    "system",
    output_config=names("effort", "format"),
    thinking=names("type", "budget_tokens", "display"),
    metadata=names("user_id"),
)


def unread(document: dict[str, Any]) -> list[str]:
    """Fields that are not read, by their places. The document is one that `read_request` has read."""
    found = others(document, _READ)
    for message in document["messages"]:
        blocks = _MODEL if message["role"] == "assistant" else _USER
        find(message.get("content"), blocks, "messages[].content", found)
    for tool in document.get("tools") or ():
        type_ = tool.get("type")
        if type_ in (None, "custom", "function"):
            find([tool], _TOOL, "tools", found)
        elif client_tool(type_):
            find(tool, _TYPED_TOOL, f"tools[{type_}]", found)
    find(document.get("system"), names("type", "text", "cache_control"), "system", found)
    for name, table in _REST.within.items():
        find(document.get(name), table, name, found)
    return found
