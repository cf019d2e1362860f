"""What is read of the objects in generateContent requests; everything else is listed as dropped."""

from __future__ import annotations

from typing import Any, Final

from router_core.formats.gemini.fields import get, snake
from router_core.formats.unread import ByType, Fields, find


def _both(*read: str, **within: Fields | ByType) -> Fields:
    """A table of fields (camelCase) in either spelling."""
    spelled = {**within, **{snake(name): table for name, table in within.items()}}
    return Fields(frozenset((*read, *map(snake, read), *spelled)), spelled)


PART: Final = _both(
    "text",
    "thought",
    "thoughtSignature",
    "executableCode",
    "codeExecutionResult",
    "toolCall",
    "toolResponse",
    functionCall=_both("id", "name", "args"),
    functionResponse=_both(
        "id",
        "name",
        "response",
        parts=_both(
            inlineData=_both("data", "mimeType", "displayName"),
            fileData=_both("fileUri", "mimeType", "displayName"),
        ),
    ),
    inlineData=_both("data", "mimeType", "displayName"),
    fileData=_both("fileUri", "mimeType", "displayName"),
)
_DECLARATIONS: Final = _both("name", "description", "parameters", "parametersJsonSchema")
_TOOL_CONFIG: Final = _both(functionCallingConfig=_both("mode", "allowedFunctionNames"))
_THINKING: Final = _both("thinkingBudget", "thinkingLevel", "includeThoughts")


def unread(document: dict[str, Any]) -> list[str]:
    """Fields that are not read within the document's fields, other than its contents, by their places."""
    found: list[str] = []
    tools = document.get("tools")
    for tool in tools if type(tools) is list else ():
        find(get(tool, "functionDeclarations"), _DECLARATIONS, "functionDeclarations", found)
    find(get(document, "toolConfig"), _TOOL_CONFIG, "toolConfig", found)
    config = get(document, "generationConfig")
    if isinstance(config, dict):
        find(get(config, "thinkingConfig"), _THINKING, "thinkingConfig", found)
    return found
