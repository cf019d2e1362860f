"""Blocks of tools that Anthropic runs itself: ``server_tool_use`` and the results."""

from __future__ import annotations

from typing import Any

from router_core.formats import carrier
from router_core.formats.ir import Citation, Format, ServerTool, ServerToolUse, Signature

WEB_SEARCH = "web_search_20250305"
CODE_EXECUTION = "code_execution_20250825"


def read_server_block(block: dict[str, Any]) -> ServerTool:
    """Any block that is neither text nor thinking nor a client's tool; unknown types count as these."""
    type_ = str(block.get("type"))
    native = (Format.ANTHROPIC, block)
    if type_ == "server_tool_use":
        name = str(block.get("name"))
        tool = _tool(name)
        return ServerTool(tool, str(block.get("id") or ""), block.get("input") or {}, native=native)  # type: ignore[arg-type]
    id = str(block.get("tool_use_id") or "")
    sources = None
    content = block.get("content")
    if type_ == "web_search_tool_result" and isinstance(content, list):
        sources = [Citation(item.get("url"), item.get("title")) for item in content if isinstance(item, dict)]
    return ServerTool(_tool(type_), id, None, sources, native)  # type: ignore[arg-type]


def _tool(name: str) -> str:
    if name.startswith("web_search"):
        return "web_search"
    return "code_execution" if "code_execution" in name else "other"


def write_server_block(part: ServerTool) -> dict[str, Any] | None:
    """A web search as Anthropic's clients know it; None for what only its own client understands."""
    if part.native and part.native[0] is Format.ANTHROPIC:
        return part.native[1]
    if part.tool != "web_search":
        return None
    id = part.id if part.id.startswith("srvtoolu_") else f"srvtoolu_{part.id}"
    if part.input is not None:
        return {"type": "server_tool_use", "id": id, "name": "web_search", "input": part.input}
    return {
        "type": "web_search_tool_result",
        "tool_use_id": id,
        "content": [
            {
                "type": "web_search_result",
                "url": source.url,
                "title": source.title or source.url,
                "encrypted_content": FOREIGN,
                "page_age": None,
            }
            for source in part.sources or ()
        ],
    }


FOREIGN = carrier.pack(Signature(Format.OPENAI_RESPONSES, ""))
"""Stands in encrypted fields of search results that Anthropic did not make; removed before they go there."""


def write_server_tool(use: ServerToolUse) -> dict[str, Any] | None:
    """The request's entry for a tool of the provider, None where Anthropic has none."""
    match use.tool:
        case "web_search":
            tool: dict[str, Any] = {"type": WEB_SEARCH, "name": "web_search"}
            filters = use.options.get("filters")
            for name in ("allowed_domains", "blocked_domains"):
                domains = (filters if isinstance(filters, dict) else use.options).get(name)
                if domains:
                    tool[name] = domains
            location = use.options.get("user_location")
            if isinstance(location, dict):
                tool["user_location"] = location
            return tool
        case "code_execution":
            return {"type": CODE_EXECUTION, "name": "code_execution"}
    return None
