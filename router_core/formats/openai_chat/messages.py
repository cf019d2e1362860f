"""Turns of a conversation as Chat Completions messages."""

from __future__ import annotations

from typing import Any

from router_core.formats import custom_tools, ir
from router_core.formats.context import Target
from router_core.formats.conversation import ERROR_PREFIX, marked_within, media_in, plain
from router_core.formats.effort import is_openai
from router_core.formats.ir import Format
from router_core.formats.names import CALL_IDS, OPENAI_CHAT_ID_LIMIT, CallIds, Rule, ToolNames
from router_core.formats.openai_chat import reasoning
from router_core.formats.openai_chat.content import write_media, write_text
from router_core.formats.shape import arguments_text


class Messages:
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
