"""Chat Completions chunks, written: the role first, the usage last, then ``[DONE]``."""

from __future__ import annotations

from io import StringIO
from typing import Any, Final

from router_core.formats import carrier, failures, ir, media as media_types, stops, writing
from router_core.formats.context import COMMENT, DONE, Context
from router_core.formats.ir import Format
from router_core.formats.openai_chat.reasoning import DETAILS
from router_core.formats.usage import write_openai_chat
from router_core.formats.writing import Documents

_TEXT: Final = {"function": "arguments", "custom": "input"}


class _Choice:
    __slots__ = ("annotations", "calls", "details", "images", "length", "text")

    def __init__(self) -> None:
        self.annotations: list[dict[str, Any]] = []
        """Sent once, in the end: clients' libraries cannot join two lists of them."""
        self.calls = 0
        self.details = 0
        self.images = 0
        self.length = 0
        """Characters of text until now, for citations."""
        self.text = StringIO()
        """Reasoning under way, which is repeated beside its signature."""


class _Part:
    __slots__ = ("begun", "call", "choice", "part", "start")

    def __init__(self, part: ir.Part, choice: int, start: int):
        self.part = part
        self.choice = choice
        self.start = start
        self.call = 0
        self.begun = False


class EventWriter(writing.EventWriter):
    def __init__(self, context: Context):
        super().__init__(context)
        self._id = ""
        self._created = context.created
        self._model = context.model
        self._choices: dict[int, _Choice] = {}
        self._parts: dict[int, _Part] = {}
        self._usage: dict[str, Any] | None = None

    def _start(self, event: ir.Start) -> Documents:
        if self._id:
            return []
        id = event.id or ""
        self._id = id if id.startswith(("chatcmpl", "gen-")) else self._context.id("chatcmpl-", id)
        self._created = event.created or self._created
        self._model = self._model or event.model or ""
        return self._role(0)

    def _role(self, choice: int) -> Documents:
        """The first chunk of a choice; choices open in order, as the clients' libraries expect."""
        chunks: Documents = []
        for number in range(len(self._choices), choice + 1):
            self._choices[number] = _Choice()
            chunks.append(self._chunk(number, {"role": "assistant", "content": ""}))
        return chunks

    def _part_start(self, event: ir.PartStart) -> Documents:
        chunks = [] if self._id else self._start(ir.Start())
        chunks += self._role(event.choice)
        choice = self._choices[event.choice]
        part = event.part
        state = self._parts[event.index] = _Part(part, event.choice, choice.length)
        match part:
            case ir.ToolCall():
                state.call = choice.calls
                choice.calls += 1
                chunks.append(self._call(state, part))
            case ir.Thinking():
                choice.text = StringIO()
            case ir.Media() if part.kind == "image":
                url = part.url if part.data is None else media_types.data_url(part)
                image = {"type": "image_url", "image_url": {"url": url}, "index": choice.images}
                choice.images += 1
                chunks.append(self._chunk(event.choice, {"images": [image]}))
            case ir.Media() if part.kind == "audio" and part.data:
                audio: dict[str, Any] = {"id": self._context.id("audio_", event.index), "data": part.data}
                audio |= {"transcript": "", "expires_at": self._created + 3600}
                chunks.append(self._chunk(event.choice, {"audio": audio}))
        return chunks

    def _call(self, state: _Part, part: ir.ToolCall) -> dict[str, Any]:
        call: dict[str, Any] = {"index": state.call, "id": part.id, "type": part.kind}
        call[part.kind] = {"name": part.name, _TEXT[part.kind]: ""}
        if part.signature is not None:
            # Google's own place for it, which clients of its compatible surface send back.
            call["extra_content"] = {"google": {"thought_signature": carrier.pack(part.signature)}}
        return self._chunk(state.choice, {"tool_calls": [call]})

    def _delta(self, event: ir.Delta) -> Documents:
        state = self._parts.get(event.index)
        if state is None:
            return []
        match state.part:
            case ir.Text():
                self._choices[state.choice].length += len(event.text)
                return [self._chunk(state.choice, {"content": event.text})]
            case ir.ToolCall():
                state.begun = state.begun or bool(event.text.strip())
                kind = state.part.kind
                call = {"index": state.call, kind: {_TEXT[kind]: event.text}}
                return [self._chunk(state.choice, {"tool_calls": [call]})]
            case ir.Thinking():
                if self._context.hide_reasoning:
                    return []
                if self._context.carry_reasoning:
                    self._choices[state.choice].text.write(event.text)
                return [self._chunk(state.choice, {self._context.reasoning_field: event.text})]
            case ir.Refused():
                return [self._chunk(state.choice, {"refusal": event.text})]
        return []

    def _part_end(self, event: ir.PartEnd) -> Documents:
        state = self._parts.pop(event.index, None)
        if state is None:
            return []
        match state.part:
            case ir.ToolCall(kind="function") if not state.begun:
                call = {"index": state.call, "function": {"arguments": "{}"}}
                return [self._chunk(state.choice, {"tool_calls": [call]})]
            case ir.Thinking():
                text = self._choices[state.choice].text.getvalue()
                return self._detail(state, event.signature or state.part.signature, text)
            case ir.Text() if event.signature is not None:
                return self._detail(state, event.signature, "")
        return []

    def _detail(self, state: _Part, signature: ir.Signature | None, text: str) -> Documents:
        """An entry of ``reasoning_details`` that the client can send back."""
        if signature is None or not self._context.carry_reasoning:
            return []
        value = carrier.pack(signature)
        choice = self._choices[state.choice]
        entry: dict[str, Any] = {"index": choice.details, "format": "unknown"}
        if text and not self._context.hide_reasoning:
            entry |= {"type": "reasoning.text", "text": text, "signature": value}
        else:
            entry |= {"type": "reasoning.encrypted", "data": value}
        if signature.id:
            entry["id"] = signature.id
        choice.details += 1
        return [self._chunk(state.choice, {DETAILS: [entry]})]

    def _cite(self, event: ir.Cite) -> Documents:
        state = self._parts.get(event.index)
        citation = event.citation
        if state is None or not citation.url:
            return []
        start = state.start + (citation.start or 0)
        end = state.start + citation.end if citation.end else self._choices[state.choice].length
        cited = {"url": citation.url, "title": citation.title or "", "start_index": start, "end_index": end}
        self._choices[state.choice].annotations.append({"type": "url_citation", "url_citation": cited})
        return []

    def _logprobs(self, event: ir.Logprobs) -> Documents:
        return [self._chunk(event.choice, {}, logprobs={"content": event.content, "refusal": None})]

    def _report(self, event: ir.UsageReport) -> None:
        self._usage = write_openai_chat(event.usage)

    def _keep_alive(self) -> Documents:
        return [COMMENT]

    def _fail(self, failure: ir.Failure) -> Documents:
        return [failures.document(Format.OPENAI_CHAT, failure), DONE]

    def _finished(self, event: ir.Finish) -> Documents:
        chunks = [] if self._id else self._start(ir.Start())
        chunks += self._role(event.choice)
        reason = stops.WRITE[Format.OPENAI_CHAT][event.stop]
        annotations = self._choices[event.choice].annotations
        if annotations:
            chunks.append(self._chunk(event.choice, {"annotations": annotations}))
        if event.stop is ir.Stop.REFUSAL and event.detail:
            chunks.append(self._chunk(event.choice, {"refusal": event.detail}))
        chunks.append(self._chunk(event.choice, {}, reason))
        return chunks

    def _end(self) -> Documents:
        if not self._context.include_usage or self._usage is None:
            return [DONE]
        return [{**self._envelope(), "choices": [], "usage": self._usage}, DONE]

    def _envelope(self) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model,
        }

    def _chunk(
        self,
        choice: int,
        delta: dict[str, Any],
        reason: str | None = None,
        logprobs: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model,
            "choices": [{"index": choice, "delta": delta, "logprobs": logprobs, "finish_reason": reason}],
        }
