"""Anthropic Messages: https://docs.claude.com/en/docs/build-with-claude/streaming"""

from __future__ import annotations

from typing import Any, Final

from router_core.fold.events import Named, UnfoldError, arguments, concatenated, new_event
from router_core.json_document import Json, serialise
from router_core.sse import Event

_DELTAS: Final = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "signature_delta": ("signature", "signature"),
    "compaction_delta": ("content", "content"),
}
"""Delta type: (its field, the block's field)."""
_TOOLS: Final = ("tool_use", "server_tool_use", "mcp_tool_use")


def fold(events: list[Named]) -> Json:
    """The message, or None where the stream holds none."""
    message: dict[str, Any] | None = None
    blocks: dict[int, dict[str, Any]] = {}
    inputs: dict[int, list[str]] = {}
    for _, value in events:
        match value.get("type"):
            case "message_start":
                # A gateway that starts over sends a second one; the first attempt's blocks are void.
                message, blocks, inputs = dict(value["message"]), {}, {}
                for index, block in enumerate(message.get("content") or []):
                    blocks[index] = dict(block)
            case "content_block_start":
                blocks[value["index"]] = dict(value["content_block"])
            case "content_block_delta" if value["index"] in blocks:
                _extend(blocks[value["index"]], value["delta"], inputs.setdefault(value["index"], []))
            case "message_delta" if message is not None:
                message |= value.get("delta") or {}
                message |= {k: v for k, v in value.items() if k not in ("type", "delta", "usage")}
                # Cumulative; what it leaves out still holds from message_start.
                usage = {k: v for k, v in (value.get("usage") or {}).items() if v is not None}
                message["usage"] = (message.get("usage") or {}) | usage
    if message is None:
        return None
    for index, pieces in inputs.items():
        if blocks[index].get("type") in _TOOLS and "".join(pieces).strip():
            blocks[index]["input"] = arguments("".join(pieces))
    message["content"] = [blocks[index] for index in sorted(blocks)]
    return message


def _extend(block: dict[str, Any], delta: dict[str, Any], pieces: list[str]) -> None:
    kind = delta.get("type", "")
    if kind == "input_json_delta":
        pieces.append(delta.get("partial_json") or "")
    elif kind == "citations_delta":
        block["citations"] = [*(block.get("citations") or []), delta["citation"]]
    elif kind in _DELTAS:
        source, target = _DELTAS[kind]
        block[target] = concatenated(block.get(target), delta.get(source))


def unfold(body: Json) -> list[Event]:
    """The events that `body` would have come as."""
    if not isinstance(body, dict) or not isinstance(body.get("content"), list):
        raise UnfoldError("The upstream's answer is no message.", is_error=isinstance(body, dict))
    ended = {k: body.get(k) for k in ("stop_reason", "stop_sequence")}
    ended |= {
        k: body[k] for k in ("stop_details", "container", "context_management") if body.get(k) is not None
    }
    usage = body.get("usage") or {}
    begun: dict[str, Any] = {"content": [], "stop_reason": None, "stop_sequence": None}
    started = (
        {k: v for k, v in body.items() if k not in ended} | begun | {"usage": usage | {"output_tokens": 1}}
    )
    values: list[dict[str, Any]] = [{"type": "message_start", "message": started}]
    for index, block in enumerate(body["content"]):
        values += _block(index, block)
    values.append({"type": "message_delta", "delta": ended, "usage": usage})
    values.append({"type": "message_stop"})
    return [new_event(value["type"], value) for value in values]


def _block(index: int, block: Json) -> list[dict[str, Any]]:
    empty, deltas = dict(block), []
    match block.get("type"):
        case "text":
            empty["text"] = ""
            deltas = [{"type": "text_delta", "text": block.get("text", "")}]
            if block.get("citations"):
                empty["citations"] = []
                deltas += [{"type": "citations_delta", "citation": c} for c in block["citations"]]
        case "thinking":
            empty |= {"thinking": "", "signature": ""}
            deltas = [{"type": "thinking_delta", "thinking": block.get("thinking", "")}]
            deltas.append({"type": "signature_delta", "signature": block.get("signature", "")})
        case kind if kind in _TOOLS:
            empty["input"] = {}
            deltas = [
                {"type": "input_json_delta", "partial_json": serialise(block.get("input") or {}).decode()}
            ]
    return [
        {"type": "content_block_start", "index": index, "content_block": empty},
        *({"type": "content_block_delta", "index": index, "delta": d} for d in deltas),
        {"type": "content_block_stop", "index": index},
    ]
