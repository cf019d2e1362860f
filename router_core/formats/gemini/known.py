"""What is read of generateContent requests; everything else is listed as dropped."""

from __future__ import annotations

from typing import Any, Final

from router_core.formats.gemini.fields import camel, content_request, get, snake
from router_core.formats.unread import ByType, Fields, find, others

_READ: Final = frozenset(
    {"contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "model"}
    | {"generateContentRequest"}
    # Google's own bookkeeping.
    | {"labels", "sessionId", "userPromptId"}
)
_CONFIG: Final = frozenset(
    {"temperature", "topP", "topK", "maxOutputTokens", "stopSequences", "candidateCount", "seed"}
    | {"presencePenalty", "frequencyPenalty", "responseLogprobs", "logprobs", "responseMimeType"}
    | {"responseSchema", "responseJsonSchema", "responseModalities", "thinkingConfig"}
)
ANSWERS: Final = (None, "application/json", "text/plain")
"""Values of ``responseMimeType`` that are read."""


def _both(*read: str, **within: Fields | ByType) -> Fields:
    """A table of fields (camelCase) in either spelling."""
    spelled = {**within, **{snake(name): table for name, table in within.items()}}
    return Fields(frozenset((*read, *map(snake, read), *spelled)), spelled)


_PART: Final = _both(
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
    """Fields that are not read, by their places. The document is one that `read_request` has read."""
    document = content_request(document)
    found = others(document, _READ, camel)
    contents = document["contents"]
    for content in contents if type(contents) is list else (contents,):
        find(content.get("parts"), _PART, "contents[].parts", found)
    tools = document.get("tools")
    for tool in tools if type(tools) is list else ():
        find(get(tool, "functionDeclarations"), _DECLARATIONS, "functionDeclarations", found)
    find(get(document, "toolConfig"), _TOOL_CONFIG, "toolConfig", found)
    config = get(document, "generationConfig")
    if isinstance(config, dict):
        find(get(config, "thinkingConfig"), _THINKING, "thinkingConfig", found)
        found += others(config, _CONFIG, camel)
        if get(config, "responseMimeType") not in ANSWERS:
            found.append("responseMimeType")
    return found
