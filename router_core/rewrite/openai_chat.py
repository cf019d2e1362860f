"""Requests to OpenAI's Chat Completions and to the many that look like it.

https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final

from router_core.formats import Format, Operation, effort
from router_core.json_document import Json
from router_core.rewrite import shortening
from router_core.rewrite.context import Context
from router_core.rewrite.openai_reasoning import echo_reasoning, effort_dialect, history_field
from router_core.rewrite.rule import DROPPED, Rule, When
from router_core.rewrite.trees import at, objects, without

USAGE: Final = "chat-include-usage"
_SYSTEM: Final = "You are a helpful assistant."
_NO_CHOICES: Final = re.compile(rb'"choices"\s*:\s*\[\s*\]')
_MISTRAL_ID: Final = re.compile(r"[A-Za-z0-9]{9}")

type Body = dict[str, Any]

_MAX_TOKENS_ONLY: Final = (
    "mistral",
    "deepseek",
    "glm",
    "moonshot",
    "kimi",
    "qwen",
    "minimax",
    "codebuddy",
    "iflow",
)
"""Providers whose references know `max_tokens` alone; some ignore the other, which is no limit at all."""


def max_tokens_field(body: Body, context: Context) -> Body:
    if context.among(_MAX_TOKENS_ONLY):
        old, new = "max_completion_tokens", "max_tokens"
    elif effort.is_openai_reasoning(context.model):
        old, new = "max_tokens", "max_completion_tokens"
    else:
        return body
    if old not in body:
        return body
    if new in body:
        return without(body, old)
    return {(new if k == old else k): v for k, v in body.items()}


def include_usage(body: Body, context: Context) -> Body:
    if not context.upstream_streams or body.get("stream") is not True:
        return body
    options = body.get("stream_options")
    if options is not None and not isinstance(options, dict):
        return body
    if options and options.get("include_usage") is True:
        return body
    context.state[USAGE] = True
    return body | {"stream_options": (options or {}) | {"include_usage": True}}


def unasked_usage(value: Json, context: Context) -> Json:
    return DROPPED if isinstance(value, dict) and value.get("choices") == [] and value.get("usage") else value


def drop_stream_options(body: Body, context: Context) -> Body:
    return without(body, "stream_options")


def force_stream(body: Body, context: Context) -> Body:
    context.state["force-stream"] = True
    if context.format is Format.GEMINI or body.get("stream") is True:
        return body
    return body | {"stream": True}


def ensure_system(body: Body, context: Context) -> Body:
    messages = body.get("messages")
    if not isinstance(messages, list) or any(
        m.get("role") in ("system", "developer") for m in objects(messages)
    ):
        return body
    return body | {"messages": [{"role": "system", "content": _SYSTEM}, *messages]}


_VENDOR_DROPS: Final[dict[str, tuple[str, ...]]] = {
    "cerebras": ("client_metadata",),
    "mistral": ("client_metadata", "store", "user", "service_tier", "prompt_cache_key", "safety_identifier"),
    "groq": ("logprobs", "top_logprobs", "logit_bias"),
}
_VENDORS: Final = (*_VENDOR_DROPS, "xai")
_XAI_REASONING: Final = re.compile(r"grok-(?:4|3-mini|code)")


def vendor_parameters(body: Body, context: Context) -> Body:
    name = context.among(_VENDORS)
    body = without(body, *_VENDOR_DROPS.get(name or "", ()))
    if name == "xai" and _XAI_REASONING.match(context.model):
        body = without(body, "presence_penalty", "frequency_penalty", "stop")
    if name == "mistral" and "seed" in body:
        body = without(body, "seed") | {"random_seed": body["seed"]}
    if name == "groq":
        body = at(
            body,
            "messages",
            lambda m: without(m, "name") if isinstance(m, dict) and m.get("role") != "tool" else m,
        )
    return body


def drop_empty_tools(body: Body, context: Context) -> Body:
    return without(body, "tools", "tool_choice") if body.get("tools") == [] else body


def tool_choice_while_thinking(body: Body, context: Context) -> Body:
    choice = body.get("tool_choice")
    if body.get("enable_thinking") is True and (choice == "required" or isinstance(choice, dict)):
        return body | {"tool_choice": "auto"}
    return body


def mistral_ids(body: Body, context: Context) -> Body:
    def short(item: dict[str, Any], key: str) -> dict[str, Any]:
        value = item.get(key)
        if not isinstance(value, str) or _MISTRAL_ID.fullmatch(value):
            return item
        return item | {key: hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:9]}

    def message(value: Json) -> Json:
        if not isinstance(value, dict):
            return value
        return at(
            short(value, "tool_call_id"), "tool_calls", lambda c: short(c, "id") if isinstance(c, dict) else c
        )

    return at(body, "messages", message)


def shorten_names(body: Body, context: Context) -> Body:
    shorten = shortening.shortener(context)

    def call(value: Json) -> Json:
        return shortening.named(value, shorten)

    def message(value: Json) -> Json:
        return at(value, "tool_calls", call) if isinstance(value, dict) else value

    return at(shortening.tools(body, shorten, nested=True), "messages", message)


_CHAT: Final = (Format.OPENAI_CHAT,)
_GENERATE: Final = ((None, Operation.GENERATE),)
_NINE: Final = "9router 0.5.69"

RULES: Final = (
    Rule(
        name="force-stream",
        reason="The upstream refuses requests that do not stream; a client that did not ask for a stream gets one "
        "body, folded from it.",
        source='CodeBuddy\'s {"code":11101,"msg":"Non-stream chat request is currently not supported"}; Codex',
        when=When(surface=_GENERATE, quirk=("force_stream",)),
        request=force_stream,
        messages=False,
    ),
    Rule(
        name="chat-max-tokens",
        reason="OpenAI's reasoning models take max_completion_tokens and refuse max_tokens; other providers know only "
        "max_tokens.",
        source="https://platform.openai.com/docs/api-reference/chat/create#chat-create-max_completion_tokens",
        when=When(format=_CHAT, surface=_GENERATE),
        request=max_tokens_field,
    ),
    Rule(
        name=USAGE,
        reason="Without it a stream says nothing about tokens. The chunk that it adds is taken out again for a client "
        "that did not ask for it.",
        source="https://platform.openai.com/docs/api-reference/chat/create#chat-create-stream_options",
        when=When(format=_CHAT, surface=_GENERATE, unless_quirk=("no_stream_options", "usage_include")),
        request=include_usage,
        reads=("stream_options",),
        event=unasked_usage,
        armed=lambda context: (
            bool(context.state.get(USAGE))
            and context.streams
            and context.exchange.surface.format is Format.OPENAI_CHAT
        ),
        client_side=False,
        concerns=lambda context: lambda raw: _NO_CHOICES.search(raw) is not None,
    ),
    Rule(
        name="chat-no-stream-options",
        reason="The upstream answers 422 to unknown fields and reports usage by itself.",
        source="https://docs.mistral.ai/api",
        when=When(format=_CHAT, surface=_GENERATE, quirk=("no_stream_options",)),
        request=drop_stream_options,
    ),
    Rule(
        name="chat-ensure-system",
        reason="The upstream calls a conversation without a system message an invalid request.",
        source="CodeBuddy's code 11101, found by capture and replay",
        when=When(format=_CHAT, surface=_GENERATE, quirk=("ensure_system",)),
        request=ensure_system,
        reads=("messages",),
    ),
    Rule(
        name="chat-reasoning-history",
        reason="Providers read the reasoning of earlier turns in a field of their own and refuse the others': "
        "reasoning_content, reasoning, or neither.",
        source=_NINE + "; api-docs.deepseek.com, openrouter.ai/docs, console.groq.com/docs/reasoning",
        when=When(format=_CHAT, surface=_GENERATE),
        request=history_field,
        reads=("messages",),
    ),
    Rule(
        name="chat-echo-reasoning",
        reason="With tools and thinking the upstream wants the reasoning of earlier turns back and answers 400 where a "
        "client dropped it; a blank stands for it.",
        source=_NINE + ", reasoningInject",
        when=When(format=_CHAT, surface=_GENERATE, quirk=("echo_reasoning",)),
        request=echo_reasoning,
        reads=("messages",),
    ),
    Rule(
        name="chat-effort-dialect",
        reason="How much to think is reasoning_effort, reasoning.effort, thinking.type or enable_thinking, each unknown "
        "to the others' providers.",
        source=_NINE + ", unified thinking",
        when=When(format=_CHAT, surface=_GENERATE),
        request=effort_dialect,
    ),
    Rule(
        name="chat-vendor-parameters",
        reason="Parameters that a provider answers with 400 or 422.",
        source=_NINE
        + " (dropClientMetadata); console.groq.com/docs/openai, docs.x.ai/docs/guides/reasoning, "
        "docs.mistral.ai/api",
        when=When(format=_CHAT, surface=_GENERATE, kin=_VENDORS),
        request=vendor_parameters,
        reads=("messages",),
    ),
    Rule(
        name="chat-empty-tools",
        reason="An empty list of tools is a 400, or stalls.",
        source="CLIProxyAPI internal/runtime/executor/iflow_executor.go",
        when=When(format=_CHAT, surface=_GENERATE, quirk=("drop_empty_tools",)),
        request=drop_empty_tools,
        reads=("tools",),
    ),
    Rule(
        name="chat-thinking-tool-choice",
        reason="The upstream refuses to be told which tool to use while it thinks.",
        source=_NINE + ", qwen executor",
        when=When(format=_CHAT, surface=_GENERATE, quirk=("tool_choice_auto_when_thinking",)),
        request=tool_choice_while_thinking,
        reads=("tool_choice",),
    ),
    Rule(
        name="mistral-tool-ids",
        reason='Mistral answers 422 unless ids of tool calls are nine letters and digits; others write "call_...".',
        source="https://docs.mistral.ai/capabilities/function_calling",
        when=When(format=_CHAT, surface=_GENERATE, quirk=("mistral_tool_ids",)),
        request=mistral_ids,
        reads=("messages",),
    ),
    Rule(
        name="chat-long-names",
        reason="OpenAI refuses names of functions over 64 characters. The answer gets the client's own names back.",
        source="https://platform.openai.com/docs/api-reference/chat/create#chat-create-tools",
        when=When(format=_CHAT, surface=_GENERATE),
        request=shorten_names,
        reads=("tools", "tool_choice", "messages"),
        answer=shortening.restore,
        event=shortening.restore,
        armed=lambda context: bool(context.state.get(shortening.STATE)),
        # A client does not know the short names, however long the answer is.
        whole=True,
        client_side=False,
        concerns=shortening.repeated,
    ),
)
