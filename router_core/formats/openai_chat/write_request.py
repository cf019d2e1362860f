"""Chat Completions requests, written so that OpenAI and the hosts that imitate it take them."""

from __future__ import annotations

from typing import Any, Final

from router_core.formats import custom_tools, ir
from router_core.formats.context import Target
from router_core.formats.conversation import JSON_WORD, ONLY_ALLOWED, for_upstream, refuse_forced, says_json
from router_core.formats.effort import (
    CHAT_LACKS,
    SAMPLING,
    efforts,
    fixes_sampling,
    gpt_version,
    is_openai,
    is_openai_reasoning,
    nearest,
    never_reasons,
    word,
)
from router_core.formats.ir import Format
from router_core.formats.names import ToolNames
from router_core.formats.openai_chat.content import marked
from router_core.formats.openai_chat.messages import Messages
from router_core.formats.schema import is_strict, object_root


def write_request(request: ir.Request, target: Target) -> dict[str, Any]:
    names = ToolNames(Format.OPENAI_CHAT)
    target.context.tools = names.back
    writer = Messages(target, names)
    messages: list[dict[str, Any]] = []
    system = [text for text in request.system if text.text]
    if request.response_format and request.response_format.kind == "json" and not says_json(request):
        system.append(ir.Text(JSON_WORD))
    if system:
        messages.append({"role": "system", "content": writer.text(system)})
    for turn in for_upstream(request.turns, Format.OPENAI_CHAT, target.notes):
        if turn.role == "assistant":
            writer.assistant(turn, messages)
        else:
            writer.given(turn, messages)
    document: dict[str, Any] = {"model": target.model, "messages": messages}
    _tools(document, request, names, target)
    _reasoning(document, request, target)
    _limits(document, request, target)
    _response_format(document, request)
    for name in ("n", "user", "verbosity", "service_tier"):
        value = getattr(request, name)
        if value is not None and value != 1:
            document[name] = value
    if request.user and len(request.user) > 64:
        # OpenAI's limit; a longer one is an identity of another provider.
        target.drop("user")
        del document["user"]
    if request.modalities and request.modalities != ["text"]:
        _modalities(document, request.modalities, target)
    document.update(request.openai)
    if target.stream:
        document["stream"] = True
        document["stream_options"] = {"include_usage": True}
    return document


def _modalities(document: dict[str, Any], wanted: list[str], target: Target) -> None:
    """Answers in images, as OpenRouter and its like know them; recordings need a voice, and each host has its own."""
    if "audio" in wanted or is_openai(target.model):
        raise ir.Unsupported(f"answers in {', '.join(wanted)}")
    document["modalities"] = wanted


def _tools(document: dict[str, Any], request: ir.Request, names: ToolNames, target: Target) -> None:
    for use in request.server_tools:
        if use.tool == "web_search" and "search" in target.model:
            document["web_search_options"] = _search_options(use.options)
            target.drop_options(use, "search_context_size", "user_location")
        else:
            target.drop(f"tools[{use.name}]")
    choice = request.tool_choice
    allowed = set(choice.names or ()) if choice else set()
    offered = request.tools
    if choice is not None and choice.narrows:
        # Compatible hosts do not know lists of allowed tools.
        offered = [tool for tool in request.tools if tool.name in allowed]
        target.note(ONLY_ALLOWED)
    if not offered:
        refuse_forced(request)
        return
    target.require("tools", "tools")
    document["tools"] = [_tool(tool, names, target) for tool in offered]
    if choice is not None:
        if choice.mode == "required" and len(allowed) == 1:
            tool = next((t for t in offered if t.name in allowed), None)
            if tool is not None:
                name = names.wire(tool.name, tool.namespace, custom=tool.kind == "custom")
                document["tool_choice"] = {"type": "function", "function": {"name": name}}
        else:
            document["tool_choice"] = choice.mode
    if request.parallel is not None:
        document["parallel_tool_calls"] = request.parallel


def _tool(tool: ir.Tool, names: ToolNames, target: Target) -> dict[str, Any]:
    custom = tool.kind == "custom"
    function: dict[str, Any] = {"name": names.wire(tool.name, tool.namespace, custom=custom)}
    text = custom_tools.description(tool)
    if text:
        function["description"] = text
    function["parameters"] = custom_tools.as_schema(tool) if custom else object_root(tool.schema)
    if tool.strict is not None and (not tool.strict or is_strict(function["parameters"])):
        function["strict"] = tool.strict
    target.drop("tools[].strict", tool.strict and "strict" not in function)
    return marked({"type": "function", "function": function}, tool.cache, target)


def _search_options(options: dict[str, Any]) -> dict[str, Any]:
    written: dict[str, Any] = {}
    if options.get("search_context_size"):
        written["search_context_size"] = options["search_context_size"]
    location = options.get("user_location")
    if isinstance(location, dict):
        fields = {key: value for key, value in location.items() if key != "type"}
        written["user_location"] = {"type": "approximate", "approximate": fields}
    return written


def _limits(document: dict[str, Any], request: ir.Request, target: Target) -> None:
    reasons = is_openai_reasoning(target.model)
    limit = request.max_tokens
    if limit is not None:
        if target.info and target.info.max_output_tokens:
            limit = min(limit, target.info.max_output_tokens)
        document["max_completion_tokens" if is_openai(target.model) else "max_tokens"] = limit
    for name in ("temperature", "top_p", "presence_penalty", "frequency_penalty"):
        value = getattr(request, name)
        if value is None:
            continue
        if reasons and (
            name not in SAMPLING or fixes_sampling(target.model, document.get("reasoning_effort"))
        ):
            # OpenAI's reasoning models take the default only ("Reasoning models", limitations).
            target.drop(name, value not in (0, 1) or name == "temperature")
        else:
            document[name] = value
    target.drop("top_k", request.top_k is not None)
    if request.stop:
        if reasons or (is_openai(target.model) and len(request.stop) > 4):
            target.context.stop = request.stop
            target.note("stop sequences: the answer is cut here")
        else:
            document["stop"] = request.stop
    if request.seed is not None:
        document["seed"] = request.seed
    if request.logprobs is not None:
        document["logprobs"] = True
        if request.logprobs:
            document["top_logprobs"] = request.logprobs


TOOLS_OR_REASONING: Final = (5, 4)
"""The first GPT that refuses functions in OpenAI's own Chat Completions unless it is told not to reason."""


def _reasoning(document: dict[str, Any], request: ir.Request, target: Target) -> None:
    wanted = request.reasoning
    version = gpt_version(target.model)
    own = "openai_reasoning" in target.quirks and version is not None and version >= TOOLS_OR_REASONING
    if own and "tools" in document:
        if "none" in efforts(target.model):
            document["reasoning_effort"] = "none"
            target.note(
                f"reasoning: none beside tools, which {target.model} takes so in Chat Completions only"
            )
        return
    effort = word(wanted) if wanted else None
    if wanted is None or (effort is None and not wanted.enabled):
        return
    if never_reasons(target.model) or target.lacks("thinking"):
        target.drop("reasoning", effort != "none")
        return
    if effort is None:
        # The model decides, which it does without being told.
        return
    chosen = nearest(target.model, effort, CHAT_LACKS)
    if effort == "none" and chosen != "none" and not is_openai_reasoning(target.model):
        target.drop("reasoning")
        return
    target.note_effort(effort, chosen)
    document["reasoning_effort"] = chosen


def _response_format(document: dict[str, Any], request: ir.Request) -> None:
    wanted = request.response_format
    if wanted is None or wanted.kind == "text":
        return
    if wanted.kind == "json":
        document["response_format"] = {"type": "json_object"}
        return
    schema = wanted.schema or {}
    written: dict[str, Any] = {"name": wanted.name or "answer", "schema": schema}
    if wanted.description:
        written["description"] = wanted.description
    strict = is_strict(schema) if wanted.strict is None else wanted.strict
    written["strict"] = strict
    document["response_format"] = {"type": "json_schema", "json_schema": written}
