"""What is read of the objects in Chat Completions requests; everything else is listed as dropped."""

from __future__ import annotations

from typing import Any, Final

from router_core.formats.unread import ByType, find, names

_MARK: Final = ("cache_control", "prompt_cache_breakpoint")
CONTENT: Final = ByType(
    {
        "text": names("type", "text", *_MARK, least=2),
        "image_url": names("type", *_MARK, image_url=names("url", "detail")),
        "input_audio": names("type", *_MARK, input_audio=names("data", "format")),
        "file": names("type", *_MARK, file=names("filename", "file_data", "file_id")),
    }
)
_FUNCTION: Final = names("name", "description", "parameters", "strict")
_TOOLS: Final = ByType(
    {
        "function": names("type", "cache_control", function=_FUNCTION),
        "custom": names("type", custom=names("name", "description", "format")),
    }
)


def unread(document: dict[str, Any]) -> list[str]:
    """Fields that are not read within the document's fields, other than its messages, by their places."""
    found: list[str] = []
    find(document.get("tools"), _TOOLS, "tools", found)
    find(document.get("functions"), _FUNCTION, "functions", found)
    return found
