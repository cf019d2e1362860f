"""Chat Completions requests, written so that OpenAI and the hosts that imitate it take them."""

from __future__ import annotations

from typing import Any

from router_core.formats import custom_tools, ir
from router_core.formats.context import Target
from router_core.formats.conversation import ERROR_PREFIX, plain, settle
from router_core.formats.effort import is_openai, is_openai_reasoning, nearest, never_reasons, word
from router_core.formats.ir import Format
from router_core.formats.names import CALL_IDS, OPENAI_CHAT_ID_LIMIT, Rule, ToolNames, call_id, short_id
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
        # Many compatible hosts take only strings; OpenAI and hosts with cache marks take parts.
        self.parts = self.openai or "cache_control" in target.quirks
        rule = CALL_IDS[Format.OPENAI_CHAT]
        self.ids = Rule(rule.forbidden, OPENAI_CHAT_ID_LIMIT) if self.openai else rule

    def id(self, value: str) -> str:
        return short_id(value) if "short_tool_ids" in self.target.quirks else call_id(value, self.ids)

    def text(self, texts: list[ir.Text]) -> str | list[dict[str, Any]]:
        """Text as one string, or as parts where there are several and the host takes them."""
        marks = "cache_control" in self.target.quirks and any(text.cache for text in texts)
        if (len(texts) == 1 or not self.parts) and not marks:
            for text in texts:
                self.target.drop("cache_control", text.cache)
            return "\n\n".join(text.text for text in texts)
        return [write_text(text, self.target) for text in texts]

    def user(self, turn: ir.Turn) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = []
        shown: list[dict[str, Any]] = []
        rest: list[ir.Part] = []
        for part in turn.parts:
            if type(part) is ir.ToolResult:
                messages.append(self.result(part, shown))
            else:
                rest.append(part)
        texts = [part for part in rest if type(part) is ir.Text and part.text]
        content: str | list[dict[str, Any]]
        if shown or any(type(part) is ir.Media for part in rest):
            content = shown
            for part in rest:
                if type(part) is ir.Media:
                    content.append(write_media(part, self.target))
                elif type(part) is ir.Text and part.text:
                    content.append(write_text(part, self.target))
        else:
            content = self.text(texts) if texts else ""
        if content or not messages:
            messages.append({"role": turn.role, "content": content})
        return messages

    def result(self, part: ir.ToolResult, shown: list[dict[str, Any]]) -> dict[str, Any]:
        """A tool message; its media go into `shown`, for a user message after it."""
        text = plain(part.content)
        media = [inner for inner in part.content if type(inner) is ir.Media] if part.content else []
        if media:
            if not text:
                text = "[the result is in the next message]"
            shown.append({"type": "text", "text": f"[result of tool call {self.id(part.id)}]"})
            shown += [write_media(inner, self.target) for inner in media]
            self.target.note("tool results: media follow in a user message")
        if part.error:
            text = ERROR_PREFIX + text
        message = {"role": "tool", "tool_call_id": self.id(part.id), "content": text}
        return marked(message, None, self.target)

    def assistant(self, turn: ir.Turn) -> dict[str, Any] | None:
        message: dict[str, Any] = {"role": "assistant", "content": None}
        texts = [part for part in turn.parts if type(part) is ir.Text and part.text]
        refusals = [part.text for part in turn.parts if type(part) is ir.Refused and part.text]
        if refusals and self.openai:
            message["refusal"] = "".join(refusals)
        elif refusals:
            texts += [ir.Text(text) for text in refusals]
        if texts:
            message["content"] = self.text(texts)
        calls = [self.call(part) for part in turn.parts if type(part) is ir.ToolCall]
        if calls:
            message["tool_calls"] = calls
        for part in turn.parts:
            if type(part) is ir.ServerTool:
                self.target.note(f"{part.tool}: what the other provider ran is left out")
        thinking = [part for part in turn.parts if type(part) is ir.Thinking]
        if not reasoning.write_message(message, thinking, self.target.model):
            self.target.note("reasoning of another model is left out")
        if not texts and not calls and len(message) == 2:
            return None
        return message

    def call(self, part: ir.ToolCall) -> dict[str, Any]:
        custom = part.kind == "custom"
        arguments = custom_tools.wrap(part.arguments) if custom else part.arguments
        name = self.names.wire(part.name, part.namespace, custom=custom)
        call: dict[str, Any] = {
            "id": self.id(part.id),
            "type": "function",
            "function": {"name": name, "arguments": arguments_text(arguments)},
        }
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
    if system:
        messages.append({"role": "system", "content": writer.text(system)})
    for turn in settle(request.turns, target.notes):
        if turn.role == "assistant":
            message = writer.assistant(turn)
            messages += [message] if message else []
        else:
            messages += writer.user(turn)
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
        document["modalities"] = request.modalities
    document.update(request.openai)
    if target.stream:
        document["stream"] = True
        document["stream_options"] = {"include_usage": True}
    return document


def _tools(document: dict[str, Any], request: ir.Request, names: ToolNames, target: Target) -> None:
    for use in request.server_tools:
        if use.tool == "web_search" and "search" in target.model:
            document["web_search_options"] = _search_options(use.options)
        else:
            target.drop(f"tools[{use.name}]")
    choice = request.tool_choice
    allowed = set(choice.names or ()) if choice else set()
    limited = len(allowed) > 1 or (allowed and choice is not None and choice.mode != "required")
    # Compatible hosts do not know lists of allowed tools, so only those are offered.
    offered = [t for t in request.tools if not limited or t.name in allowed]
    if not offered:
        if choice is not None and choice.mode == "required" and request.server_tools:
            raise ir.Unsupported(f"a forced {request.server_tools[0].name}, which runs at another provider")
        return
    target.require("tools", "tools")
    document["tools"] = [_tool(tool, names) for tool in offered]
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


def _tool(tool: ir.Tool, names: ToolNames) -> dict[str, Any]:
    custom = tool.kind == "custom"
    function: dict[str, Any] = {"name": names.wire(tool.name, tool.namespace, custom=custom)}
    text = custom_tools.description(tool)
    if text:
        function["description"] = text
    function["parameters"] = custom_tools.as_schema(tool) if custom else object_root(tool.schema)
    if tool.strict is not None and (not tool.strict or is_strict(function["parameters"])):
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


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
