"""Chat Completions requests, read (platform.openai.com, "Create chat completion", and its dialects)."""

from __future__ import annotations

from typing import Any, Final

from router_core.formats import ir
from router_core.formats.conversation import ERROR_PREFIX
from router_core.formats.ir import Format
from router_core.formats.openai_chat import reasoning
from router_core.formats.openai_chat.content import read_content
from router_core.formats.openai_chat.tool_calls import google_signature
from router_core.formats.shape import array, mapping, optional_float, optional_int, string

SHARED: Final = (
    "store",
    "metadata",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
)
"""Fields that Chat Completions and Responses spell alike."""

_READ: Final = frozenset(
    {"model", "messages", "max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k", "stop"}
    | {"seed", "presence_penalty", "frequency_penalty", "logprobs", "top_logprobs", "n", "tools"}
    | {"tool_choice", "parallel_tool_calls", "functions", "function_call", "response_format", "modalities"}
    | {"reasoning_effort", "reasoning", "thinking", "enable_thinking", "thinking_budget", "user"}
    | {"include_reasoning", "verbosity", "service_tier", "stream", "stream_options", "web_search_options"}
    | {"usage", *SHARED}
)


def read_request(document: dict[str, Any]) -> ir.Request:
    request = ir.Request(turns=[])
    request.model = document.get("model")
    messages = array(document.get("messages"), "messages")
    for number, message in enumerate(messages):
        _message(request, message, f"messages[{number}]")
    _tools(request, document)
    limit = document.get("max_completion_tokens")
    request.max_tokens = optional_int(document.get("max_tokens") if limit is None else limit, "max_tokens")
    for name in ("temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty"):
        setattr(request, name, optional_float(document.get(name), name))
    stop = document.get("stop") or []
    request.stop = [stop] if isinstance(stop, str) else list(array(stop, "stop"))
    request.seed = optional_int(document.get("seed"), "seed")
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
    request.reasoning_field = _dialect(document, messages)
    request.unread += [key for key, value in document.items() if key not in _READ and value is not None]
    return request


def _message(request: ir.Request, message: Any, place: str) -> None:
    role = mapping(message, place).get("role")
    parts = read_content(message.get("content"), f"{place}.content")
    name = message.get("name")
    if message.get("cache_control") and parts and isinstance(parts[-1], ir.Text):
        parts[-1].cache = "5m"
    match role:
        case "system" | "developer":
            if request.turns:
                request.turns.append(ir.Turn("system", parts))
            else:
                request.system += [part for part in parts if type(part) is ir.Text]
        case "user":
            request.turns.append(ir.Turn("user", parts, name))
        case "assistant":
            request.turns.append(ir.Turn("assistant", _assistant(message, parts, place), name))
        case "tool" | "function":
            request.turns.append(ir.Turn("user", [_result(message, parts, role)]))
        case _:
            raise ir.Malformed(f"{place}.role: {role!r} is no role")
    if name and role in ("user", "assistant", "system") and "messages[].name" not in request.unread:
        request.unread.append("messages[].name")


def _assistant(message: dict[str, Any], parts: list[ir.Part], place: str) -> list[ir.Part]:
    written = reasoning.read_message(message)
    if isinstance(message.get("refusal"), str) and message["refusal"]:
        parts.append(ir.Refused(message["refusal"]))
    signature = google_signature(message)
    if signature is not None and parts and type(parts[-1]) is ir.Text:
        parts[-1].signature = signature
    calls: list[ir.Part] = []
    for number, call in enumerate(array(message.get("tool_calls") or [], f"{place}.tool_calls")):
        calls.append(_call(mapping(call, f"{place}.tool_calls[{number}]"), f"{place}.tool_calls[{number}]"))
    legacy = message.get("function_call")
    if isinstance(legacy, dict) and not calls:
        calls.append(ir.ToolCall("", str(legacy.get("name")), legacy.get("arguments") or ""))
    for call, thought in _encrypted(calls, written):
        call.signature = thought.signature
        written.remove(thought)
    return [*written, *parts, *calls]


def _encrypted(calls: list[ir.Part], written: list[ir.Part]) -> list[tuple[ir.ToolCall, ir.Thinking]]:
    """Entries of OpenRouter's details that are the signature of one call, by its id (Gemini)."""
    found = []
    for thought in list(written):
        signature = thought.signature if isinstance(thought, ir.Thinking) else None
        if (
            isinstance(thought, ir.Thinking)
            and signature
            and signature.id
            and signature.origin is Format.GEMINI
        ):
            call = next((c for c in calls if isinstance(c, ir.ToolCall) and c.id == signature.id), None)
            if call is not None and call.signature is None:
                found.append((call, thought))
    return found


def _call(call: dict[str, Any], place: str) -> ir.ToolCall:
    signature = google_signature(call)
    id = call.get("id") or ""
    custom = call.get("custom")
    if isinstance(custom, dict):
        text = custom.get("input")
        name = string(custom.get("name"), f"{place}.custom.name")
        return ir.ToolCall(id, name, text if isinstance(text, str) else "", "custom", signature=signature)
    function = mapping(call.get("function"), f"{place}.function")
    name = string(function.get("name"), f"{place}.function.name")
    arguments = function.get("arguments")
    if not isinstance(arguments, str | dict):
        arguments = ""
    return ir.ToolCall(id, name, arguments, signature=signature)


def _result(message: dict[str, Any], parts: list[ir.Part], role: str) -> ir.ToolResult:
    content: str | list[ir.Part] = parts
    if len(parts) <= 1 and all(type(part) is ir.Text for part in parts):
        content = "".join(part.text for part in parts if type(part) is ir.Text)
    error = False
    if isinstance(content, str) and content.startswith(ERROR_PREFIX):
        content, error = content[len(ERROR_PREFIX) :], True
    id = message.get("tool_call_id") if role == "tool" else ""
    return ir.ToolResult(id or "", content, message.get("name"), error)


def _tools(request: ir.Request, document: dict[str, Any]) -> None:
    for number, tool in enumerate(array(document.get("tools") or [], "tools")):
        place = f"tools[{number}]"
        type_ = mapping(tool, place).get("type")
        if type_ == "function" or "function" in tool:
            request.tools.append(_function(mapping(tool.get("function"), f"{place}.function"), place))
            if isinstance(tool.get("cache_control"), dict):
                request.tools[-1].cache = "5m"
        elif type_ == "custom":
            custom = mapping(tool.get("custom"), f"{place}.custom")
            name = string(custom.get("name"), f"{place}.custom.name")
            request.tools.append(
                ir.Tool(name, custom.get("description"), kind="custom", grammar=custom.get("format"))
            )
        else:
            kind = "web_search" if "search" in str(type_) else "other"
            request.server_tools.append(ir.ServerToolUse(kind, str(type_), dict(tool)))  # type: ignore[arg-type]
    for number, function in enumerate(array(document.get("functions") or [], "functions")):
        request.tools.append(_function(mapping(function, f"functions[{number}]"), f"functions[{number}]"))
    if isinstance(document.get("web_search_options"), dict):
        options = document["web_search_options"]
        request.server_tools.append(
            ir.ServerToolUse("web_search", "web_search_options", _search_options(options))
        )
    choice = document.get("tool_choice")
    request.tool_choice = _tool_choice(document.get("function_call") if choice is None else choice)
    parallel = document.get("parallel_tool_calls")
    request.parallel = parallel if isinstance(parallel, bool) else None


def _function(function: dict[str, Any], place: str) -> ir.Tool:
    name = string(function.get("name"), f"{place}.name")
    return ir.Tool(
        name, function.get("description"), function.get("parameters"), strict=function.get("strict")
    )


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


def _dialect(document: dict[str, Any], messages: list[Any]) -> str:
    """The field in which this client looks for reasoning: the one that it uses itself."""
    if "reasoning" in document or "include_reasoning" in document:
        return reasoning.SHORT
    for message in reversed(messages):
        if message.get("role") == "assistant":
            if reasoning.CONTENT in message:
                return reasoning.CONTENT
            if reasoning.SHORT in message:
                return reasoning.SHORT
    return reasoning.CONTENT
