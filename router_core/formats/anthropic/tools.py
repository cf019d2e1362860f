"""Tools of Anthropic's requests, and which of them must be called (docs.anthropic.com, "Tool use")."""

from __future__ import annotations

from typing import Any

from router_core.formats import custom_tools, ir
from router_core.formats.anthropic.cache_marks import marked
from router_core.formats.anthropic.models import takes_forced_tools
from router_core.formats.anthropic.server_tools import write_server_tool
from router_core.formats.context import Target
from router_core.formats.conversation import ONLY_ALLOWED, refuse_forced
from router_core.formats.effort import claude_version
from router_core.formats.names import ToolNames
from router_core.formats.schema import object_root


def write_tools(document: dict[str, Any], request: ir.Request, names: ToolNames, target: Target) -> None:
    choice = request.tool_choice
    allowed = set(choice.names or ()) if choice else set()
    tools: list[dict[str, Any]] = []
    if choice is not None and choice.narrows:
        target.note(ONLY_ALLOWED)
    for tool in request.tools:
        if not allowed or tool.name in allowed:
            tools.append(_tool(tool, names))
            target.drop("tools[].strict", tool.strict)
    claude = claude_version(target.model) is not None
    for use in request.server_tools:
        # Other hosts of the format have no tools of Anthropic's.
        entry = write_server_tool(use) if claude else None
        if entry is None or any(tool["name"] == entry["name"] for tool in tools):
            # Names are given once; the client's own tools go first.
            target.drop(f"tools[{use.name}]")
        else:
            tools.append(entry)
            options = ("allowed_domains", "blocked_domains", "user_location")
            target.drop_options(use, *options, "filters")
    if not tools:
        refuse_forced(request)
        _stub_tools(document)
        return
    target.require("tools", "tools")
    document["tools"] = tools
    written: dict[str, Any] = {}
    if choice is not None:
        if choice.mode == "required" and len(allowed) == 1:
            written = {"type": "tool", "name": tools[0]["name"]}
        else:
            written = {"type": {"auto": "auto", "none": "none", "required": "any"}[choice.mode]}
    if request.parallel is False and written.get("type") != "none":
        written = {"type": "auto", **written, "disable_parallel_tool_use": True}
    if written and written != {"type": "auto"}:
        document["tool_choice"] = written


def ask_for_a_tool(document: dict[str, Any], system: list[dict[str, Any]], target: Target) -> None:
    """Says in words that a tool must be called, to a model that cannot be forced."""
    choice = document.get("tool_choice", {})
    if choice.get("type") not in ("any", "tool") or takes_forced_tools(target.model):
        return
    what = f"the tool {choice['name']}" if "name" in choice else "one of your tools"
    system.append({"type": "text", "text": f"Answer with a call of {what}, whatever else you say."})
    target.note("tool choice: asked for in words")
    del document["tool_choice"]
    if choice.get("disable_parallel_tool_use"):
        document["tool_choice"] = {"type": "auto", "disable_parallel_tool_use": True}


def _stub_tools(document: dict[str, Any]) -> None:
    """Anthropic wants the tools of earlier calls defined, also where none is offered any more."""
    contents = [message["content"] for message in document["messages"]]
    blocks = [block for content in contents if type(content) is list for block in content]
    called = dict.fromkeys(block["name"] for block in blocks if block["type"] == "tool_use")
    if called:
        document["tools"] = [{"name": name, "input_schema": {"type": "object"}} for name in called]
        document["tool_choice"] = {"type": "none"}


def _tool(tool: ir.Tool, names: ToolNames) -> dict[str, Any]:
    custom = tool.kind == "custom"
    entry: dict[str, Any] = {"name": names.wire(tool.name, tool.namespace, custom=custom)}
    text = custom_tools.description(tool)
    if text:
        entry["description"] = text
    entry["input_schema"] = custom_tools.as_schema(tool) if custom else object_root(tool.schema)
    return marked(entry, tool.cache)
