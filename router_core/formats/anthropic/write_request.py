"""Anthropic Messages requests, written (docs.anthropic.com, "Create a Message")."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from router_core.formats import carrier, custom_tools, ir
from router_core.formats.anthropic.cache_marks import limit_marks, marked
from router_core.formats.anthropic.media import write_media
from router_core.formats.anthropic.models import binds_thinking, output_limit
from router_core.formats.anthropic.response_format import write_response_format
from router_core.formats.anthropic.server_tools import write_server_block
from router_core.formats.anthropic.thinking import (
    THOUGHTS,
    forget_last_thoughts,
    let_blocks_go,
    thinks,
    write_thinking,
)
from router_core.formats.anthropic.tools import ask_for_a_tool, write_tools
from router_core.formats.context import Target
from router_core.formats.conversation import (
    GO_ON,
    LED_NOWHERE,
    PREFILL_ASKED,
    for_upstream,
)
from router_core.formats.effort import claude_version
from router_core.formats.ir import Format
from router_core.formats.names import CALL_IDS, CallIds, ToolNames
from router_core.formats.shape import arguments_object


def write_request(request: ir.Request, target: Target) -> dict[str, Any]:
    _refuse(request)
    names = ToolNames(Format.ANTHROPIC)
    target.context.tools = names.back
    turns = for_upstream(request.turns, Format.ANTHROPIC, target.notes)
    blocks = _Blocks(target, names)
    messages: list[dict[str, Any]] = [
        {
            "role": turn.role,
            # Most turns are one text.
            "content": text
            if type(text := turn.content) is str and not text.isspace()
            else blocks.content(turn),
        }
        for turn in turns
    ]
    system = [marked({"type": "text", "text": text.text}, text.cache) for text in request.system if text.text]
    version = claude_version(target.model)
    document: dict[str, Any] = {
        "model": target.model,
        "max_tokens": _max_tokens(request, target),
        "messages": messages,
    }
    write_tools(document, request, names, target)
    ask_for_a_tool(document, system, target)
    write_response_format(document, request, system, version, target)
    if system:
        document["system"] = system
    write_thinking(document, request, target, version)
    let_blocks_go(document, target)
    if version is not None and not thinks(document, version):
        forget_last_thoughts(messages, target)
    _prefill(document, target, version)
    _sampling(document, request, target, version)
    if request.user:
        document["metadata"] = {"user_id": request.user[:256]}
    if request.service_tier == "default":
        document["service_tier"] = "standard_only"
    elif request.service_tier not in (None, "auto"):
        target.drop("service_tier")
    if target.stream:
        document["stream"] = True
    limit_marks(document, system, messages, blocks.marks)
    for name in ("seed", "presence_penalty", "frequency_penalty", "verbosity"):
        target.drop(name, getattr(request, name) is not None)
    for name in request.openai:
        target.drop(name)
    return document


def _refuse(request: ir.Request) -> None:
    if request.n > 1:
        raise ir.Unsupported("more than one choice (n)")
    if request.logprobs is not None:
        raise ir.Unsupported("logprobs")
    if request.modalities and set(request.modalities) - {"text"}:
        raise ir.Unsupported(f"answers in {', '.join(request.modalities)}")


class _Blocks:
    """Writes the parts of turns as content blocks."""

    def __init__(self, target: Target, names: ToolNames):
        self.target = target
        self.names = names
        self.ids = CallIds(CALL_IDS[Format.ANTHROPIC], "toolu_")
        self.marks: list[dict[str, Any]] = []
        """The blocks with a cache mark."""
        self._writers: dict[type, Callable[[Any], dict[str, Any] | None]] = {
            ir.Text: self.text,
            ir.ToolCall: self.tool_use,
            ir.ToolResult: self.tool_result,
            ir.Media: self.media,
            ir.Thinking: self.thinking,
            ir.Refused: self.text,
            ir.ServerTool: self.server_tool,
        }

    def content(self, turn: ir.Turn) -> list[dict[str, Any]]:
        writers = self._writers
        blocks: list[dict[str, Any]] = []
        for part in turn.parts:
            block = writers[type(part)](part)
            if block is not None:
                blocks.append(block)
            elif type(part) is ir.Text and blocks and blocks[-1]["type"] == "text":
                # Anthropic takes no text of white space alone, but the texts beside it are two words.
                blocks[-1]["text"] += part.text
        while blocks and blocks[-1]["type"] in THOUGHTS:
            # "The final block in an assistant message cannot be `thinking`."
            del blocks[-1]
            self.target.note(LED_NOWHERE)
        # A message must hold something, also where nothing of it can be expressed.
        return blocks or [{"type": "text", "text": "[empty]"}]

    def marked(self, block: dict[str, Any], cache: str) -> dict[str, Any]:
        self.marks.append(block)
        return marked(block, cache)

    def text(self, part: ir.Text | ir.Refused) -> dict[str, Any] | None:
        text = part.text
        if not text or text.isspace():
            return None
        block: dict[str, Any] = {"type": "text", "text": text}
        return self.marked(block, part.cache) if type(part) is ir.Text and part.cache else block

    def tool_use(self, part: ir.ToolCall) -> dict[str, Any]:
        block = {
            "type": "tool_use",
            "id": self.ids[part.id],
            "name": self.names.called(part),
            "input": arguments_object(custom_tools.arguments(part)),
        }
        return self.marked(block, part.cache) if part.cache else block

    def tool_result(self, part: ir.ToolResult) -> dict[str, Any]:
        content: Any = part.content
        if not isinstance(content, str):
            content = [block for inner in content if (block := self._writers[type(inner)](inner)) is not None]
        block = {"type": "tool_result", "tool_use_id": self.ids[part.id], "content": content}
        if part.error:
            block["is_error"] = True
        return self.marked(block, part.cache) if part.cache else block

    def media(self, part: ir.Media) -> dict[str, Any]:
        self.target.require("pdf" if part.kind == "file" else "images", f"{part.kind} inputs")
        self.target.drop("image detail", part.detail not in (None, "auto"))
        block = write_media(part)
        return self.marked(block, part.cache) if part.cache else block

    def thinking(self, part: ir.Thinking) -> dict[str, Any] | None:
        signature = part.signature
        if signature is None or signature.origin is not Format.ANTHROPIC or self._foreign(signature.model):
            if part.text or (signature is not None and signature.data):
                self.target.note("reasoning of another model is left out: only its maker can check it")
            return None
        if signature.dialect == carrier.REDACTED:
            return {"type": "redacted_thinking", "data": signature.data}
        return {"type": "thinking", "thinking": part.text, "signature": signature.data}

    def _foreign(self, model: str | None) -> bool:
        """Whether the model that signed is none whose reasoning this one takes back."""
        if model is None or model == self.target.model:
            return False
        reader = self.target.model
        return binds_thinking(reader) or (claude_version(model) is None) is not (
            claude_version(reader) is None
        )

    def server_tool(self, part: ir.ServerTool) -> dict[str, Any] | None:
        return write_server_block(part) if part.native and part.native[0] is Format.ANTHROPIC else None


NO_PREFILL: Final = (4, 6)
"""The first version whose conversations must end with the user ("Migration guide")."""


def _prefill(document: dict[str, Any], target: Target, version: tuple[int, int] | None) -> None:
    """A last model turn, which is the beginning of the answer: without white space at its end, or answered."""
    messages = document["messages"]
    last = messages[-1]
    if last["role"] != "assistant":
        return
    if thinks(document, version) or (version is not None and version >= NO_PREFILL):
        messages.append({"role": "user", "content": GO_ON})
        target.note(PREFILL_ASKED)
    elif type(last["content"]) is str:
        last["content"] = last["content"].rstrip()
    elif last["content"][-1]["type"] == "text":
        last["content"][-1]["text"] = last["content"][-1]["text"].rstrip()


def _max_tokens(request: ir.Request, target: Target) -> int:
    limit = target.info.max_output_tokens if target.info else None
    if request.max_tokens:
        return min(request.max_tokens, limit) if limit else request.max_tokens
    return limit or output_limit(target.model)


def _sampling(
    document: dict[str, Any], request: ir.Request, target: Target, version: tuple[int, int] | None
) -> None:
    """Temperature and its kin, as far as the model takes them ("Extended thinking", "Migration guide")."""
    thinking = thinks(document, version)
    fixed = version is not None and version >= (4, 7)
    if request.temperature is not None:
        if fixed or thinking:
            target.drop("temperature", request.temperature != 1)
        else:
            document["temperature"] = min(request.temperature, 1)
            if request.temperature > 1:
                target.note("temperature: 1 is the most that Anthropic takes")
    if request.top_p is not None:
        both = "temperature" in document and version is not None and version >= (4, 0)
        if fixed or both or (thinking and request.top_p < 0.95):
            target.drop("top_p", request.top_p != 1)
        else:
            document["top_p"] = request.top_p
    if request.top_k is not None:
        if fixed or thinking:
            target.drop("top_k")
        else:
            document["top_k"] = int(request.top_k)
    usable = [text for text in request.stop if text.strip()]
    if usable:
        document["stop_sequences"] = usable
    target.context.stop = [text for text in request.stop if text and not text.strip()]
