"""Events of the Responses API, written: numbered without gaps, items in order, all repeated in the end."""

from __future__ import annotations

from typing import Any

from router_core.formats import carrier, failures, ir, stops, writing
from router_core.formats.context import COMMENT, Context
from router_core.formats.ir import Format
from router_core.formats.openai_responses.call_items import fill_call, open_call
from router_core.formats.openai_responses.server_items import write_server_item
from router_core.formats.usage import write_openai_responses
from router_core.formats.writing import Documents


class _Item:
    """The output item under way."""

    __slots__ = ("item", "part", "pieces", "text")

    def __init__(self, item: dict[str, Any]):
        self.item = item
        self.part: int | None = None
        """The part under way in a message, which may hold several."""
        self.pieces: list[str] = []
        self.text: dict[str, Any] = {}
        """The content part under way."""


class EventWriter(writing.EventWriter):
    def __init__(self, context: Context):
        super().__init__(context)
        self._sequence = 0
        self._id = ""
        self._model = context.model
        self._created = context.created
        self._output: Documents = []
        self._open: _Item | None = None
        self._parts: dict[int, ir.Part] = {}
        self._usage: dict[str, Any] | None = None

    def _event(self, type_: str, **fields: Any) -> dict[str, Any]:
        event = {"type": type_, "sequence_number": self._sequence, **fields}
        self._sequence += 1
        return event

    def _where(self) -> dict[str, Any]:
        assert self._open is not None
        return {"item_id": self._open.item["id"], "output_index": len(self._output)}

    def _response(self, status: str) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "metadata": {},
            "model": self._model,
            "parallel_tool_calls": True,
            "temperature": None,
            "tool_choice": "auto",
            "tools": [],
            "top_p": None,
            **self._context.echo,
            "output": list(self._output) if status != "in_progress" else [],
            "usage": self._usage,
        }

    def _start(self, event: ir.Start) -> Documents:
        if self._id:
            return []
        id = event.id or ""
        self._id = id if id.startswith("resp_") else self._context.id("resp_", id, 48)
        self._model = self._model or event.model or ""
        self._created = event.created or self._created
        return [
            self._event("response.created", response=self._response("in_progress")),
            self._event("response.in_progress", response=self._response("in_progress")),
        ]

    def _report(self, event: ir.UsageReport) -> None:
        self._usage = write_openai_responses(event.usage)

    def _keep_alive(self) -> Documents:
        return [COMMENT]

    def _part_start(self, event: ir.PartStart) -> Documents:
        events = [] if self._id else self._start(ir.Start())
        part = event.part
        if type(part) is ir.Media:
            events += self._close()
            return events + self._image(part)
        if type(part) is ir.ServerTool:
            item = write_server_item(part, self._context.id("ws_", event.index, 48))
            return events + self._close() + self._whole(item) if item else events
        self._parts[event.index] = part
        match part:
            case ir.Text() | ir.Refused():
                if self._open is None or self._open.item["type"] != "message" or event.choice:
                    events += self._close()
                    self._open = _Item(self._new_item("message", event, content=[], role="assistant"))
                    events.append(self._added())
                return events
            case ir.ToolCall():
                events += self._close()
                if part.signature is not None:
                    events += self._carry(part.signature, event)
                type_, fields = open_call(part, self._context.typed)
                self._open = _Item(self._new_item(type_, event, **fields))
                events.append(self._added())
            case ir.Thinking():
                events += self._close()
                if part.redacted:
                    if part.signature is not None:
                        events += self._carry(part.signature, event)
                    return events
                self._open = _Item(self._new_item("reasoning", event, summary=[]))
                events.append(self._added())
        return events

    def _new_item(self, type_: str, event: ir.PartStart, **fields: Any) -> dict[str, Any]:
        prefix = {"message": "msg_", "reasoning": "rs_", "custom_tool_call": "ctc_"}.get(type_, "fc_")
        item = {"id": self._context.id(prefix, event.index, 48), "type": type_}
        if type_ != "reasoning":
            item["status"] = "in_progress"
        return {**item, **fields}

    def _added(self) -> dict[str, Any]:
        assert self._open is not None
        # What is appended later must not show in an event that was written before.
        item = {k: list(v) if isinstance(v, list) else v for k, v in self._open.item.items()}
        return self._event("response.output_item.added", output_index=len(self._output), item=item)

    def _delta(self, event: ir.Delta) -> Documents:
        part = self._parts.get(event.index)
        state = self._open
        if part is None or state is None:
            return []
        match part:
            case ir.Text() | ir.Refused():
                events = self._open_content(state, event.index, part)
                state.pieces.append(event.text)
                where = {**self._where(), "content_index": len(state.item["content"])}
                if type(part) is ir.Refused:
                    events.append(self._event("response.refusal.delta", **where, delta=event.text))
                else:
                    events.append(
                        self._event("response.output_text.delta", **where, delta=event.text, logprobs=[])
                    )
                return events
            case ir.ToolCall():
                state.pieces.append(event.text)
                name = _DELTAS.get(state.item["type"])
                return [self._event(f"{name}.delta", **self._where(), delta=event.text)] if name else []
            case ir.Thinking():
                if self._context.hide_reasoning:
                    return []
                events = []
                where = {**self._where(), "summary_index": 0}
                if not state.pieces:
                    block = {"type": "summary_text", "text": ""}
                    events.append(self._event("response.reasoning_summary_part.added", **where, part=block))
                state.pieces.append(event.text)
                events.append(self._event("response.reasoning_summary_text.delta", **where, delta=event.text))
                return events
        return []

    def _open_content(self, state: _Item, index: int, part: ir.Part) -> Documents:
        if state.part == index:
            return []
        state.part, state.pieces = index, []
        if type(part) is ir.Refused:
            state.text = {"type": "refusal", "refusal": ""}
        else:
            state.text = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        where = {**self._where(), "content_index": len(state.item["content"])}
        empty = {k: list(v) if isinstance(v, list) else v for k, v in state.text.items()}
        return [self._event("response.content_part.added", **where, part=empty)]

    def _cite(self, event: ir.Cite) -> Documents:
        state = self._open
        citation = event.citation
        if state is None or state.part != event.index or not citation.url:
            return []
        length = sum(map(len, state.pieces))
        annotation = {
            "type": "url_citation",
            "url": citation.url,
            "title": citation.title or "",
            "start_index": citation.start or 0,
            "end_index": citation.end if citation.end is not None else length,
        }
        annotations = state.text["annotations"]
        annotations.append(annotation)
        where = {**self._where(), "content_index": len(state.item["content"])}
        where["annotation_index"] = len(annotations) - 1
        return [self._event("response.output_text.annotation.added", **where, annotation=annotation)]

    def _part_end(self, event: ir.PartEnd) -> Documents:
        part = self._parts.pop(event.index, None)
        state = self._open
        if part is None:
            return []
        match part:
            case ir.Text() | ir.Refused():
                events = self._close_content(state) if state is not None and state.part == event.index else []
                if event.signature is not None:
                    # The signature of a text (Gemini) travels as a reasoning item of its own.
                    events += self._close()
                    events += self._carry(event.signature, ir.PartStart(event.index, part))
                return events
            case ir.ToolCall() if state is not None:
                return self._close_call(state)
            case ir.Thinking() if state is not None and not part.redacted:
                return self._close_reasoning(state, event.signature or part.signature)
        return []

    def _close_content(self, state: _Item) -> Documents:
        """Ends the content part under way; the message stays open for another."""
        text = "".join(state.pieces)
        where = {**self._where(), "content_index": len(state.item["content"])}
        block = state.text
        if block["type"] == "refusal":
            block["refusal"] = text
            events = [self._event("response.refusal.done", **where, refusal=text)]
        else:
            block["text"] = text
            events = [self._event("response.output_text.done", **where, text=text, logprobs=[])]
        state.item["content"].append(block)
        state.part = None
        return [*events, self._event("response.content_part.done", **where, part=block)]

    def _close_call(self, state: _Item) -> Documents:
        text = "".join(state.pieces)
        item = state.item
        where = self._where()
        match item["type"]:
            case "custom_tool_call":
                item["input"] = text
                events = [self._event("response.custom_tool_call_input.done", **where, input=text)]
            case "function_call":
                text = text if text.strip() else "{}"
                if not state.pieces:
                    events = [self._event("response.function_call_arguments.delta", **where, delta=text)]
                else:
                    events = []
                item["arguments"] = text
                done = {"name": item["name"], "arguments": text}
                events.append(self._event("response.function_call_arguments.done", **where, **done))
            case _:
                fill_call(item, text)
                events = []
        return [*events, *self._close()]

    def _close_reasoning(self, state: _Item, signature: ir.Signature | None) -> Documents:
        events: Documents = []
        if state.pieces:
            text = "".join(state.pieces)
            where = {**self._where(), "summary_index": 0}
            block = {"type": "summary_text", "text": text}
            state.item["summary"] = [block]
            events.append(self._event("response.reasoning_summary_text.done", **where, text=text))
            events.append(self._event("response.reasoning_summary_part.done", **where, part=block))
        value = carrier.write(signature, Format.OPENAI_RESPONSES) if self._context.carry_reasoning else None
        if value:
            state.item["encrypted_content"] = value
        return events + self._close()

    def _carry(self, signature: ir.Signature, event: ir.PartStart) -> Documents:
        """A reasoning item that holds only what the client must send back."""
        value = carrier.write(signature, Format.OPENAI_RESPONSES)
        if not value or not self._context.carry_reasoning:
            return []
        id = self._context.id("rs_", f"{event.index}s", 48)
        return self._whole({"id": id, "type": "reasoning", "summary": [], "encrypted_content": value})

    def _image(self, media: ir.Media) -> Documents:
        if media.kind != "image" or media.data is None:
            return []
        id = self._context.id("ig_", len(self._output), 48)
        return self._whole(
            {"id": id, "type": "image_generation_call", "status": "completed", "result": media.data}
        )

    def _whole(self, item: dict[str, Any]) -> Documents:
        self._open = _Item(item)
        added = self._added()
        return [added, *self._close()]

    def _close(self) -> Documents:
        """Ends the item under way."""
        state = self._open
        if state is None:
            return []
        events = self._close_content(state) if state.part is not None else []
        if "status" in state.item:
            state.item["status"] = "completed"
        events.append(
            self._event("response.output_item.done", output_index=len(self._output), item=state.item)
        )
        self._output.append(state.item)
        self._open = None
        return events

    def _end(self) -> Documents:
        events = [] if self._id else self._start(ir.Start())
        finish = self._finish
        if finish.stop is ir.Stop.REFUSAL and finish.detail:
            part = ir.PartStart(-1, ir.Refused(""))
            events += self._part_start(part) + self._delta(ir.Delta(-1, finish.detail))
        events += self._close()
        reason = stops.WRITE[Format.OPENAI_RESPONSES][finish.stop]
        if reason == "completed":
            return [*events, self._event("response.completed", response=self._response("completed"))]
        response = self._response("incomplete")
        response["incomplete_details"] = {"reason": reason}
        return [*events, self._event("response.incomplete", response=response)]

    def _fail(self, failure: ir.Failure) -> Documents:
        events = [] if self._id else self._start(ir.Start())
        error = failures.wire(Format.OPENAI_RESPONSES, failure)
        code = error.code or error.type or "server_error"
        events.append(self._event("error", code=code, message=error.message, param=error.param))
        response = self._response("failed")
        response["error"] = {"code": code, "message": error.message}
        return [*events, self._event("response.failed", response=response)]


_DELTAS = {
    "function_call": "response.function_call_arguments",
    "custom_tool_call": "response.custom_tool_call_input",
}
