"""Output items of calls: of functions, of custom tools, and of the tools whose calls have a type of their own."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from router_core.formats.ir import ToolCall
from router_core.formats.openai_responses.client_tools import CLIENT_TOOLS
from router_core.formats.openai_responses.tools import TOOL_SEARCH
from router_core.formats.shape import arguments_object


def open_call(part: ToolCall, typed: Set[str]) -> tuple[str, dict[str, Any]]:
    """(type, fields) of the item of a call that begins; `typed` are tools whose calls have their own type."""
    if part.namespace is None and part.kind == "function":
        if part.name == TOOL_SEARCH:
            return "tool_search_call", {"call_id": part.id, "execution": "client", "arguments": {}}
        if part.name in typed:
            tool = CLIENT_TOOLS[part.name]
            return f"{part.name}_call", {"call_id": part.id, tool.field: dict(tool.empty)}
    fields = {"call_id": part.id, "name": part.name}
    if part.namespace is not None:
        fields["namespace"] = part.namespace
    if part.kind == "custom":
        return "custom_tool_call", {**fields, "input": ""}
    return "function_call", {**fields, "arguments": ""}


def fill_call(item: dict[str, Any], text: str) -> None:
    """Puts the whole arguments into an item that has them as an object."""
    if item["type"] == "tool_search_call":
        item["arguments"] = arguments_object(text)
    else:
        tool = CLIENT_TOOLS[item["type"].removesuffix("_call")]
        item[tool.field] = {**tool.empty, **arguments_object(text)}
