"""Anthropic Messages requests, read (docs.anthropic.com, "Create a Message")."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from router_core.formats import carrier, ir
from router_core.formats.anthropic.client_tools import client_tool, display
from router_core.formats.anthropic.media import read_media
from router_core.formats.anthropic.server_tools import read_server_block
from router_core.formats.ir import Format
from router_core.formats.shape import (
    array,
    each,
    only_text,
    optional_float,
    optional_int,
    optional_mapping,
    optional_string,
    read_arguments,
    string,
)

BILLING_HEADER: Final = "x-anthropic-billing-header"
"""Opens a system text that Claude Code writes for Anthropic's billing alone."""


def read_request(document: dict[str, Any]) -> ir.Request:
    request = ir.Request(turns=[])
    messages = array(document.get("messages"), "messages")
    request.turns = each(messages, "messages", _turn)
    request.model = document.get("model")
    request.system = _system(document.get("system"))
    _tools(request, document)
    request.max_tokens = optional_int(document.get("max_tokens"), "max_tokens")
    request.temperature = optional_float(document.get("temperature"), "temperature")
    request.top_p = optional_float(document.get("top_p"), "top_p")
    request.top_k = optional_float(document.get("top_k"), "top_k")
    request.stop = list(array(document.get("stop_sequences") or [], "stop_sequences"))
    request.stream = bool(document.get("stream"))
    request.reasoning = _reasoning(document)
    request.response_format = _response_format(document)
    metadata = document.get("metadata")
    if isinstance(metadata, dict) and isinstance(metadata.get("user_id"), str):
        request.user = metadata["user_id"]
    if document.get("speed") == "fast":
        request.service_tier = "priority"
    elif document.get("service_tier") == "standard_only":
        request.service_tier = "default"
    return request


def _system(value: Any) -> list[ir.Text]:
    if not value:
        return []
    if isinstance(value, str):
        return [ir.Text(value)]
    return each(value, "system", _system_text)


def _system_text(block: dict[str, Any]) -> ir.Text | None:
    text = string(block.get("text"), "text")
    return None if text.startswith(BILLING_HEADER) else ir.Text(text, _cache(block))


def _turn(message: dict[str, Any]) -> ir.Turn:
    role = message.get("role")
    if role not in ("user", "assistant", "system"):
        raise ir.Malformed("expected user, assistant or system", "role")
    content = message.get("content")
    text = content if type(content) is str else only_text(content, "text")
    if text is not None:
        return ir.Turn(role, text)
    parts = _blocks(array(content, "content"))
    if role == "assistant" and any(type(part) is ir.Text and part.citations for part in parts):
        parts = _rejoined(parts)
    return ir.Turn(role, parts)


def _rejoined(parts: list[ir.Part]) -> list[ir.Part]:
    """`parts` with texts in one piece again that were cut where a source is cited, in the middle of sentences."""
    whole: list[ir.Part] = []
    for part in parts:
        last = whole[-1] if whole else None
        if type(part) is ir.Text and type(last) is ir.Text and (part.citations or last.citations):
            whole[-1] = ir.Text(last.text + part.text, part.cache, part.citations)
        else:
            whole.append(part)
    return whole


def _blocks(content: Any) -> list[ir.Part]:
    parts: list[Any] = each(content, "content", _block)
    if list in map(type, parts):
        parts = [part for given in parts for part in (given if type(given) is list else (given,))]
    return parts


def _block(block: dict[str, Any]) -> ir.Part | list[ir.Part] | None:
    """One content block of a request, None for one that says nothing, several parts for a document of several."""
    return _BLOCKS.get(block.get("type"), read_server_block)(block)  # type: ignore[arg-type]


def _text(block: dict[str, Any]) -> ir.Text:
    text = block.get("text")
    if not isinstance(text, str):
        raise ir.Malformed("expected a string", "text")
    if len(block) == 2:
        return ir.Text(text)
    return ir.Text(text, _cache(block), each(block.get("citations"), "citations", _citation) or None)


def _citation(cited: dict[str, Any]) -> ir.Citation:
    return ir.Citation(cited.get("url"), cited.get("title"), cited.get("cited_text"))


def _media(block: dict[str, Any]) -> ir.Part | list[ir.Part]:
    return read_media(block, _cache(block))


def _tool_use(block: dict[str, Any]) -> ir.ToolCall:
    id, name, given = block.get("id"), block.get("name"), block.get("input")
    call = ir.ToolCall(
        id if type(id) is str else string(id, "id"),
        name if type(name) is str else string(name, "name"),
        given if type(given) is dict else read_arguments(given, "input"),
    )
    if "cache_control" in block:
        call.cache = _cache(block)
    return call


def _tool_result(block: dict[str, Any]) -> ir.ToolResult:
    id, content = block.get("tool_use_id"), block.get("content")
    text = content if type(content) is str else only_text(content, "text")
    result = ir.ToolResult(
        id if type(id) is str else string(id, "tool_use_id"),
        _blocks(content) if text is None else text,
    )
    if block.get("is_error"):
        result.error = True
    if "cache_control" in block:
        result.cache = _cache(block)
    return result


def _thinking(block: dict[str, Any]) -> ir.Thinking:
    return ir.Thinking(block.get("thinking") or "", carrier.read(block.get("signature"), Format.ANTHROPIC))


def _redacted(block: dict[str, Any]) -> ir.Thinking | None:
    signature = carrier.read(block.get("data"), Format.ANTHROPIC)
    return ir.Thinking("", signature, redacted=True) if signature else None


def _search_result(block: dict[str, Any]) -> ir.Text:
    texts = [inner.get("text", "") for inner in block.get("content") or () if isinstance(inner, dict)]
    head = f"{block.get('title', '')} ({block.get('source', '')})"
    return ir.Text("\n".join([head, *texts]), _cache(block))


def _compaction(block: dict[str, Any]) -> ir.Text | None:
    return ir.Text(block["content"]) if isinstance(block.get("content"), str) else None


def _container_upload(block: dict[str, Any]) -> ir.Part | None:
    raise ir.Unsupported("a file id of another provider (container_upload)")


def _tool_reference(block: dict[str, Any]) -> ir.Text:
    return ir.Text(f"tool: {block.get('tool_name')}")


_BLOCKS: Final[dict[str, Callable[[dict[str, Any]], ir.Part | list[ir.Part] | None]]] = {
    "text": _text,
    "image": _media,
    "document": _media,
    "tool_use": _tool_use,
    "tool_result": _tool_result,
    "thinking": _thinking,
    "redacted_thinking": _redacted,
    "search_result": _search_result,
    "compaction": _compaction,
    "container_upload": _container_upload,
    "tool_reference": _tool_reference,
}


def _cache(block: dict[str, Any]) -> str | None:
    control = block.get("cache_control")
    return (control.get("ttl") or "5m") if isinstance(control, dict) else None


def _tools(request: ir.Request, document: dict[str, Any]) -> None:
    each(document.get("tools"), "tools", partial(_tool, request))
    choice = document.get("tool_choice")
    if isinstance(choice, dict):
        request.tool_choice = _tool_choice(choice)
        if choice.get("disable_parallel_tool_use") is not None:
            request.parallel = not choice["disable_parallel_tool_use"]


def _tool(request: ir.Request, tool: dict[str, Any]) -> None:
    type_ = tool.get("type")
    if type_ in (None, "custom", "function"):
        name = string(tool.get("name"), "name")
        text = optional_string(tool.get("description"), "description")
        schema = optional_mapping(tool.get("input_schema"), "input_schema")
        request.tools.append(ir.Tool(name, text, schema, strict=tool.get("strict"), cache=_cache(tool)))
    elif known := client_tool(type_):
        text, schema = known
        name = tool.get("name") or type_
        request.tools.append(ir.Tool(name, text + display(tool), schema, cache=_cache(tool)))
    else:
        kind = next((k for k in ("web_search", "code_execution") if type_.startswith(k)), "other")
        options = {k: v for k, v in tool.items() if k not in ("type", "name")}
        request.server_tools.append(ir.ServerToolUse(kind, type_, options))  # type: ignore[arg-type]


def _tool_choice(choice: dict[str, Any]) -> ir.ToolChoice | None:
    match choice.get("type"):
        case "auto":
            return ir.ToolChoice("auto")
        case "any":
            return ir.ToolChoice("required")
        case "none":
            return ir.ToolChoice("none")
        case "tool":
            return ir.ToolChoice("required", [string(choice.get("name"), "tool_choice.name")])
    return None


def _reasoning(document: dict[str, Any]) -> ir.Reasoning | None:
    thinking = document.get("thinking")
    config = document.get("output_config")
    effort = config.get("effort") if isinstance(config, dict) else None
    if not isinstance(thinking, dict):
        return ir.Reasoning(effort=effort) if effort else None
    show = thinking.get("display") != "omitted"
    match thinking.get("type"):
        case "disabled":
            return ir.Reasoning(enabled=False, show=False)
        case "enabled":
            budget = optional_int(thinking.get("budget_tokens"), "thinking.budget_tokens")
            return ir.Reasoning(enabled=True, effort=effort, budget=budget, show=show)
    return ir.Reasoning(enabled=True, effort=effort, adaptive=True, show=show)


def _response_format(document: dict[str, Any]) -> ir.ResponseFormat | None:
    config = document.get("output_config")
    format_ = config.get("format") if isinstance(config, dict) else None
    format_ = format_ or document.get("output_format")
    if isinstance(format_, dict) and format_.get("type") == "json_schema":
        return ir.ResponseFormat("schema", format_.get("schema") or {})
    return None
