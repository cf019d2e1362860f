"""Output items of tools that OpenAI runs itself."""

from __future__ import annotations

from typing import Any

from router_core.formats.ir import Citation, Format, Media, Part, ServerTool


def read_server_item(item: dict[str, Any]) -> list[Part]:
    """The parts of an item that is neither a message nor reasoning nor a call for the client."""
    id = str(item.get("id") or "")
    native = (Format.OPENAI_RESPONSES, item)
    match item.get("type"):
        case "web_search_call":
            return _web_search(item, id)
        case "code_interpreter_call":
            return [ServerTool("code_execution", id, {"code": item.get("code") or ""}, native=native)]
        case "image_generation_call" if isinstance(item.get("result"), str) and item["result"]:
            return [Media("image", f"image/{item.get('output_format') or 'png'}", data=item["result"])]
        case None:
            return []
    return [ServerTool("other", id, native=native)]


def _web_search(item: dict[str, Any], id: str) -> list[Part]:
    """A search and what it found, if the request asked for its sources."""
    action = item.get("action") if isinstance(item.get("action"), dict) else {}
    assert isinstance(action, dict)
    queries = action.get("queries")
    query = action.get("query") or (queries[0] if isinstance(queries, list) and queries else None)
    given = {"query": query or action.get("url") or ""}
    sources = [
        Citation(s.get("url"), s.get("title")) for s in action.get("sources") or () if isinstance(s, dict)
    ]
    native = (Format.OPENAI_RESPONSES, item)
    return [
        ServerTool("web_search", id, given, native=native),
        ServerTool("web_search", id, None, sources, native=native),
    ]


def write_server_item(part: ServerTool, id: str) -> dict[str, Any] | None:
    """A web search as an output item; None for what only its own client understands."""
    if part.native and part.native[0] is Format.OPENAI_RESPONSES:
        return part.native[1] if part.input is not None else None
    if part.tool != "web_search" or part.input is None:
        return None
    query = part.input.get("query")
    action = {"type": "search", "query": query if isinstance(query, str) else ""}
    return {"id": id, "type": "web_search_call", "status": "completed", "action": action}
