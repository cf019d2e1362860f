"""What is read of Responses requests; everything else is listed as dropped."""

from __future__ import annotations

from typing import Any, Final

from router_core.formats import compaction
from router_core.formats.openai_chat.known import SHARED
from router_core.formats.unread import WHOLE, ByType, find, names, others

_READ: Final = frozenset(
    {"model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "temperature", "top_p"}
    | {"max_output_tokens", "top_logprobs", "reasoning", "text", "stream", "user", "service_tier", *SHARED}
    # About the transport, or without a meaning for the answer.
    | {"include", "stream_options", "truncation", "type", "generate", "client_metadata"}
)
_TEXT: Final = names("type", "text", "prompt_cache_breakpoint", least=2)
_CONTENT: Final = ByType(
    {
        "input_text": _TEXT,
        "output_text": _TEXT,
        "input_image": names("type", "image_url", "file_id", "detail", "prompt_cache_breakpoint"),
        "input_file": names(
            "type", "file_id", "file_data", "file_url", "filename", "prompt_cache_breakpoint"
        ),
    }
)
_OWN: Final = ("type", "id", "status")
"""What an item has for its own bookkeeping."""
_MESSAGE: Final = names("role", *_OWN, content=_CONTENT, least=2)
_TOOLS: Final = {
    "function": names("type", "name", "description", "parameters", "strict"),
    "custom": names("type", "name", "description", "format"),
    "local_shell": names("type"),
    "shell": names("type", environment=names("type")),
    "apply_patch": names("type"),
}
_ALL_TOOLS: Final = ByType(
    {**_TOOLS, "namespace": names("type", "name", "description", tools=ByType(_TOOLS))}
)
MODEL_ITEMS: Final = frozenset(
    {"reasoning", "function_call", "custom_tool_call", "tool_search_call", "local_shell_call", "shell_call"}
    | {"apply_patch_call", "web_search_call", "file_search_call", "code_interpreter_call", "program"}
    | {"image_generation_call", "mcp_call", "mcp_list_tools", "mcp_approval_request", "computer_call"}
)
"""Items of the model's turn, beside its messages. Those of its provider's tools have notes of their own."""
_ITEMS: Final = ByType(
    {
        **dict.fromkeys((*MODEL_ITEMS, "agent_message", compaction.TRIGGER, *compaction.ITEMS), WHOLE),
        None: _MESSAGE,
        "message": _MESSAGE,
        "function_call": names("call_id", "name", "namespace", "arguments", *_OWN, least=4),
        "function_call_output": names("call_id", "name", "namespace", *_OWN, output=_CONTENT, least=3),
        "custom_tool_call": names("call_id", "name", "namespace", "input", *_OWN),
        "custom_tool_call_output": names("call_id", "name", "namespace", *_OWN, output=_CONTENT),
        "local_shell_call": names("call_id", "action", *_OWN),
        "local_shell_call_output": names("call_id", "output", *_OWN),
        "shell_call": names("call_id", "action", *_OWN),
        "shell_call_output": names("call_id", "output", *_OWN),
        "apply_patch_call": names("call_id", "operation", *_OWN),
        "apply_patch_call_output": names("call_id", "output", *_OWN),
        "tool_search_call": names("call_id", "arguments", "execution", *_OWN),
        "tool_search_output": names("call_id", "execution", *_OWN, tools=_ALL_TOOLS),
        "additional_tools": names("role", *_OWN, tools=_ALL_TOOLS),
    },
    # What OpenAI's own tools put in: other models cannot read it, and their texts tell of it.
    complete=True,
)
_REST: Final = names(
    reasoning=names("effort", "summary", "generate_summary"), text=names("format", "verbosity")
)


def unread(document: dict[str, Any]) -> list[str]:
    """Fields that are not read, by their places. The document is one that `read_request` has read."""
    found = others(document, _READ)
    find(document["input"], _ITEMS, "input", found)
    find(document.get("tools"), _ALL_TOOLS, "tools", found)
    for name, table in _REST.within.items():
        find(document.get(name), table, name, found)
    return found
