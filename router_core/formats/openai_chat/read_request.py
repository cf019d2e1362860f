"""Chat Completions requests, read (platform.openai.com, "Create chat completion", and its dialects)."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from router_core.formats import ir
from router_core.formats.conversation import ERROR_PREFIX
from router_core.formats.ir import Format
from router_core.formats.openai_chat import reasoning
from router_core.formats.openai_chat.content import read_content, read_image
from router_core.formats.openai_chat.known import SHARED
from router_core.formats.openai_chat.think_tags import opens
from router_core.formats.openai_chat.tool_calls import google_signature
from router_core.formats.shape import (
    array,
    each,
    mapping,
    only_text,
    optional_float,
    optional_int,
    optional_mapping,
    optional_string,
    string,
)


def read_request(document: dict[str, Any]) -> ir.Request:
    request = ir.Request(turns=[])
    request.model = document.get("model")
    messages = _Messages(request)
    turns = each(array(document.get("messages"), "messages"), "messages", messages.turn)
    opening = next((n for n, turn in enumerate(turns) if turn.role != "system"), len(turns))
    request.system = [part for turn in turns[:opening] for part in turn.parts if type(part) is ir.Text]
    request.turns = turns[opening:]
    if "reasoning" in document or "include_reasoning" in document:
        request.reasoning_field = reasoning.SHORT
    _tools(request, document)
    limit = document.get("max_completion_tokens")
    request.max_tokens = optional_int(document.get("max_tokens") if limit is None else limit, "max_tokens")
    for name in ("temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty"):
        setattr(request, name, optional_float(document.get(name), name))
    stop = document.get("stop") or []
    request.stop = [stop] if isinstance(stop, str) else list(array(stop, "stop"))
    seed = "seed" if "seed" in document else "random_seed"  # Mistral's word for it
    request.seed = optional_int(document.get(seed), seed)
    if document.get("logprobs"):
        request.logprobs = optional_int(document.get("top_logprobs"), "top_logprobs") or 0
    request.n = optional_int(document.get("n"), "n") or 1
    request.reasoning = _reasoning(document)
    request.response_format = _response_format(document.get("response_format"))
    modalities = document.get("modalities")
    request.modalities = [str(m).lower() for m in modalities] if isinstance(modalities, list) else None
    request.user = document.get("user")
    request.verbosity = document.get("verbosity")
    request.service_tier = document.get("service_tier")
    request.openai = {name: document[name] for name in SHARED if document.get(name) is not None}
    request.stream = bool(document.get("stream"))
    options = document.get("stream_options")
    usage = document.get("usage")
    request.include_usage = bool(isinstance(options, dict) and options.get("include_usage")) or bool(
        isinstance(usage, dict) and usage.get("include")
    )
    return request


_BESIDE: Final = frozenset(
    {*reasoning.FIELDS, reasoning.OPAQUE, reasoning.DETAILS, "refusal", "audio", "extra_content"}
    | {"function_call", "images"}
)
"""What an assistant's message may hold beside its content and calls."""


class _Messages:
    """Reads messages in their order; those of tools that follow each other answer the calls of one turn."""

    def __init__(self, request: ir.Request):
        self._request = request
        self._results: list[ir.Part] | None = None
        """The parts of the turn before, if it is a tool's."""

    def turn(self, message: dict[str, Any]) -> ir.Turn | None:
        """The turn of one message; None for what is said in the turn before."""
        role, content = message.get("role"), message.get("content")
        alone = len(message) == 2
        if (
            alone
            and type(content) is str
            and (role == "user" or (role == "assistant" and not opens(content)))
        ):
            # Most messages are one text.
            self._results = None
            return ir.Turn(role, content)
        if role == "tool" or role == "function":
            result = _result(message, role)
            if self._results is not None:
                self._results.append(result)
                return None
            self._results = [result]
            return ir.Turn("user", self._results)
        self._results = None
        text = content if type(content) is str else only_text(content, "text")
        if role == "assistant":
            said = text if text and alone and not opens(text) else _said(self._request, message)
        elif role == "user" or role == "system" or role == "developer":
            said = read_content(content) if text is None else text
        else:
            raise ir.Malformed(f"{role!r} is no role", "role")
        turn = ir.Turn("system" if role == "developer" else role, said)
        if not alone and message.get("cache_control"):
            last = turn.parts[-1] if turn.content else None
            if type(last) is ir.Text:
                last.cache = "5m"
        return turn


def _said(request: ir.Request, message: dict[str, Any]) -> list[ir.Part]:
    """What a model said beside, or instead of, one text."""
    parts: list[ir.Part] = read_content(message.get("content"))
    calls: list[ir.ToolCall] = each(message.get("tool_calls"), "tool_calls", _call)
    if _BESIDE.isdisjoint(message):
        return [*reasoning.read_tags(parts), *calls]
    written = reasoning.read_message(message)
    # The client looks for reasoning in the field that it uses itself; the last message tells.
    request.reasoning_field = next((f for f in reasoning.FIELDS if f in message), request.reasoning_field)
    parts = parts if written else reasoning.read_tags(parts)
    if isinstance(message.get("refusal"), str) and message["refusal"]:
        parts.append(ir.Refused(message["refusal"]))
    if isinstance(message.get("audio"), dict) and not parts:
        raise ir.Unsupported("a recording that is stored at another provider (audio.id)")
    if "images" in message:
        # Made by the model, as OpenRouter and its like have them.
        parts += each(message["images"], "images", read_image)
    signature = google_signature(message)
    if signature is not None and parts and type(parts[-1]) is ir.Text:
        parts[-1].signature = signature
    legacy = message.get("function_call")
    if isinstance(legacy, dict) and not calls:
        calls.append(ir.ToolCall("", str(legacy.get("name")), legacy.get("arguments") or ""))
    if written and calls:
        _sign_calls(calls, written)
    return [*written, *parts, *calls]


def _sign_calls(calls: list[ir.ToolCall], written: list[ir.Part]) -> None:
    """Moves entries of OpenRouter's details that are the signature of one call, by its id, to the call."""
    for thought in list(written):
        signature = thought.signature if isinstance(thought, ir.Thinking) else None
        if signature is None or signature.id is None or signature.origin is not Format.GEMINI:
            continue
        call = next((call for call in calls if call.id == signature.id), None)
        if call is not None and call.signature is None:
            call.signature = signature
            written.remove(thought)


def _call(call: dict[str, Any]) -> ir.ToolCall:
    id, function = call.get("id"), call.get("function")
    if type(id) is not str:
        id = optional_string(id, "id") or ""
    if isinstance(custom := call.get("custom"), dict):
        text = custom.get("input")
        name = string(custom.get("name"), "custom.name")
        read = ir.ToolCall(id, name, text if isinstance(text, str) else "", "custom")
    else:
        if type(function) is not dict:
            function = mapping(function, "function")
        called, given = function.get("name"), function.get("arguments")
        read = ir.ToolCall(
            id,
            called if type(called) is str else string(called, "function.name"),
            given if type(given) is str or type(given) is dict else "",
        )
    if "extra_content" in call:
        read.signature = google_signature(call)
    return read


def _result(message: dict[str, Any], role: str) -> ir.ToolResult:
    content, id = message.get("content"), message.get("tool_call_id")
    cache: str | None = None
    if type(content) is not str:
        parts = read_content(content)
        only = parts[0] if len(parts) == 1 else None
        content, cache = (only.text, only.cache) if type(only) is ir.Text else (parts, None)
    error = type(content) is str and content.startswith(ERROR_PREFIX)
    if error:
        content = content[len(ERROR_PREFIX) :]
    if role != "tool":
        id = ""
    elif type(id) is not str:
        id = optional_string(id, "tool_call_id") or ""
    result = ir.ToolResult(id, content, message.get("name"), error)
    if cache or "cache_control" in message:
        result.cache = cache or ("5m" if message["cache_control"] else None)
    return result


def _tools(request: ir.Request, document: dict[str, Any]) -> None:
    each(document.get("tools"), "tools", partial(_tool, request))
    request.tools += each(document.get("functions"), "functions", _function)
    if isinstance(document.get("web_search_options"), dict):
        options = _search_options(document["web_search_options"])
        request.server_tools.append(ir.ServerToolUse("web_search", "web_search_options", options))
    choice = document.get("tool_choice")
    request.tool_choice = _tool_choice(document.get("function_call") if choice is None else choice)
    parallel = document.get("parallel_tool_calls")
    request.parallel = parallel if isinstance(parallel, bool) else None


def _tool(request: ir.Request, tool: dict[str, Any]) -> None:
    type_ = tool.get("type")
    if type_ == "function" or "function" in tool:
        read = _function(mapping(tool.get("function"), "function"))
        read.cache = "5m" if isinstance(tool.get("cache_control"), dict) else None
        request.tools.append(read)
    elif type_ == "custom":
        custom = mapping(tool.get("custom"), "custom")
        name, text = string(custom.get("name"), "custom.name"), custom.get("description")
        request.tools.append(ir.Tool(name, text, kind="custom", grammar=custom.get("format")))
    else:
        kind = "web_search" if "search" in str(type_) else "other"
        request.server_tools.append(ir.ServerToolUse(kind, str(type_), dict(tool)))  # type: ignore[arg-type]


def _function(function: dict[str, Any]) -> ir.Tool:
    name = string(function.get("name"), "name")
    text = optional_string(function.get("description"), "description")
    schema = optional_mapping(function.get("parameters"), "parameters")
    return ir.Tool(name, text, schema, strict=function.get("strict"))


def _search_options(options: dict[str, Any]) -> dict[str, Any]:
    """Responses' shape of the same options."""
    flat = {key: value for key, value in options.items() if key != "user_location"}
    location = options.get("user_location")
    if isinstance(location, dict):
        flat["user_location"] = {"type": "approximate", **(location.get("approximate") or {})}
    return flat


def _tool_choice(choice: Any) -> ir.ToolChoice | None:
    if isinstance(choice, str):
        mode = {"any": "required"}.get(choice, choice)
        return ir.ToolChoice(mode) if mode in ("auto", "none", "required") else None  # type: ignore[arg-type]
    if not isinstance(choice, dict):
        return None
    if choice.get("type") == "allowed_tools":
        allowed = choice.get("allowed_tools") or {}
        names = [_choice_name(tool) for tool in allowed.get("tools") or () if isinstance(tool, dict)]
        mode = "required" if allowed.get("mode") == "required" else "auto"
        return ir.ToolChoice(mode, [name for name in names if name])  # type: ignore[arg-type]
    name = _choice_name(choice)
    return ir.ToolChoice("required", [name]) if name else None


def _choice_name(choice: dict[str, Any]) -> str | None:
    inner = choice.get("function") or choice.get("custom") or choice
    name = inner.get("name") if isinstance(inner, dict) else None
    return name if isinstance(name, str) else None


def _reasoning(document: dict[str, Any]) -> ir.Reasoning | None:
    """The dialects: OpenAI's word, OpenRouter's object, Z.ai's and Moonshot's switch, Qwen's pair."""
    word = document.get("reasoning_effort")
    if isinstance(word, str):
        return ir.Reasoning(enabled=word != "none", effort=word)
    block = document.get("reasoning")
    if isinstance(block, dict):
        word, budget = block.get("effort"), optional_int(block.get("max_tokens"), "reasoning.max_tokens")
        enabled = block.get("enabled")
        if enabled is None and (word or budget):
            enabled = word != "none"
        return ir.Reasoning(enabled, word, budget, show=False if block.get("exclude") else None)
    switch = document.get("thinking")
    if isinstance(switch, dict):
        budget = optional_int(switch.get("budget_tokens"), "thinking.budget_tokens")
        return ir.Reasoning(switch.get("type") != "disabled", budget=budget)
    enabled = document.get("enable_thinking")
    if isinstance(enabled, bool):
        return ir.Reasoning(enabled, budget=optional_int(document.get("thinking_budget"), "thinking_budget"))
    return None


def _response_format(value: Any) -> ir.ResponseFormat | None:
    if not isinstance(value, dict):
        return None
    match value.get("type"):
        case "json_object":
            return ir.ResponseFormat("json")
        case "json_schema":
            schema = mapping(value.get("json_schema"), "response_format.json_schema")
            return ir.ResponseFormat(
                "schema",
                schema.get("schema"),
                schema.get("name"),
                schema.get("description"),
                schema.get("strict"),
            )
        case "text":
            return ir.ResponseFormat("text")
    return None
