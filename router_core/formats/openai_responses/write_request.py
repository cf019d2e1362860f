"""Responses requests, written so that nothing needs to be stored: ``store`` is false, reasoning travels."""

from __future__ import annotations

from typing import Any, Final

from router_core.formats import ir
from router_core.formats.context import Target
from router_core.formats.conversation import ERROR_PREFIX, JSON_WORD, LED_NOWHERE, for_upstream, says_json
from router_core.formats.effort import fixes_sampling, is_openai_reasoning, nearest, never_reasons, word
from router_core.formats.ir import Format
from router_core.formats.names import CALL_IDS, CallIds, ToolNames
from router_core.formats.openai_responses.content import write_media, write_text
from router_core.formats.openai_responses.tools import write_tools
from router_core.formats.schema import is_strict
from router_core.formats.shape import arguments_text

MIN_TOKENS: Final = 16
"""The least ``max_output_tokens`` that OpenAI takes."""
type Items = list[dict[str, Any]]


def write_request(request: ir.Request, target: Target) -> dict[str, Any]:
    if request.n > 1:
        raise ir.Unsupported("more than one choice (n)")
    if request.modalities and set(request.modalities) - {"text"}:
        raise ir.Unsupported(f"answers in {', '.join(request.modalities)}")
    names = ToolNames(Format.OPENAI_RESPONSES)
    items: Items = []
    ids = CallIds(CALL_IDS[Format.OPENAI_RESPONSES])
    for turn in for_upstream(request.turns, Format.OPENAI_RESPONSES, target.notes):
        if type(turn.content) is str:
            if turn.content or turn.role == "user":
                role = "developer" if turn.role == "system" else turn.role
                items.append({"type": "message", "role": role, "content": turn.content})
        elif turn.role == "assistant":
            items += _assistant(turn, names, ids, target)
        else:
            items += _given(turn, ids, target)
    document: dict[str, Any] = {"model": target.model, "input": items}
    system = [text for text in request.system if text.text]
    if (
        request.response_format
        and request.response_format.kind == "json"
        and not says_json(request, system=False)
    ):
        # OpenAI looks for the word in the input only.
        items.append({"type": "message", "role": "developer", "content": JSON_WORD})
    for text in system:
        target.drop("cache_control", text.cache)
    if system:
        words = "\n\n".join(text.text for text in system)
        if items:
            document["instructions"] = words
        else:
            # OpenAI wants an input.
            items.append({"type": "message", "role": "developer", "content": words})
    write_tools(document, request, names, target)
    target.context.tools = names.back
    _text(document, request)
    _reasoning(document, request, target)
    _limits(document, request, target)
    for name in ("user", "service_tier"):
        value = getattr(request, name)
        if value is not None:
            document[name] = value
    if request.user and len(request.user) > 64:
        # OpenAI's limit; a longer one is an identity of another provider.
        target.drop("user")
        del document["user"]
    document["store"] = False
    document.update(request.openai)
    if target.stream:
        document["stream"] = True
    return document


def _given(turn: ir.Turn, ids: CallIds, target: Target) -> Items:
    """Tool results, and what the user or the system says."""
    items: Items = []
    content: list[dict[str, Any]] = []
    for part in turn.parts:
        # The types themselves are asked: conversations have thousands of parts.
        if type(part) is ir.ToolResult:
            items.append(_result(part, ids, target))
        elif type(part) is ir.Text:
            if part.text:
                content.append(write_text(part, target))
        elif type(part) is ir.Media:
            content.append(write_media(part, target))
    if content or not items:
        role = "user" if turn.role == "user" else "developer"
        items.append({"type": "message", "role": role, "content": content})
    return items


def _result(part: ir.ToolResult, ids: CallIds, target: Target) -> dict[str, Any]:
    output: str | list[dict[str, Any]]
    if part.cache:
        target.drop("cache_control")
    if isinstance(part.content, str):
        output = ERROR_PREFIX + part.content if part.error else part.content
    else:
        output = [{"type": "input_text", "text": ERROR_PREFIX.strip()}] if part.error else []
        for inner in part.content:
            if type(inner) is ir.Media:
                output.append(write_media(inner, target))
            elif type(inner) is ir.Text:
                output.append(write_text(inner, target))
        if all(block["type"] == "input_text" for block in output):
            output = "\n".join(block["text"] for block in output)
    type_ = "custom_tool_call_output" if part.kind == "custom" else "function_call_output"
    return {"type": type_, "call_id": ids[part.id], "output": output}


def _assistant(turn: ir.Turn, names: ToolNames, ids: CallIds, target: Target) -> Items:
    items: Items = []
    for part in turn.parts:
        if type(part) is ir.ToolCall:
            items.append(_call(part, names, ids, target))
        elif type(part) is ir.Text or type(part) is ir.Refused:
            if part.text:
                items.append({"type": "message", "role": "assistant", "content": part.text})
            if type(part) is ir.Text and part.cache:
                target.drop("cache_control")
        elif type(part) is ir.Thinking:
            item = _thinking(part, target)
            if item is not None:
                items.append(item)
    while items and items[-1]["type"] == "reasoning":
        # "Item of type 'reasoning' was provided without its required following item."
        del items[-1]
        target.note(LED_NOWHERE)
    return items


def _call(part: ir.ToolCall, names: ToolNames, ids: CallIds, target: Target) -> dict[str, Any]:
    if part.cache:
        target.drop("cache_control")
    call: dict[str, Any] = {"call_id": ids[part.id], "name": names.called(part)}
    if part.kind == "custom" and isinstance(part.arguments, str):
        return {"type": "custom_tool_call", **call, "input": part.arguments}
    return {"type": "function_call", **call, "arguments": arguments_text(part.arguments)}


def _thinking(part: ir.Thinking, target: Target) -> dict[str, Any] | None:
    signature = part.signature
    if signature is None or signature.origin is not Format.OPENAI_RESPONSES or not signature.data:
        if part.text or (signature is not None and signature.data):
            target.note("reasoning of another model is left out: only its maker can read it")
        return None
    return {
        "type": "reasoning",
        "id": signature.id or target.context.id("rs_", len(signature.data)),
        "summary": [{"type": "summary_text", "text": part.text}] if part.text else [],
        "encrypted_content": signature.data,
    }


def _limits(document: dict[str, Any], request: ir.Request, target: Target) -> None:
    limit = request.max_tokens
    if limit is not None:
        if target.info and target.info.max_output_tokens:
            limit = min(limit, target.info.max_output_tokens)
        if limit < MIN_TOKENS:
            target.note(f"max_output_tokens: {MIN_TOKENS} is the least that OpenAI takes")
        document["max_output_tokens"] = max(limit, MIN_TOKENS)
    for name in ("temperature", "top_p"):
        value = getattr(request, name)
        if value is None:
            continue
        if fixes_sampling(target.model, document.get("reasoning", {}).get("effort")):
            # They take the default only ("Reasoning models", limitations).
            target.drop(name, value != 1)
        else:
            document[name] = value
    if request.stop:
        target.context.stop = request.stop
        target.note("stop sequences: the answer is cut here")
    if request.logprobs is not None:
        document.setdefault("include", []).append("message.output_text.logprobs")
        document["top_logprobs"] = request.logprobs
    for name in ("top_k", "seed", "presence_penalty", "frequency_penalty"):
        target.drop(name, getattr(request, name) is not None)


def _text(document: dict[str, Any], request: ir.Request) -> None:
    wanted = request.response_format
    text: dict[str, Any] = {}
    if wanted is not None and wanted.kind == "json":
        text["format"] = {"type": "json_object"}
    elif wanted is not None and wanted.kind == "schema":
        schema = wanted.schema or {}
        strict = is_strict(schema) if wanted.strict is None else wanted.strict
        format_ = {"type": "json_schema", "name": wanted.name or "answer", "schema": schema, "strict": strict}
        if wanted.description:
            format_["description"] = wanted.description
        text["format"] = format_
    if request.verbosity:
        text["verbosity"] = request.verbosity
    if text:
        document["text"] = text


def _reasoning(document: dict[str, Any], request: ir.Request, target: Target) -> None:
    wanted = request.reasoning
    if never_reasons(target.model) or target.lacks("thinking"):
        target.drop(
            "reasoning", wanted is not None and (wanted.enabled or word(wanted) not in (None, "none"))
        )
        return
    # Models that do not reason reject the field; models of other makers may not know it.
    if is_openai_reasoning(target.model):
        document.setdefault("include", []).append("reasoning.encrypted_content")
    if wanted is None:
        return
    reasoning: dict[str, Any] = {}
    effort = word(wanted)
    if effort is not None:
        reasoning["effort"] = nearest(target.model, effort)
        target.note_effort(effort, reasoning["effort"])
    if wanted.show and wanted.enabled is not False:
        reasoning["summary"] = "auto"
    if reasoning:
        document["reasoning"] = reasoning
