"""Chat Completions requests, written so that OpenAI and the hosts that imitate it take them."""

from __future__ import annotations

from typing import Any

from router_core.formats import custom_tools, ir
from router_core.formats.context import Target
from router_core.formats.conversation import (
    ERROR_PREFIX,
    JSON_WORD,
    for_upstream,
    marked_within,
    media_in,
    plain,
    refuse_forced,
    says_json,
)
from router_core.formats.effort import is_openai, is_openai_reasoning, nearest, never_reasons, word
from router_core.formats.ir import Format
from router_core.formats.names import CALL_IDS, OPENAI_CHAT_ID_LIMIT, CallIds, Rule, ToolNames
from router_core.formats.openai_chat import reasoning
from router_core.formats.openai_chat.content import marked, write_media, write_text
from router_core.formats.schema import is_strict, object_root
from router_core.formats.shape import arguments_text


class _Messages:
    """Writes turns as messages; one turn may be several."""

    def __init__(self, target: Target, names: ToolNames):
        self.target = target
        self.names = names
        self.openai = is_openai(target.model)
        self.marks = "cache_control" in target.quirks
        # Many compatible hosts take only strings; OpenAI and hosts with cache marks take parts.
        self.parts = self.openai or self.marks
        rule = CALL_IDS[Format.OPENAI_CHAT]
        if self.openai:
            rule = Rule(rule.forbidden, OPENAI_CHAT_ID_LIMIT)
        self.ids = CallIds(rule, short="short_tool_ids" in target.quirks)

    def text(self, texts: list[ir.Text]) -> str | list[dict[str, Any]]:
        """Text as one string, or as parts where there are several and the host takes them."""
        marked = False
        for text in texts:
            if text.cache:
                marked = True
                self.target.drop("cache_control", not self.marks)
        if (len(texts) == 1 or not self.parts) and not (marked and self.marks):
            return texts[0].text if len(texts) == 1 else "\n\n".join([text.text for text in texts])
        return [write_text(text, self.target) for text in texts]

    def given(self, turn: ir.Turn, messages: list[dict[str, Any]]) -> None:
        """Tool results, and what the user or the system says."""
        if len(turn.parts) == 1:
            only = turn.parts[0]
            if type(only) is ir.Text and not only.cache:
                messages.append({"role": turn.role, "content": only.text})
                return
        shown: list[dict[str, Any]] = []
        texts: list[ir.Text] = []
        media = False
        answered = False
        for part in turn.parts:
            kind = type(part)
            if kind is ir.ToolResult:
                messages.append(self.result(part, shown))  # type: ignore[arg-type]
                answered = True
            elif kind is ir.Text:
                if part.text:  # type: ignore[union-attr]
                    texts.append(part)  # type: ignore[arg-type]
            elif kind is ir.Media:
                media = True
        if shown or media:
            content: str | list[dict[str, Any]] = shown + self.mixed(turn.parts)
        else:
            content = self.text(texts) if texts else ""
        if content or not answered:
            messages.append({"role": turn.role, "content": content})

    def mixed(self, parts: list[ir.Part]) -> list[dict[str, Any]]:
        content: list[dict[str, Any]] = []
        for part in parts:
            if type(part) is ir.Media:
                content.append(write_media(part, self.target))
            elif type(part) is ir.Text and part.text:
                content.append(write_text(part, self.target))
        return content

    def result(self, part: ir.ToolResult, shown: list[dict[str, Any]]) -> dict[str, Any]:
        """A tool message; its media go into `shown`, for a user message after it."""
        content = part.content
        id = self.ids.wire(part.id)
        if isinstance(content, str):
            text = content
        else:
            text = plain(content)
            media = media_in(content)
            if media:
                text = text or "[the result is in the next message]"
                shown.append({"type": "text", "text": f"[result of tool call {id}]"})
                shown += [write_media(inner, self.target) for inner in media]
                self.target.note("tool results: media follow in a user message")
        if part.error:
            text = ERROR_PREFIX + text
        if part.cache or marked_within(content):
            self.target.drop("cache_control")
        return {"role": "tool", "tool_call_id": id, "content": text}

    def assistant(self, turn: ir.Turn, messages: list[dict[str, Any]]) -> None:
        message: dict[str, Any] = {"role": "assistant", "content": None}
        texts: list[ir.Text] = []
        calls: list[dict[str, Any]] = []
        thinking: list[ir.Thinking] = []
        for part in turn.parts:
            # The types themselves are asked: conversations have thousands of parts.
            if type(part) is ir.Text:
                if part.text:
                    texts.append(part)
            elif type(part) is ir.ToolCall:
                calls.append(self.call(part))
            elif type(part) is ir.Thinking:
                thinking.append(part)
            elif type(part) is ir.Refused:
                if self.openai:
                    message["refusal"] = message.get("refusal", "") + part.text
                elif part.text:
                    texts.append(ir.Text(part.text))
        if texts:
            message["content"] = self.text(texts)
        if calls:
            message["tool_calls"] = calls
        if thinking and not reasoning.write_message(message, thinking, self.target.model):
            self.target.note("reasoning of another model is left out")
        if texts or calls or len(message) > 2:
            messages.append(message)

    def call(self, part: ir.ToolCall) -> dict[str, Any]:
        custom = part.kind == "custom"
        arguments = custom_tools.wrap(part.arguments) if custom else part.arguments
        name = self.names.wire(part.name, part.namespace, custom=custom)
        call: dict[str, Any] = {
            "id": self.ids.wire(part.id),
            "type": "function",
            "function": {"name": name, "arguments": arguments_text(arguments)},
        }
        if part.cache:
            self.target.drop("cache_control")
        signature = part.signature
        if signature is not None and signature.origin is Format.GEMINI and "gemini" in self.target.model:
            call["extra_content"] = {"google": {"thought_signature": signature.data}}
        return call


def write_request(request: ir.Request, target: Target) -> dict[str, Any]:
    names = ToolNames(Format.OPENAI_CHAT)
    target.context.tools = names.back
    writer = _Messages(target, names)
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
    _limits(document, request, target)
    _reasoning(document, request, target)
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
    limited = len(allowed) > 1 or (allowed and choice is not None and choice.mode != "required")
    # Compatible hosts do not know lists of allowed tools, so only those are offered.
    offered = [t for t in request.tools if not limited or t.name in allowed]
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
        if reasons:
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


def _reasoning(document: dict[str, Any], request: ir.Request, target: Target) -> None:
    wanted = request.reasoning
    effort = word(wanted) if wanted else None
    if wanted is None or (effort is None and not wanted.enabled):
        return
    if never_reasons(target.model) or target.lacks("thinking"):
        target.drop("reasoning", effort != "none")
        return
    if effort is None:
        # The model decides, which it does without being told.
        return
    chosen = nearest(target.model, effort)
    if effort == "none" and chosen != "none":
        if not is_openai_reasoning(target.model):
            target.drop("reasoning")
            return
        target.note(f"reasoning: {chosen} is the least that {target.model} takes")
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
