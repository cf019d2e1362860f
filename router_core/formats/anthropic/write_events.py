"""Anthropic's answer stream, written: one block at a time, indexes unbroken."""

from __future__ import annotations

from typing import Any

from router_core.formats import carrier, failures, ir, stops, writing
from router_core.formats.anthropic.server_tools import FOREIGN, write_server_block
from router_core.formats.context import Context
from router_core.formats.ir import Format
from router_core.formats.names import CALL_IDS, call_id
from router_core.formats.shape import arguments_text
from router_core.formats.usage import write_anthropic
from router_core.formats.writing import Documents


class EventWriter(writing.EventWriter):
    def __init__(self, context: Context):
        super().__init__(context)
        self._count = 0
        self._part: ir.PartStart | None = None
        self._open = False
        self._begun = False
        """Whether the call under way has arguments."""
        self._proof: ir.Signature | None = None
        """Of a text that has ended: it goes before the next part. Claude Code takes the last block for the
        answer, so nothing follows a last text whose proof the session's memory keeps."""
        self._started = False
        self._refused = False
        self._usage: dict[str, Any] = {"input_tokens": 0, "output_tokens": 0}

    def _start(self, event: ir.Start) -> Documents:
        if self._started:
            return []
        self._started = True
        id = event.id or ""
        message: dict[str, Any] = {
            "id": id if id.startswith("msg_") else self._context.id("msg_", id),
            "type": "message",
            "role": "assistant",
            "model": self._context.model or event.model or "",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": dict(self._usage),
        }
        return [{"type": "message_start", "message": message}]

    def _report(self, event: ir.UsageReport) -> None:
        self._usage = write_anthropic(event.usage)

    def _keep_alive(self) -> Documents:
        return [{"type": "ping"}] if self._started else []

    def _fail(self, failure: ir.Failure) -> Documents:
        return [failures.document(Format.ANTHROPIC, failure)]

    def _part_start(self, event: ir.PartStart) -> Documents:
        if event.choice:
            # A message is one answer; the others have no place in it.
            self._part = None
            return []
        events = [] if self._started else self._start(ir.Start())
        part = event.part
        self._part = event
        self._open = False
        self._begun = False
        proof, self._proof = self._proof, None
        if proof is not None:
            events += self._carry(proof)
        if type(part) is ir.ToolCall:
            if part.signature is not None:
                events += self._carry(part.signature)
            id = call_id(part.id, CALL_IDS[Format.ANTHROPIC], "toolu_")
            block = {"type": "tool_use", "id": id, "name": part.name, "input": {}}
            return events + self._open_block(block)
        if type(part) is ir.Thinking and part.redacted and part.signature is not None:
            return events + self._carry(part.signature)
        if type(part) is ir.ServerTool:
            return events + self._server_tool(part)
        return events

    def _delta(self, event: ir.Delta) -> Documents:
        start = self._part
        if start is None or start.index != event.index:
            return []
        match start.part:
            case ir.ToolCall():
                self._begun = True
                return [self._block_delta({"type": "input_json_delta", "partial_json": event.text})]
            case ir.Thinking():
                if self._context.hide_reasoning:
                    return []
                events = self._ensure({"type": "thinking", "thinking": "", "signature": ""})
                return [*events, self._block_delta({"type": "thinking_delta", "thinking": event.text})]
            case ir.Text() | ir.Refused():
                self._refused |= type(start.part) is ir.Refused
                events = self._ensure({"type": "text", "text": ""})
                return [*events, self._block_delta({"type": "text_delta", "text": event.text})]
        return []

    def _part_end(self, event: ir.PartEnd) -> Documents:
        start = self._part
        if start is None or start.index != event.index:
            return []
        self._part = None
        events: Documents = []
        match start.part:
            case ir.ToolCall() if not self._begun:
                events.append(self._block_delta({"type": "input_json_delta", "partial_json": ""}))
            case ir.Thinking() if not start.part.redacted:
                events += self._seal(event.signature or start.part.signature)
            case ir.Text():
                if self._open:
                    events.append(self._stop())
                self._proof = event.signature
                return events
        if self._open:
            events.append(self._stop())
        return events

    def _seal(self, signature: ir.Signature | None) -> Documents:
        value = carrier.write(signature, Format.ANTHROPIC)
        if value is None or not self._context.carry_reasoning:
            return []
        if not self._open and signature is not None and signature.origin is not Format.ANTHROPIC:
            # Nothing is shown: redacted thinking is what clients keep without looking at it.
            return self._carry(signature)
        events = self._ensure({"type": "thinking", "thinking": "", "signature": ""})
        return [*events, self._block_delta({"type": "signature_delta", "signature": value})]

    def _carry(self, signature: ir.Signature) -> Documents:
        """A block that holds only what the client must send back."""
        value = carrier.write(signature, Format.ANTHROPIC)
        if not value or not self._context.carry_reasoning:
            return []
        events = self._open_block({"type": "redacted_thinking", "data": value})
        return [*events, self._stop()]

    def _server_tool(self, part: ir.ServerTool) -> Documents:
        block = write_server_block(part)
        if block is None:
            return []
        if "input" not in block:
            return [*self._open_block(block), self._stop()]
        events = self._open_block({**block, "input": {}})
        text = arguments_text(block["input"])
        events.append(self._block_delta({"type": "input_json_delta", "partial_json": text}))
        return [*events, self._stop()]

    def _cite(self, event: ir.Cite) -> Documents:
        start = self._part
        if start is None or start.index != event.index or not self._open:
            return []
        return [self._block_delta({"type": "citations_delta", "citation": _citation(event.citation)})]

    def _ensure(self, block: dict[str, Any]) -> Documents:
        return [] if self._open else self._open_block(block)

    def _open_block(self, block: dict[str, Any]) -> Documents:
        self._open = True
        return [{"type": "content_block_start", "index": self._count, "content_block": block}]

    def _block_delta(self, delta: dict[str, Any]) -> dict[str, Any]:
        return {"type": "content_block_delta", "index": self._count, "delta": delta}

    def _stop(self) -> dict[str, Any]:
        self._open = False
        self._count += 1
        return {"type": "content_block_stop", "index": self._count - 1}

    def _end(self) -> Documents:
        events = [] if self._started else self._start(ir.Start())
        if self._proof is not None and self._context.memory is None:
            events += self._carry(self._proof)
        finish = self._finish
        stop = ir.Stop.REFUSAL if self._refused and finish.stop is ir.Stop.END else finish.stop
        delta: dict[str, Any] = {
            "stop_reason": stops.WRITE[Format.ANTHROPIC][stop],
            "stop_sequence": finish.sequence if stop is ir.Stop.STOP_SEQUENCE else None,
        }
        if delta["stop_reason"] == "refusal":
            delta["stop_details"] = {"type": "refusal", "category": None, "explanation": finish.detail}
        return [
            *events,
            {"type": "message_delta", "delta": delta, "usage": self._usage},
            {"type": "message_stop"},
        ]


def _citation(citation: ir.Citation) -> dict[str, Any]:
    if citation.native and citation.native[0] is Format.ANTHROPIC:
        return citation.native[1]
    return {
        "type": "web_search_result_location",
        "url": citation.url or "",
        "title": citation.title,
        "cited_text": citation.cited or "",
        "encrypted_index": FOREIGN,
    }
