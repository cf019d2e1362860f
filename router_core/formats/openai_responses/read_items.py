"""Input items of Responses requests, read into turns (platform.openai.com, "Create a model response", input)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from router_core.formats import carrier, compaction, ir
from router_core.formats.conversation import ERROR_PREFIX
from router_core.formats.ir import Format
from router_core.formats.openai_responses.client_tools import CLIENT_TOOLS
from router_core.formats.openai_responses.content import read_content
from router_core.formats.openai_responses.known import MODEL_ITEMS
from router_core.formats.openai_responses.tools import TOOL_SEARCH, read_tools
from router_core.formats.shape import only_text, optional_string, read_arguments, string
from router_core.json_document import serialise

_CALLS: Final = {f"{name}_call": name for name in CLIENT_TOOLS}
"""Calls of OpenAI's typed tools that the client ran, and the name that they get as functions."""
_SERVER_TOOLS: Final = {"web_search_call": "web_search", "code_interpreter_call": "code_execution"}


def read_item(request: ir.Request, item: dict[str, Any]) -> None:
    type_ = item.get("type")
    if (type_ == "message" or type_ is None) and "role" in item:
        _message(request, item)
    elif type(type_) is not str:
        raise ir.Malformed("expected a string", "type")
    elif type_ in MODEL_ITEMS:
        part = _MODEL_PARTS.get(type_, _server_tool)(item)
        if part is not None:
            _turn(request, "assistant").parts.append(part)
    elif (read := _ITEMS.get(type_)) is not None:
        # Others are OpenAI's own tools' business: other models cannot read it, and their texts tell of it.
        read(request, item)


def _result_item(request: ir.Request, item: dict[str, Any]) -> None:
    _turn(request, "user").parts.append(_result(item))


def _typed_result(request: ir.Request, item: dict[str, Any]) -> None:
    output = item.get("output")
    text = output if isinstance(output, str) else serialise(output or item.get("status") or "").decode()
    _turn(request, "user").parts.append(ir.ToolResult(item.get("call_id") or item.get("id") or "", text))


def _agent_message(request: ir.Request, item: dict[str, Any]) -> None:
    """Codex's agents talk to each other; what is encrypted among them only OpenAI can read."""
    texts = [block["text"] for block in item.get("content") or () if isinstance(block.get("text"), str)]
    request.turns.append(ir.Turn("user", [ir.Text(text) for text in texts]))


def _additional_tools(request: ir.Request, item: dict[str, Any]) -> None:
    read_tools(request, item.get("tools"))


def _found_tools(request: ir.Request, item: dict[str, Any]) -> None:
    read_tools(request, item.get("tools"))
    if item.get("call_id") and item.get("execution") != "server":
        found = ", ".join(tool.name for tool in request.tools if tool.name != TOOL_SEARCH)
        result = ir.ToolResult(item["call_id"], f"Tools that can be called now: {found}")
        _turn(request, "user").parts.append(result)


def _screen(request: ir.Request, item: dict[str, Any]) -> None:
    raise ir.Unsupported("what OpenAI's computer tool shows, which its own models alone read")


def _reference(request: ir.Request, item: dict[str, Any]) -> None:
    raise ir.Unsupported("a reference to an item that is stored at another provider")


def _compact(request: ir.Request, item: dict[str, Any]) -> None:
    request.compacts = True
    request.turns.append(ir.Turn("user", compaction.ASK))


def _compaction(request: ir.Request, item: dict[str, Any]) -> None:
    summary = compaction.unpack(item)
    if summary is None:
        raise ir.Unsupported("a conversation that only OpenAI can read (compaction)")
    request.turns.append(ir.Turn("user", summary))


_ITEMS: Final[dict[str, Callable[[ir.Request, dict[str, Any]], None]]] = {
    "function_call_output": _result_item,
    "custom_tool_call_output": _result_item,
    "local_shell_call_output": _typed_result,
    "shell_call_output": _typed_result,
    "apply_patch_call_output": _typed_result,
    "agent_message": _agent_message,
    "additional_tools": _additional_tools,
    "tool_search_output": _found_tools,
    "computer_call_output": _screen,
    "item_reference": _reference,
    compaction.TRIGGER: _compact,
    **dict.fromkeys(compaction.ITEMS, _compaction),
}
"""Readers of the items that are neither messages nor the model's."""


def _turn(request: ir.Request, role: ir.Role) -> ir.Turn:
    """The turn under way if it is of `role`, else a new one."""
    if not request.turns or request.turns[-1].role != role:
        request.turns.append(ir.Turn(role, []))
    return request.turns[-1]


def _message(request: ir.Request, item: dict[str, Any]) -> None:
    content, role = item.get("content"), item["role"]
    if role == "user":
        text = content if type(content) is str else only_text(content, "input_text")
        request.turns.append(ir.Turn("user", read_content(content) if text is None else text))
    elif role == "assistant":
        if request.turns and request.turns[-1].role == "assistant":
            request.turns[-1].parts.extend(read_content(content))
            return
        text = content if type(content) is str else only_text(content, "output_text")
        request.turns.append(ir.Turn("assistant", read_content(content) if text is None else text))
    elif role == "system" or role == "developer":
        parts = read_content(content)
        if request.turns:
            request.turns.append(ir.Turn("system", parts))
        else:
            request.system += [part for part in parts if type(part) is ir.Text]
    else:
        raise ir.Malformed(f"{role!r} is no role", "role")


def _function_call(item: dict[str, Any]) -> ir.ToolCall:
    name, id, given = item.get("name"), item.get("call_id"), item.get("arguments")
    call = ir.ToolCall(
        id if type(id) is str else string(id, "call_id"),
        name if type(name) is str else string(name, "name"),
        given if type(given) is str else read_arguments(given, "arguments"),
    )
    call.namespace = item.get("namespace")
    return call


def _custom_call(item: dict[str, Any]) -> ir.ToolCall:
    name = string(item.get("name"), "name")
    id = string(item.get("call_id"), "call_id")
    text = item.get("input")
    return ir.ToolCall(id, name, text if isinstance(text, str) else "", "custom", item.get("namespace"))


def _search_call(item: dict[str, Any]) -> ir.ToolCall | None:
    if item.get("execution") == "server" or not item.get("call_id"):
        return None
    return ir.ToolCall(item["call_id"], TOOL_SEARCH, item.get("arguments") or {})


def _typed_call(item: dict[str, Any]) -> ir.ToolCall:
    arguments = item.get("action") or item.get("operation") or {}
    return ir.ToolCall(item.get("call_id") or item.get("id") or "", _CALLS[item["type"]], arguments)


def _server_tool(item: dict[str, Any]) -> ir.ServerTool:
    kind = _SERVER_TOOLS.get(item["type"], "other")
    return ir.ServerTool(kind, item.get("id") or "", native=(Format.OPENAI_RESPONSES, item))  # type: ignore[arg-type]


def _thinking(item: dict[str, Any]) -> ir.Thinking | None:
    text = reasoning_text(item)
    encrypted = item.get("encrypted_content")
    signature = carrier.read(encrypted if isinstance(encrypted, str) else None, Format.OPENAI_RESPONSES)
    if signature is not None and signature.origin is Format.OPENAI_RESPONSES:
        signature.id = signature.id or item.get("id")
    if signature is None and not text:
        return None
    return ir.Thinking(text, signature, redacted=not text)


_MODEL_PARTS: Final[dict[str, Callable[[dict[str, Any]], ir.Part | None]]] = {
    "reasoning": _thinking,
    "function_call": _function_call,
    "custom_tool_call": _custom_call,
    "tool_search_call": _search_call,
    **dict.fromkeys(_CALLS, _typed_call),
}
"""Readers of the model's items; all others are its provider's tools."""


def reasoning_text(item: dict[str, Any]) -> str:
    """What a reasoning item shows: its summary, or the reasoning itself where the model is open."""
    for name in ("summary", "content"):
        texts = [block.get("text") or "" for block in item.get(name) or () if isinstance(block, dict)]
        if any(texts):
            return "\n\n".join(texts) if name == "summary" else "".join(texts)
    return ""


def _result(item: dict[str, Any]) -> ir.ToolResult:
    output = item.get("output")
    content: str | list[ir.Part]
    error = False
    if isinstance(output, list):
        content = read_content(output, "output")
    else:
        content = output if isinstance(output, str) else ""
        if content.startswith(ERROR_PREFIX):
            content, error = content[len(ERROR_PREFIX) :], True
    kind = "custom" if item["type"] == "custom_tool_call_output" else "function"
    id = optional_string(item.get("call_id"), "call_id") or ""
    return ir.ToolResult(id, content, item.get("name"), error, kind)  # type: ignore[arg-type]
