"""Ollama's ``/api/chat``, read (github.com/ollama/ollama, docs/api.md)."""

from __future__ import annotations

from functools import partial
from typing import Any

from router_core.formats import ir
from router_core.formats.shape import array, each, mapping, optional_float, optional_int, string


def read_request(document: dict[str, Any]) -> ir.Request:
    request = ir.Request(turns=[])
    request.model = document.get("model")
    each(array(document.get("messages"), "messages"), "messages", partial(_message, request))
    request.tools = each(document.get("tools"), "tools", _tool)
    options = mapping(document.get("options") or {}, "options")
    for name in ("temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty"):
        setattr(request, name, optional_float(options.get(name), f"options.{name}"))
    limit = optional_int(options.get("num_predict"), "options.num_predict")
    # -1 and -2 mean no limit.
    request.max_tokens = limit if limit and limit > 0 else None
    stop = options.get("stop") or []
    request.stop = [stop] if isinstance(stop, str) else list(array(stop, "options.stop"))
    request.seed = optional_int(options.get("seed"), "options.seed")
    request.response_format = _response_format(document.get("format"))
    request.reasoning = _reasoning(document.get("think"))
    request.stream = document.get("stream") is not False
    return request


def _tool(tool: dict[str, Any]) -> ir.Tool:
    function = mapping(tool.get("function"), "function")
    name = string(function.get("name"), "function.name")
    return ir.Tool(name, function.get("description"), function.get("parameters"))


def _call(call: dict[str, Any]) -> ir.ToolCall:
    function = mapping(call.get("function"), "function")
    name = string(function.get("name"), "function.name")
    return ir.ToolCall(call.get("id") or "", name, function.get("arguments") or {})


def _message(request: ir.Request, message: dict[str, Any]) -> None:
    role = message.get("role")
    text = message.get("content")
    parts: list[ir.Part] = [ir.Text(text)] if isinstance(text, str) and text else []
    for data in message.get("images") or ():
        parts.append(ir.Media("image", data=string(data, "images")))
    match role:
        case "system":
            if request.turns:
                request.turns.append(ir.Turn("system", parts))
            else:
                request.system += [part for part in parts if type(part) is ir.Text]
        case "user":
            request.turns.append(ir.Turn("user", parts))
        case "assistant":
            parts += each(message.get("tool_calls"), "tool_calls", _call)
            if isinstance(message.get("thinking"), str) and message["thinking"]:
                parts.insert(0, ir.Thinking(message["thinking"]))
            request.turns.append(ir.Turn("assistant", parts))
        case "tool":
            tool = message.get("tool_name") or message.get("name")
            id = message.get("tool_call_id") or ""
            content = text if isinstance(text, str) else ""
            request.turns.append(ir.Turn("user", [ir.ToolResult(id, content, tool)]))
        case _:
            raise ir.Malformed(f"{role!r} is no role", "role")


def _response_format(value: Any) -> ir.ResponseFormat | None:
    if isinstance(value, dict):
        return ir.ResponseFormat("schema", value)
    return ir.ResponseFormat("json") if value == "json" else None


def _reasoning(value: Any) -> ir.Reasoning | None:
    if isinstance(value, bool):
        return ir.Reasoning(value, show=value)
    return ir.Reasoning(True, value, show=True) if isinstance(value, str) and value else None
