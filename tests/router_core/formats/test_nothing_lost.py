"""Every field of the SDKs' request types is carried, listed, or refused, whatever format it goes to."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from anthropic.types.beta import BetaContentBlockParam, BetaToolUnionParam
from anthropic.types.beta.message_create_params import MessageCreateParamsBase
from google.genai import types as google
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolUnionParam
from openai.types.chat.completion_create_params import CompletionCreateParamsBase
from openai.types.responses import ResponseInputItemParam, ToolParam
from openai.types.responses.response_create_params import ResponseCreateParamsBase

from router_core.errors import Refusal
from router_core.formats import Format, Operation
from router_core.formats.translate import request
from tests.router_core.formats import ollama_types
from tests.router_core.formats.request_types import Case, cases, fields, values

MODELS = {
    Format.ANTHROPIC: "claude-sonnet-4-5",
    Format.OPENAI_CHAT: "kimi-k2",
    Format.OPENAI_RESPONSES: "gpt-5.2",
    Format.GEMINI: "gemini-3-pro-preview",
}
A, C, R, G = MODELS
O = Format.OLLAMA  # noqa: E741
USER = {"role": "user", "content": "hi"}
CALL = {"type": "tool_use", "id": "x", "name": "lookup", "input": {}}
CHAT_CALL = {"id": "x", "type": "function", "function": {"name": "lookup", "arguments": "{}"}}
ITEM = {"type": "message", "role": "user", "content": "hi"}
CALL_ITEM = {"type": "function_call", "call_id": "x", "name": "lookup", "arguments": "{}"}
CONTENT = {"role": "user", "parts": [{"text": "hi"}]}
BASES: dict[Format, dict[str, Any]] = {
    A: {"model": "m", "max_tokens": 100, "messages": [USER], "tools": [{"name": "lookup"}]},
    C: {
        "model": "m",
        "messages": [USER],
        "tools": [{"type": "function", "function": {"name": "lookup"}}],
        "logprobs": True,
    },
    R: {"model": "m", "input": [ITEM], "tools": [{"type": "function", "name": "lookup"}]},
    O: {
        "model": "m",
        "messages": [USER],
        "tools": [{"type": "function", "function": {"name": "lookup"}}],
    },
    G: {"contents": [CONTENT], "tools": [{"functionDeclarations": [{"name": "lookup"}]}]},
}
SILENT = {
    # About the transport, or Google's and OpenAI's own bookkeeping.
    r"\.betas",
    r"\.labels",
    r"\.include",
    r"\.stream_options\b.*",
    r"\.logprobs",
    r"\.top_logprobs",
    r"\.truncation",
    r"\.stream",
    r"\.input(<\w+>)?\.(id|status|execution)",
    # What the others do anyway: answers that follow a schema do so strictly, reasoning is shown if it comes.
    r".*json_schema>?\.strict",
    r"\.reasoning\.(summary|generate_summary)",
    # The call says what its result says, the schema has no such property, all names of images are one.
    r"\.input<\w+_call_output>\.(name|namespace|call_id)",
    r"\.tools\.input_schema<object>\.required",
    r"\.contents\.(inline|file)Data\.displayName",
    # Google's schemas without anything else in them; the order of fields in an answer.
    r".*\.(parameters|responseSchema)\.(type|nullable|propertyOrdering)",
    # About the machine that runs Ollama's models; which call a result answers, the order says too.
    r"\.keep_alive",
    r"\.options\.(num_(ctx|gpu|thread|batch)|main_gpu|low_vram|use_mmap|use_mlock|numa)",
    r"\.messages<tool>\.(tool_name|tool_call_id)",
    r"\.messages<assistant>\.tool_calls\[\]\.(function\.description|id)",
    # The least that a tool can say.
    r"\.tools(<tool_search>)?\.(type|description|parameters)",
    r"\.input<user>\.type",
    # Means nothing without another field.
    r"\.generationConfig\.logprobs",
    r"\.toolConfig\.functionCallingConfig\.allowedFunctionNames",
}
"""Paths of fields whose loss changes no answer."""


def _anthropic_messages(block: dict[str, Any]) -> list[Any]:
    if block["type"] == "tool_result":
        return [USER, {"role": "assistant", "content": [CALL]}, {"role": "user", "content": [block]}]
    if block["type"] in ("text", "image", "document", "search_result"):
        return [{"role": "user", "content": [block]}]
    return [USER, {"role": "assistant", "content": [block, {"type": "text", "text": "so"}]}, USER]


def _chat_messages(message: dict[str, Any]) -> list[Any]:
    calling = [{"role": "assistant", "tool_calls": [CHAT_CALL]}] if message["role"] == "tool" else []
    message = {**message, "tool_call_id": "x"} if calling else message
    return [USER, *calling, message, USER]


def _items(item: dict[str, Any]) -> list[Any]:
    if str(item.get("type")).endswith("call_output"):
        return [ITEM, CALL_ITEM, {**item, "call_id": "x"}]
    return [ITEM, item, ITEM]


def _contents(part: dict[str, Any]) -> list[Any]:
    calling = {"role": "model", "parts": [{"functionCall": {"name": "lookup"}}]}
    if "functionResponse" in part:
        return [CONTENT, calling, {"role": "user", "parts": [part]}]
    if not part or not part.keys().isdisjoint(("text", "inlineData", "fileData", "videoMetadata")):
        return [{"role": "user", "parts": [{"text": "hi"}, *([part] if part else [])]}]
    return [CONTENT, {"role": "model", "parts": [part, {"text": "so"}]}, CONTENT]


def _ollama_messages(message: dict[str, Any]) -> list[Any]:
    call = {"function": {"name": "lookup", "arguments": {}}}
    calling = (
        [{"role": "assistant", "content": "", "tool_calls": [call]}] if message["role"] == "tool" else []
    )
    return [USER, *calling, message, USER]


def _within(
    field: str, type_: Any, place: Callable[[Any], Any] = lambda value: value
) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    for path, without, given in cases(type_):
        yield f".{field}{path}", {field: place(without)}, {field: place(given)}


def _top(type_: Any, *others: str) -> Iterator[Case]:
    for name, (hint, _) in fields(type_).items():
        if name not in others:
            yield from ((f".{name}", {}, {name: value}) for value in values(hint, name))
            for path, without, given in cases(hint, name):
                yield f".{name}{path}", {name: without}, {name: given}


def _all(client: Format) -> Iterator[Case]:
    match client:
        case Format.ANTHROPIC:
            yield from _top(MessageCreateParamsBase, "model", "messages", "tools")
            yield from _within("tools", BetaToolUnionParam, lambda tool: [tool])
            yield from _within("messages", BetaContentBlockParam, _anthropic_messages)
        case Format.OPENAI_CHAT:
            yield from _top(CompletionCreateParamsBase, "model", "messages", "tools")
            yield from _within("tools", ChatCompletionToolUnionParam, lambda tool: [tool])
            yield from _within("messages", ChatCompletionMessageParam, _chat_messages)
        case Format.OPENAI_RESPONSES:
            yield from _top(ResponseCreateParamsBase, "model", "input", "tools")
            yield from _within("tools", ToolParam, lambda tool: [tool])
            yield from _within("input", ResponseInputItemParam, _items)
        case Format.OLLAMA:
            yield from _top(ollama_types.Chat, "model", "messages", "tools")
            yield from _within("tools", ollama_types.Tool, lambda tool: [tool])
            yield from _within("messages", ollama_types.Message, _ollama_messages)
        case Format.GEMINI:
            yield from _within("generationConfig", google.GenerationConfig)
            yield from _within("tools", google.Tool, lambda tool: [tool])
            yield from _within("toolConfig", google.ToolConfig)
            yield from _within("contents", google.Part, _contents)
            yield from _within("safetySettings", google.SafetySetting, lambda setting: [setting])


type Outcome = tuple[Any, list[str], Any]
"""(what the upstream is told, what is listed, what is kept for the answer)"""


def _outcome(client: Format, upstream: Format, document: dict[str, Any]) -> Outcome | None:
    """None for a request that is refused."""
    made = request(
        client, upstream, Operation.GENERATE, document, model=MODELS[upstream], stream=False, now=1.0
    )
    if isinstance(made, Refusal):
        return None
    context = made.context
    kept = (context.stop, context.hide_reasoning, context.include_usage, context.customs)
    return made.document, [*made.dropped(), *made.notes], kept


def _listed(path: str, listed: list[str]) -> bool:
    """Whether the field, or something that it is in, is listed."""
    words = set(re.findall(r"\w+", path))
    if "prompt_cache_breakpoint" in words:
        words.add("cache_control")
    if "reasoning" in words or "thinking" in words:
        words.add("reasoning of another model is left out")
    return any(
        re.findall(r"\w+", name)[-1] in words
        or name.partition(":")[0] in words
        or "the other provider ran" in name
        for name in listed
    )


@pytest.mark.parametrize("upstream", MODELS, ids=str)
@pytest.mark.parametrize("client", BASES, ids=str)
def test_a_field_is_carried_or_listed_or_refused(client: Format, upstream: Format) -> None:
    if client is upstream:
        return
    silent: dict[str, bool] = {}
    for path, without, given in _all(client):
        before = _outcome(client, upstream, {**BASES[client], **without})
        after = _outcome(client, upstream, {**BASES[client], **given})
        lost = after is not None and after == before and not _listed(path, after[1])
        # One of a field's values may be what goes without saying.
        silent[path] = silent.get(path, True) and lost
    assert len(silent) > 40
    lost_fields = [path for path, lost in silent.items() if lost]
    unlisted = [path for path in lost_fields if not any(re.fullmatch(known, path) for known in SILENT)]
    assert not unlisted, "\n".join(unlisted)
