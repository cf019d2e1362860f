"""Responses requests, read (platform.openai.com, "Create a model response")."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from router_core.formats import ir
from router_core.formats.openai_chat.known import SHARED
from router_core.formats.openai_responses.read_items import read_item
from router_core.formats.openai_responses.tools import read_choice, read_tools
from router_core.formats.shape import (
    array,
    each,
    optional_float,
    optional_int,
)

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
        request.turns.append(ir.Turn("user", items))
    else:
        each(array(items, "input"), "input", partial(read_item, request))
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
