"""generateContent requests, read (ai.google.dev, "Generating content")."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from router_core.formats import ir
from router_core.formats.gemini.fields import camel, content_request, get
from router_core.formats.gemini.parts import read_content, read_parts
from router_core.formats.gemini.pieces import rejoined
from router_core.formats.gemini.schema import from_gemini
from router_core.formats.shape import (
    array,
    each,
    optional_float,
    optional_int,
    optional_mapping,
    optional_string,
    string,
)

_SERVER_TOOLS: Final = {
    "googleSearch": "web_search",
    "googleSearchRetrieval": "web_search",
    "enterpriseWebSearch": "web_search",
    "codeExecution": "code_execution",
}
_MODES: Final = {"AUTO": "auto", "VALIDATED": "auto", "ANY": "required", "NONE": "none"}


def read_request(document: dict[str, Any]) -> ir.Request:
    request = ir.Request(turns=[])
    if isinstance(document.get("request"), dict):
        # Code Assist's envelope; the rule code-assist-answer puts the answer into one.
        request.model = document.get("model")
    document = content_request(document)
    if get(document, "cachedContent"):
        raise ir.Unsupported("cachedContent, which is stored at Google")
    contents = document.get("contents")
    if isinstance(contents, dict):
        contents = [contents]
    request.turns = rejoined(each(array(contents, "contents"), "contents", _turn))
    request.system = _system(get(document, "systemInstruction"))
    _tools(request, document)
    config = get(document, "generationConfig")
    if isinstance(config, dict):
        _config(request, config)
    return request


def _turn(content: dict[str, Any]) -> ir.Turn:
    said = read_content(content.get("parts"))
    # Only models call.
    role = content.get("role") or ("model" if ir.ToolCall in map(type, said) else "user")
    if role == "model":
        return ir.Turn("assistant", said)
    if role == "user" or role == "function":
        return ir.Turn("user", said)
    if role == "system":
        return ir.Turn("system", said)
    raise ir.Malformed(f"{role!r} is no role", "role")


def _system(value: Any) -> list[ir.Text]:
    if isinstance(value, str):
        return [ir.Text(value)] if value else []
    if not isinstance(value, dict):
        return []
    parts = read_parts(value.get("parts"), "systemInstruction.parts")
    return [part for part in parts if type(part) is ir.Text]


def _tools(request: ir.Request, document: dict[str, Any]) -> None:
    tools = document.get("tools")
    each([tools] if isinstance(tools, dict) else tools, "tools", partial(_tool, request))
    config = get(document, "toolConfig")
    calling = get(config, "functionCallingConfig") if isinstance(config, dict) else None
    if isinstance(calling, dict):
        mode = _MODES.get(str(calling.get("mode")).upper())
        names = get(calling, "allowedFunctionNames")
        if mode is not None:
            request.tool_choice = ir.ToolChoice(mode, list(names) if names else None)  # type: ignore[arg-type]


def _tool(request: ir.Request, tool: dict[str, Any]) -> None:
    for key, value in tool.items():
        name = camel(key)
        if name == "functionDeclarations":
            request.tools += each(value, key, _function)
        elif value is not None:
            kind = _SERVER_TOOLS.get(name, "other")
            options = value if isinstance(value, dict) else {}
            request.server_tools.append(ir.ServerToolUse(kind, name, options))  # type: ignore[arg-type]


def _function(declaration: dict[str, Any]) -> ir.Tool:
    name = string(declaration.get("name"), "name")
    schema = optional_mapping(get(declaration, "parametersJsonSchema"), "parametersJsonSchema")
    if schema is None:
        native = declaration.get("parameters")
        schema = from_gemini(native) if isinstance(native, dict) else None
    return ir.Tool(name, optional_string(declaration.get("description"), "description"), schema)


def _config(request: ir.Request, config: dict[str, Any]) -> None:
    request.temperature = optional_float(config.get("temperature"), "temperature")
    request.top_p = optional_float(get(config, "topP"), "topP")
    request.top_k = optional_float(get(config, "topK"), "topK")
    request.max_tokens = optional_int(get(config, "maxOutputTokens"), "maxOutputTokens")
    request.stop = list(array(get(config, "stopSequences") or [], "stopSequences"))
    request.n = optional_int(get(config, "candidateCount"), "candidateCount") or 1
    request.seed = optional_int(config.get("seed"), "seed")
    request.presence_penalty = optional_float(get(config, "presencePenalty"), "presencePenalty")
    request.frequency_penalty = optional_float(get(config, "frequencyPenalty"), "frequencyPenalty")
    if get(config, "responseLogprobs"):
        request.logprobs = optional_int(config.get("logprobs"), "logprobs") or 0
    modalities = get(config, "responseModalities")
    request.modalities = [str(m).lower() for m in modalities] if modalities else None
    request.response_format = _response_format(config)
    thinking = get(config, "thinkingConfig")
    if isinstance(thinking, dict):
        request.reasoning = _reasoning(thinking)


def _response_format(config: dict[str, Any]) -> ir.ResponseFormat | None:
    type_ = get(config, "responseMimeType")
    schema = get(config, "responseJsonSchema")
    if schema is None and isinstance(get(config, "responseSchema"), dict):
        schema = from_gemini(get(config, "responseSchema"))
    if type_ == "application/json" or (type_ is None and schema):
        return ir.ResponseFormat("schema", schema) if schema else ir.ResponseFormat("json")
    return None


def _reasoning(thinking: dict[str, Any]) -> ir.Reasoning:
    budget = optional_int(get(thinking, "thinkingBudget"), "thinkingBudget")
    level = get(thinking, "thinkingLevel")
    effort = (
        level.lower() if isinstance(level, str) and level.upper() != "THINKING_LEVEL_UNSPECIFIED" else None
    )
    show = get(thinking, "includeThoughts")
    enabled = True if effort or show or (budget is not None and budget != 0) else None
    if budget == 0:
        enabled = False
    return ir.Reasoning(enabled, effort, budget, show=show if isinstance(show, bool) else None)
