"""Responses requests, read (platform.openai.com, "Create a model response")."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from router_core.formats import carrier, compaction, ir
from router_core.formats.conversation import ERROR_PREFIX
from router_core.formats.ir import Format
from router_core.formats.openai_chat.known import SHARED
from router_core.formats.openai_responses.client_tools import CLIENT_TOOLS
from router_core.formats.openai_responses.content import read_content
from router_core.formats.openai_responses.known import MODEL_ITEMS
from router_core.formats.openai_responses.tools import TOOL_SEARCH, read_choice, read_tools
from router_core.formats.shape import (
    array,
    each,
    optional_float,
    optional_int,
    optional_string,
    read_arguments,
    string,
)
from router_core.json_document import serialise

_STATE: Final = ("previous_response_id", "conversation", "prompt")
"""Fields that stand for content which only the provider has."""
_ECHO: Final = (
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "parallel_tool_calls",
    "prompt_cache_key",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "store",
    "temperature",
    "text",
    "tool_choice",
    "top_p",
    "truncation",
    "user",
)

_CALLS: Final = {f"{name}_call": name for name in CLIENT_TOOLS}
"""Calls of OpenAI's typed tools that the client ran, and the name that they get as functions."""


def read_request(document: dict[str, Any]) -> ir.Request:
    for name in _STATE:
        if document.get(name):
            raise ir.Unsupported(f"{name}, which is stored at another provider")
    if document.get("background"):
        raise ir.Unsupported("background responses")
    request = ir.Request(turns=[])
    request.model = document.get("model")
    instructions = document.get("instructions")
    if isinstance(instructions, str) and instructions:
        request.system.append(ir.Text(instructions))
    items = document.get("input")
    if isinstance(items, str):
        request.turns.append(ir.Turn("user", [ir.Text(items)]))
    else:
        each(array(items, "input"), "input", partial(_item, request))
    read_tools(request, document.get("tools"))
    request.tool_choice = (
        ir.ToolChoice("none") if request.compacts else read_choice(document.get("tool_choice"))
    )
    parallel = document.get("parallel_tool_calls")
    request.parallel = parallel if isinstance(parallel, bool) else None
    request.max_tokens = optional_int(document.get("max_output_tokens"), "max_output_tokens")
    request.temperature = optional_float(document.get("temperature"), "temperature")
    request.top_p = optional_float(document.get("top_p"), "top_p")
    include = document.get("include") or []
    if "message.output_text.logprobs" in include:
        request.logprobs = optional_int(document.get("top_logprobs"), "top_logprobs") or 0
    request.reasoning = _reasoning(document.get("reasoning"))
    text = document.get("text")
    if isinstance(text, dict):
        request.response_format = _response_format(text.get("format"))
        request.verbosity = text.get("verbosity")
    request.user = document.get("user")
    request.service_tier = document.get("service_tier")
    request.openai = {name: document[name] for name in SHARED if document.get(name) is not None}
    request.stream = bool(document.get("stream"))
    request.echo = {name: document[name] for name in _ECHO if document.get(name) is not None}
    return request


def _item(request: ir.Request, item: dict[str, Any]) -> None:
    type_ = item.get("type")
    if (type_ == "message" or type_ is None) and "role" in item:
        _message(request, item)
        return
    if type(type_) is not str:
        raise ir.Malformed("expected a string", "type")
    if type_ in MODEL_ITEMS:
        part = _model_part(item)
        if part is not None:
            _turn(request, "assistant").parts.append(part)
        return
    match type_:
        case "function_call_output" | "custom_tool_call_output":
            _turn(request, "user").parts.append(_result(item))
        case "local_shell_call_output" | "shell_call_output" | "apply_patch_call_output":
            output = item.get("output")
            text = (
                output if isinstance(output, str) else serialise(output or item.get("status") or "").decode()
            )
            id = item.get("call_id") or item.get("id") or ""
            _turn(request, "user").parts.append(ir.ToolResult(id, text))
        case "agent_message":
            # Codex's agents talk to each other; what is encrypted among them only OpenAI can read.
            texts = [
                block["text"] for block in item.get("content") or () if isinstance(block.get("text"), str)
            ]
            request.turns.append(ir.Turn("user", [ir.Text(text) for text in texts]))
        case "additional_tools":
            read_tools(request, item.get("tools"))
        case "tool_search_output":
            read_tools(request, item.get("tools"))
            if item.get("call_id") and item.get("execution") != "server":
                found = ", ".join(tool.name for tool in request.tools if tool.name != TOOL_SEARCH)
                result = ir.ToolResult(item["call_id"], f"Tools that can be called now: {found}")
                _turn(request, "user").parts.append(result)
        case "computer_call_output":
            raise ir.Unsupported("what OpenAI's computer tool shows, which its own models alone read")
        case "item_reference":
            raise ir.Unsupported("a reference to an item that is stored at another provider")
        case compaction.TRIGGER:
            request.compacts = True
            request.turns.append(ir.Turn("user", [ir.Text(compaction.ASK)]))
        case _ if type_ in compaction.ITEMS:
            summary = compaction.unpack(item)
            if summary is None:
                raise ir.Unsupported("a conversation that only OpenAI can read (compaction)")
            request.turns.append(ir.Turn("user", [ir.Text(summary)]))


def _turn(request: ir.Request, role: ir.Role) -> ir.Turn:
    """The turn under way if it is of `role`, else a new one."""
    if not request.turns or request.turns[-1].role != role:
        request.turns.append(ir.Turn(role, []))
    return request.turns[-1]


def _message(request: ir.Request, item: dict[str, Any]) -> None:
    content, role = item.get("content"), item["role"]
    parts: list[ir.Part]
    parts = [ir.Text(content)] if content and type(content) is str else read_content(content)
    match role:
        case "system" | "developer":
            if request.turns:
                request.turns.append(ir.Turn("system", parts))
            else:
                request.system += [part for part in parts if type(part) is ir.Text]
        case "assistant":
            _turn(request, "assistant").parts += parts
        case "user":
            request.turns.append(ir.Turn("user", parts))
        case _:
            raise ir.Malformed(f"{role!r} is no role", "role")


def _model_part(item: dict[str, Any]) -> ir.Part | None:
    type_ = item["type"]
    match type_:
        case "reasoning":
            return _thinking(item)
        case "function_call":
            name = string(item.get("name"), "name")
            id = string(item.get("call_id"), "call_id")
            given = read_arguments(item.get("arguments"), "arguments")
            return ir.ToolCall(id, name, given, namespace=item.get("namespace"))
        case "custom_tool_call":
            name = string(item.get("name"), "name")
            id = string(item.get("call_id"), "call_id")
            text = item.get("input")
            text = text if isinstance(text, str) else ""
            return ir.ToolCall(id, name, text, "custom", item.get("namespace"))
        case "tool_search_call":
            if item.get("execution") == "server" or not item.get("call_id"):
                return None
            return ir.ToolCall(item["call_id"], TOOL_SEARCH, item.get("arguments") or {})
    if type_ in _CALLS:
        arguments = item.get("action") or item.get("operation") or {}
        return ir.ToolCall(item.get("call_id") or item.get("id") or "", _CALLS[type_], arguments)
    kind = {"web_search_call": "web_search", "code_interpreter_call": "code_execution"}.get(type_, "other")
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


def _reasoning(value: Any) -> ir.Reasoning | None:
    if not isinstance(value, dict) or not value:
        return None
    effort = value.get("effort")
    enabled = None if effort is None else effort != "none"
    summary = value.get("summary") or value.get("generate_summary")
    return ir.Reasoning(enabled, effort, show=True if summary else None)


def _response_format(value: Any) -> ir.ResponseFormat | None:
    if not isinstance(value, dict):
        return None
    match value.get("type"):
        case "json_schema":
            return ir.ResponseFormat(
                "schema",
                value.get("schema"),
                value.get("name"),
                value.get("description"),
                value.get("strict"),
            )
        case "json_object":
            return ir.ResponseFormat("json")
    return ir.ResponseFormat("text")
