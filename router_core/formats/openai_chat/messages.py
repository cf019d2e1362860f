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
        if type(turn.content) is str:
            messages.append({"role": turn.role, "content": turn.content})
            return
        shown: list[dict[str, Any]] = []
        rest: list[ir.Part] = []
        for part in turn.parts:
            if type(part) is ir.ToolResult:
                messages.append(self.result(part, shown))
            else:
                rest.append(part)
        if shown or ir.Media in map(type, rest):
            messages.append({"role": turn.role, "content": shown + self.mixed(rest)})
        elif rest or not turn.content:
            texts = [part for part in rest if type(part) is ir.Text and part.text]
            if texts or len(rest) == len(turn.content):
                messages.append({"role": turn.role, "content": self.text(texts) if texts else ""})

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
        id = self.ids[part.id]
        text = part.content if isinstance(part.content, str) else self.shown(part.content, id, shown)
        if part.error:
            text = ERROR_PREFIX + text
        if part.cache:
            self.target.drop("cache_control")
        return {"role": "tool", "tool_call_id": id, "content": text}

    def shown(self, content: list[ir.Part], id: str, shown: list[dict[str, Any]]) -> str:
        """The text of a result of several parts; its media go into `shown`."""
        text = plain(content)
        media = media_in(content)
        if media:
            text = text or "[the result is in the next message]"
            shown.append({"type": "text", "text": f"[result of tool call {id}]"})
            shown += [write_media(inner, self.target) for inner in media]
            self.target.note("tool results: media follow in a user message")
        self.target.drop("cache_control", marked_within(content))
        return text

    def assistant(self, turn: ir.Turn, messages: list[dict[str, Any]]) -> None:
        if type(turn.content) is str:
            if turn.content:
                messages.append({"role": "assistant", "content": turn.content})
            return
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
        arguments = arguments_text(custom_tools.arguments(part))
        call: dict[str, Any] = {
            "id": self.ids[part.id],
            "type": "function",
            "function": {"name": self.names.called(part), "arguments": arguments},
        }
        if part.cache:
            self.target.drop("cache_control")
        signature = part.signature
        if signature is not None and signature.origin is Format.GEMINI and "gemini" in self.target.model:
            call["extra_content"] = {"google": {"thought_signature": signature.data}}
        return call
