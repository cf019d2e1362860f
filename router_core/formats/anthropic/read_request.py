"""Anthropic Messages requests, read (docs.anthropic.com, "Create a Message")."""

from __future__ import annotations

from typing import Any, Final

from router_core.formats import carrier, ir
from router_core.formats.anthropic.client_tools import client_tool
from router_core.formats.anthropic.media import read_media
from router_core.formats.anthropic.server_tools import read_server_block
from router_core.formats.ir import Format
from router_core.formats.shape import array, mapping, optional_float, optional_int, string

_READ: Final = frozenset(
    {"model", "messages", "system", "max_tokens", "metadata", "stop_sequences", "stream", "temperature"}
    | {"top_k", "top_p", "tools", "tool_choice", "thinking", "output_config", "output_format"}
    | {"service_tier", "speed"}
)
_SILENT: Final = frozenset({"betas", "anthropic_version", "cache_control"})
"""Fields about the transport or the cache, whose loss changes no answer."""
BILLING_HEADER: Final = "x-anthropic-billing-header"
"""Opens a system text that Claude Code writes for Anthropic's billing alone."""


def read_request(document: dict[str, Any]) -> ir.Request:
    request = ir.Request(turns=[])
    request.model = document.get("model")
    request.system = _system(document.get("system"))
    messages = array(document.get("messages"), "messages")
    request.turns = [_turn(message, f"messages[{i}]") for i, message in enumerate(messages)]
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
    request.unread = [
        key
        for key, value in document.items()
        if key not in _READ and key not in _SILENT and value is not None
    ]
    return request


def _system(value: Any) -> list[ir.Text]:
    if not value:
        return []
    if isinstance(value, str):
        return [ir.Text(value)]
    texts = []
    for number, block in enumerate(array(value, "system")):
        text = string(mapping(block, f"system[{number}]").get("text"), f"system[{number}].text")
        if not text.startswith(BILLING_HEADER):
            texts.append(ir.Text(text, _cache(block)))
    return texts


def _turn(message: Any, place: str) -> ir.Turn:
    role = mapping(message, place).get("role")
    if role not in ("user", "assistant", "system"):
        raise ir.Malformed(f"{place}.role: expected user, assistant or system")
    content = message.get("content")
    if isinstance(content, str):
        return ir.Turn(role, [ir.Text(content)])
    parts: list[ir.Part] = []
    for number, block in enumerate(array(content, f"{place}.content")):
        part = read_block(block, f"{place}.content[{number}]")
        if part is not None:
            parts.append(part)
    return ir.Turn(role, parts)


def read_block(block: Any, place: str) -> ir.Part | None:
    """One content block of a request, None for one that says nothing."""
    type_ = mapping(block, place).get("type")
    match type_:
        case "text":
            return ir.Text(string(block.get("text"), f"{place}.text"), _cache(block))
        case "image" | "document":
            return read_media(block, place, _cache(block))
        case "tool_use":
            name = string(block.get("name"), f"{place}.name")
            id = string(block.get("id"), f"{place}.id")
            return ir.ToolCall(id, name, block.get("input") or {}, cache=_cache(block))
        case "tool_result":
            return _tool_result(block, place)
        case "thinking":
            return ir.Thinking(
                block.get("thinking") or "", carrier.read(block.get("signature"), Format.ANTHROPIC)
            )
        case "redacted_thinking":
            signature = carrier.read(block.get("data"), Format.ANTHROPIC)
            return ir.Thinking("", signature, redacted=True) if signature else None
        case "search_result":
            return ir.Text(_search_result(block), _cache(block))
        case "compaction":
            return ir.Text(block["content"]) if isinstance(block.get("content"), str) else None
        case "tool_reference":
            return ir.Text(f"tool: {block.get('tool_name')}")
    return read_server_block(block)


def _tool_result(block: dict[str, Any], place: str) -> ir.ToolResult:
    id = string(block.get("tool_use_id"), f"{place}.tool_use_id")
    content = block.get("content")
    error = bool(block.get("is_error"))
    if content is None or isinstance(content, str):
        return ir.ToolResult(id, content or "", error=error, cache=_cache(block))
    parts = [
        part
        for number, inner in enumerate(array(content, f"{place}.content"))
        if (part := read_block(inner, f"{place}.content[{number}]")) is not None
    ]
    return ir.ToolResult(id, parts, error=error, cache=_cache(block))


def _search_result(block: dict[str, Any]) -> str:
    texts = [inner.get("text", "") for inner in block.get("content") or () if isinstance(inner, dict)]
    return "\n".join([f"{block.get('title', '')} ({block.get('source', '')})", *texts])


def _cache(block: dict[str, Any]) -> str | None:
    control = block.get("cache_control")
    return (control.get("ttl") or "5m") if isinstance(control, dict) else None


def _tools(request: ir.Request, document: dict[str, Any]) -> None:
    for number, tool in enumerate(array(document.get("tools") or [], "tools")):
        place = f"tools[{number}]"
        type_ = mapping(tool, place).get("type")
        if type_ in (None, "custom", "function"):
            request.tools.append(
                ir.Tool(
                    string(tool.get("name"), f"{place}.name"),
                    tool.get("description"),
                    tool.get("input_schema"),
                    strict=tool.get("strict"),
                    cache=_cache(tool),
                )
            )
        elif known := client_tool(type_):
            request.tools.append(ir.Tool(tool.get("name") or type_, known[0], known[1], cache=_cache(tool)))
        else:
            request.server_tools.append(_server_tool(type_, tool))
    choice = document.get("tool_choice")
    if isinstance(choice, dict):
        request.tool_choice = _tool_choice(choice)
        if choice.get("disable_parallel_tool_use") is not None:
            request.parallel = not choice["disable_parallel_tool_use"]


def _server_tool(type_: str, tool: dict[str, Any]) -> ir.ServerToolUse:
    kind = next((k for k in ("web_search", "code_execution") if type_.startswith(k)), "other")
    options = {k: v for k, v in tool.items() if k not in ("type", "name", "cache_control")}
    return ir.ServerToolUse(kind, type_, options)  # type: ignore[arg-type]


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
