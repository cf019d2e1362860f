"""What is read of Ollama's requests; everything else is listed as dropped."""

from __future__ import annotations

from typing import Any, Final

from router_core.formats.unread import check, find, names, others

_READ: Final = frozenset(
    {"model", "messages", "tools", "format", "options", "stream", "think"}
    # How long the model stays loaded, which is up to the provider.
    | {"keep_alive"}
)
_OPTIONS: Final = frozenset(
    {"temperature", "top_p", "top_k", "num_predict", "stop", "seed", "presence_penalty", "frequency_penalty"}
    # About the machine that runs the model.
    | {"num_ctx", "num_gpu", "num_thread", "num_batch", "main_gpu", "low_vram"}
    | {"use_mmap", "use_mlock", "numa"}
)
_MESSAGE: Final = names(
    *("role", "content", "images", "thinking"),
    tool_calls=names("id", "type", function=names("index", "name", "arguments")),
)
_RESULT: Final = names("role", "content", "images", "tool_name", "name", "tool_call_id")
_TOOLS: Final = names("type", function=names("name", "description", "parameters"))


def unread(document: dict[str, Any]) -> list[str]:
    """Fields that are not read, by their places. The document is one that `read_request` has read."""
    found = others(document, _READ)
    found += [f"options.{key}" for key in others(document.get("options") or {}, _OPTIONS)]
    for message in document["messages"]:
        check(message, _RESULT if message["role"] == "tool" else _MESSAGE, "messages", found)
    find(document.get("tools"), _TOOLS, "tools", found)
    return found
