"""What is read of the objects in Responses requests; everything else is listed as dropped."""

from __future__ import annotations

from typing import Any, Final

from router_core.formats.unread import ByType, find, names

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
ITEMS: Final = ByType(
    {
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
    }
)
_REST: Final = names(
    reasoning=names("effort", "summary", "generate_summary"), text=names("format", "verbosity")
)


def unread(document: dict[str, Any]) -> list[str]:
    """Fields that are not read within the document's fields, other than its input, by their places."""
    found: list[str] = []
    find(document.get("tools"), _ALL_TOOLS, "tools", found)
    for name, table in _REST.within.items():
        find(document.get(name), table, name, found)
    return found
