"""Tools of the Responses API: functions, custom tools, namespaces of both, and OpenAI's own."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from router_core.formats.context import Target
from router_core.formats.ir import Request, ServerToolUse, Tool, ToolChoice, Unsupported
from router_core.formats.names import ToolNames
from router_core.formats.openai_responses.client_tools import CLIENT_TOOLS, client_tool
from router_core.formats.schema import is_strict, object_root
from router_core.formats.shape import each, optional_mapping, optional_string, string

_SERVER: Final = {
    "web_search": "web_search",
    "web_search_2025_08_26": "web_search",
    "web_search_preview": "web_search",
    "web_search_preview_2025_03_11": "web_search",
    "code_interpreter": "code_execution",
}
TOOL_SEARCH: Final = "tool_search"
"""A tool that looks for tools; the client runs it where it says ``execution: client``."""
_SEARCH_SCHEMA: Final = {
    "type": "object",
    "properties": {"query": {"type": "string", "description": "What the tool should do"}},
    "required": ["query"],
}


def read_tools(request: Request, tools: Any, namespace: str | None = None) -> None:
    """Adds `tools` to `request`; a tool that is there already is not added again."""
    known = {(tool.namespace, tool.name) for tool in request.tools}
    for tool in each(tools, "tools", partial(_read_tool, request, namespace)):
        if (namespace, tool.name) not in known:
            request.tools.append(tool)


def _read_tool(request: Request, namespace: str | None, tool: dict[str, Any]) -> Tool | None:
    """A tool of the client; what is none is added to `request` at once."""
    type_ = tool.get("type")
    text = optional_string(tool.get("description"), "description")
    match type_:
        case "function":
            name = string(tool.get("name"), "name")
            schema = optional_mapping(tool.get("parameters"), "parameters")
            return Tool(name, text, schema, strict=tool.get("strict"), namespace=namespace)
        case "custom":
            name = string(tool.get("name"), "name")
            return Tool(name, text, kind="custom", namespace=namespace, grammar=tool.get("format"))
        case "namespace":
            read_tools(request, tool.get("tools"), string(tool.get("name"), "name"))
        case "tool_search" if tool.get("execution") == "client":
            return Tool(TOOL_SEARCH, text, tool.get("parameters") or _SEARCH_SCHEMA)
        case "computer_use_preview" | "computer":
            raise Unsupported("OpenAI's computer tool, which its own models alone know")
        case _:
            typed = client_tool(tool)
            if typed is not None:
                return typed
            kind = _SERVER.get(str(type_), "other")
            request.server_tools.append(ServerToolUse(kind, str(type_), dict(tool)))  # type: ignore[arg-type]
    return None


def read_choice(choice: Any) -> ToolChoice | None:
    if isinstance(choice, str):
        return ToolChoice(choice) if choice in ("auto", "none", "required") else None  # type: ignore[arg-type]
    if not isinstance(choice, dict):
        return None
    match choice.get("type"):
        case "function" | "custom":
            return ToolChoice("required", [string(choice.get("name"), "tool_choice.name")])
        case "allowed_tools":
            names = [t.get("name") for t in choice.get("tools") or () if isinstance(t, dict)]
            mode = "required" if choice.get("mode") == "required" else "auto"
            return ToolChoice(mode, [n for n in names if isinstance(n, str)] or None)  # type: ignore[arg-type]
        case type_ if type_ in _SERVER:
            return ToolChoice("required")
        case type_ if type_ in CLIENT_TOOLS:
            return ToolChoice("required", [str(type_)])
    raise Unsupported(f"a forced {choice.get('type')}, which runs at OpenAI")


def write_tools(document: dict[str, Any], request: Request, names: ToolNames, target: Target) -> None:
    tools = [_tool(tool, names, target) for tool in request.tools]
    for use in request.server_tools:
        entry = _server_tool(use, target)
        if entry is None:
            target.drop(f"tools[{use.name}]")
        else:
            tools.append(entry)
    if not tools:
        return
    target.require("tools", "tools")
    document["tools"] = tools
    choice = request.tool_choice
    if choice is not None:
        document["tool_choice"] = _choice(choice, request, names)
    if request.parallel is not None:
        document["parallel_tool_calls"] = request.parallel


def _tool(tool: Tool, names: ToolNames, target: Target) -> dict[str, Any]:
    target.drop("cache_control", tool.cache)
    entry: dict[str, Any] = {"type": tool.kind, "name": names.wire(tool.name, tool.namespace)}
    if tool.description:
        entry["description"] = tool.description
    if tool.kind == "custom":
        if tool.grammar:
            inner = tool.grammar.get("grammar")
            entry["format"] = {"type": "grammar", **inner} if isinstance(inner, dict) else tool.grammar
        return entry
    entry["parameters"] = object_root(tool.schema)
    # Left out, it would be true.
    entry["strict"] = bool(tool.strict) and is_strict(entry["parameters"])
    target.drop("tools[].strict", tool.strict and not entry["strict"])
    return entry


def _server_tool(use: ServerToolUse, target: Target) -> dict[str, Any] | None:
    match use.tool:
        case "web_search":
            entry: dict[str, Any] = {"type": "web_search"}
            target.drop_options(use, "allowed_domains", "search_context_size", "user_location")
            domains = use.options.get("allowed_domains")
            if domains:
                entry["filters"] = {"allowed_domains": domains}
            for name in ("search_context_size", "user_location"):
                if use.options.get(name):
                    entry[name] = use.options[name]
            return entry
        case "code_execution":
            target.drop_options(use)
            return {"type": "code_interpreter", "container": {"type": "auto"}}
    return None


def _choice(choice: ToolChoice, request: Request, names: ToolNames) -> Any:
    if not choice.names:
        return choice.mode
    allowed = [
        {"type": tool.kind, "name": names.wire(tool.name, tool.namespace)}
        for tool in request.tools
        if tool.name in choice.names
    ]
    if len(allowed) == 1 and choice.mode == "required":
        return allowed[0]
    return {"type": "allowed_tools", "mode": choice.mode, "tools": allowed} if allowed else choice.mode
