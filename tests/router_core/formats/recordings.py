"""What recorded answers mean, read off their own formats with nothing of the product's code."""

from __future__ import annotations

import json
from typing import Any

from router_core.formats import Format
from tests.router_core.formats.meaning import STOPS, Meaning
from tests.router_core.wire import Pair


def documents(pair: Pair) -> list[Any]:
    """The JSON values of a recorded answer, in order."""
    if not pair.streams:
        value = json.loads(pair.response)
        return value if isinstance(value, list) else [value]
    found = []
    for line in pair.response.decode().replace("\r\n", "\n").split("\n"):
        text = line.removeprefix("data:").strip()
        if line.startswith("data:") and text != "[DONE]":
            found.append(json.loads(text))
    return found


def meaning(pair: Pair) -> Meaning:
    return _READERS[pair.format](documents(pair)).settle()


def _anthropic(events: list[Any]) -> Meaning:
    if events[0].get("type") == "message":
        message = events[0]
        blocks, usage, stop = message["content"], message["usage"], message["stop_reason"]
    else:
        blocks, usage, stop = _anthropic_stream(events)
    said = Meaning(stop=STOPS[stop])
    for block in blocks:
        match block["type"]:
            case "text":
                said.text += block["text"]
            case "tool_use":
                said.calls.append((block["name"], block["input"]))
            case "thinking":
                said.reasoning += block["thinking"]
                said.signatures += bool(block.get("signature"))
            case "redacted_thinking":
                said.signatures += 1
    said.cached = usage.get("cache_read_input_tokens") or 0
    said.prompt = usage["input_tokens"] + said.cached + (usage.get("cache_creation_input_tokens") or 0)
    said.output = usage["output_tokens"]
    return said


def _anthropic_stream(events: list[Any]) -> tuple[list[Any], dict[str, Any], str | None]:
    blocks: list[Any] = []
    under_way: dict[int, Any] = {}
    usage: dict[str, Any] = {}
    stop = None
    for event in events:
        match event["type"]:
            case "message_start":
                # A second one begins again; what was not finished is void.
                blocks = [b for b in blocks if all(b is not u for u in under_way.values())]
                under_way = {}
                usage = dict(event["message"]["usage"])
                blocks += event["message"]["content"]
            case "content_block_start":
                block = under_way[event["index"]] = dict(event["content_block"])
                block["json"] = ""
                blocks.append(block)
            case "content_block_delta":
                block, delta = under_way[event["index"]], event["delta"]
                match delta["type"]:
                    case "text_delta":
                        block["text"] += delta["text"]
                    case "thinking_delta":
                        block["thinking"] += delta["thinking"]
                    case "signature_delta":
                        block["signature"] = delta["signature"]
                    case "input_json_delta":
                        block["json"] += delta["partial_json"]
            case "content_block_stop":
                block = under_way.pop(event["index"])
                if block["json"]:
                    block["input"] = _object(block["json"])
            case "message_delta":
                stop = event["delta"]["stop_reason"]
                usage.update({k: v for k, v in event["usage"].items() if v is not None})
    for block in under_way.values():
        block["input"] = _object(block["json"]) if block["json"] else {}
    return blocks, usage, stop


def _chat(chunks: list[Any]) -> Meaning:
    said = Meaning()
    usage: dict[str, Any] = {}
    calls: list[dict[str, Any]] = []
    for chunk in chunks:
        usage = chunk.get("usage") or (chunk.get("x_groq") or {}).get("usage") or usage
        for choice in chunk["choices"]:
            if choice.get("index"):
                said.more.append(choice["message"]["content"])
                continue
            delta = choice.get("delta") or choice.get("message") or {}
            content = delta.get("content") or ""
            for block in content if isinstance(content, list) else [{"type": "text", "text": content}]:
                if block["type"] == "thinking":
                    said.reasoning += "".join(t["text"] for t in block["thinking"])
                else:
                    said.text += block["text"]
            said.reasoning += delta.get("reasoning_content") or delta.get("reasoning") or ""
            said.refusal += delta.get("refusal") or ""
            for detail in delta.get("reasoning_details") or ():
                said.signatures += bool(detail.get("signature") or detail.get("data"))
            for fragment in delta.get("tool_calls") or ():
                if fragment.get("id") and all(c["id"] != fragment["id"] for c in calls):
                    calls.append({"id": fragment["id"], "name": "", "text": ""})
                calls[-1]["name"] = fragment["function"].get("name") or calls[-1]["name"]
                calls[-1]["text"] += fragment["function"].get("arguments") or ""
            if choice.get("finish_reason"):
                said.stop = STOPS[choice["finish_reason"]]
    said.calls = [(call["name"], _object(call["text"] or "{}")) for call in calls]
    said.prompt = usage.get("prompt_tokens", 0)
    said.output = usage.get("completion_tokens", 0)
    reasoning = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
    beyond = usage.get("total_tokens", 0) - said.prompt - said.output
    if reasoning > said.output or (reasoning and beyond == reasoning):
        said.output += reasoning
    elif beyond > 0 and not reasoning:
        said.output += beyond
    details = usage.get("prompt_tokens_details") or {}
    said.cached = (
        details.get("cached_tokens")
        or usage.get("prompt_cache_hit_tokens")
        or usage.get("cached_tokens")
        or 0
    )
    return said


def _responses(events: list[Any]) -> Meaning:
    response = events[0]
    if response.get("object") != "response":
        items = {e["output_index"]: e["item"] for e in events if e["type"] == "response.output_item.done"}
        response = events[-1]["response"]
        if not response.get("output"):
            response["output"] = [items[number] for number in sorted(items)]
    incomplete = response.get("incomplete_details") or {}
    said = Meaning(stop=STOPS[incomplete.get("reason") or response["status"]])
    for item in response["output"]:
        match item["type"]:
            case "message":
                for block in item["content"]:
                    said.text += block.get("text", "")
                    said.refusal += block.get("refusal", "")
            case "function_call":
                said.calls.append((item["name"], _object(item["arguments"])))
            case "custom_tool_call":
                said.calls.append((item["name"], item["input"]))
            case "reasoning":
                summary = "\n\n".join(block["text"] for block in item.get("summary") or ())
                said.reasoning += summary or "".join(block["text"] for block in item.get("content") or ())
                said.signatures += bool(item.get("encrypted_content"))
    usage = response["usage"]
    said.prompt, said.output = usage["input_tokens"], usage["output_tokens"]
    said.cached = usage["input_tokens_details"]["cached_tokens"]
    return said


def _gemini(chunks: list[Any]) -> Meaning:
    said = Meaning()
    usage: dict[str, Any] = {}
    partial: dict[str, Any] | None = None
    for chunk in chunks:
        usage |= chunk.get("usageMetadata", {})
        if chunk.get("promptFeedback", {}).get("blockReason"):
            said.stop = "filter"
        for candidate in chunk.get("candidates", ())[:1]:
            for part in candidate.get("content", {}).get("parts", ()):
                said.signatures += bool(part.get("thoughtSignature"))
                call = part.get("functionCall")
                if call is not None:
                    if call.get("name"):
                        partial = dict(call.get("args") or {})
                        said.calls.append((call["name"], partial))
                    for piece in call.get("partialArgs", ()):
                        assert partial is not None
                        key = piece["jsonPath"].removeprefix("$.")
                        partial[key] = partial.get(key, "") + piece["stringValue"]
                elif part.get("thought"):
                    said.reasoning += part["text"]
                else:
                    said.text += part.get("text", "")
            if candidate.get("finishReason"):
                said.stop = STOPS[candidate["finishReason"]]
    said.prompt = usage.get("promptTokenCount", 0) + usage.get("toolUsePromptTokenCount", 0)
    said.cached = usage.get("cachedContentTokenCount", 0)
    said.output = usage.get("candidatesTokenCount", 0) + usage.get("thoughtsTokenCount", 0)
    return said


def _object(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


_READERS = {
    Format.ANTHROPIC: _anthropic,
    Format.OPENAI_CHAT: _chat,
    Format.OPENAI_RESPONSES: _responses,
    Format.GEMINI: _gemini,
}
