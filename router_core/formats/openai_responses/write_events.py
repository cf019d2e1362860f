"""Events of the Responses API, written: numbered without gaps, items in order, all repeated in the end."""

from __future__ import annotations

from typing import Any

from router_core.formats import carrier, failures, ir, stops, writing
from router_core.formats.context import COMMENT, Context
from router_core.formats.errors import in_stream
from router_core.formats.ir import Format
from router_core.formats.openai_responses.call_items import fill_call, open_call
from router_core.formats.openai_responses.output import OpenItem, Output
from router_core.formats.openai_responses.server_items import write_server_item
from router_core.formats.usage import write_openai_responses
from router_core.formats.writing import Documents


class EventWriter(writing.EventWriter):
    def __init__(self, context: Context):
        super().__init__(context)
        self._output = Output(context.model, context.created, context.echo)
        self._parts: dict[int, ir.Part] = {}

    def _start(self, event: ir.Start) -> Documents:
        out = self._output
        if out.id:
            return []
        id = event.id or ""
        out.id = id if id.startswith("resp_") else self._context.id("resp_", id, 48)
        out.model = out.model or event.model or ""
        out.created = event.created or out.created
        return [
            out.event("response.created", response=out.response("in_progress")),
            out.event("response.in_progress", response=out.response("in_progress")),
        ]

    def _report(self, event: ir.UsageReport) -> None:
        self._output.usage = write_openai_responses(event.usage)

    def _keep_alive(self) -> Documents:
        return [COMMENT]

    def _part_start(self, event: ir.PartStart) -> Documents:
        events = [] if self._output.id else self._start(ir.Start())
        part = event.part
        if type(part) is ir.Media:
            events += self._output.close()
            return events + self._image(part)
        if type(part) is ir.ServerTool:
            item = write_server_item(part, self._context.id("ws_", event.index, 48))
            return events + self._output.close() + self._output.whole(item) if item else events
        self._parts[event.index] = part
        match part:
            case ir.Text() | ir.Refused():
                if self._output.open is None or self._output.open.item["type"] != "message" or event.choice:
                    events += self._output.close()
                    events.append(
                        self._output.add(self._new_item("message", event, content=[], role="assistant"))
                    )
                return events
            case ir.ToolCall():
                events += self._output.close()
                if part.signature is not None:
                    events += self._carry(part.signature, event)
                type_, fields = open_call(part, self._context.typed)
                events.append(self._output.add(self._new_item(type_, event, **fields)))
            case ir.Thinking():
                events += self._output.close()
                if part.redacted:
                    if part.signature is not None:
                        events += self._carry(part.signature, event)
                    return events
                events.append(self._output.add(self._new_item("reasoning", event, summary=[])))
        return events

    def _new_item(self, type_: str, event: ir.PartStart, **fields: Any) -> dict[str, Any]:
        prefix = {"message": "msg_", "reasoning": "rs_", "custom_tool_call": "ctc_"}.get(type_, "fc_")
        item = {"id": self._context.id(prefix, event.index, 48), "type": type_}
        if type_ != "reasoning":
            item["status"] = "in_progress"
        return {**item, **fields}

    def _delta(self, event: ir.Delta) -> Documents:
        part = self._parts.get(event.index)
        out = self._output
        state = out.open
        if part is None or state is None:
            return []
        match part:
            case ir.Text() | ir.Refused():
                events = out.open_content(state, event.index, refusal=type(part) is ir.Refused)
                state.said.write(event.text)
                where = out.where_in_content()
                if type(part) is ir.Refused:
                    events.append(out.event("response.refusal.delta", **where, delta=event.text))
                else:
                    events.append(
                        out.event("response.output_text.delta", **where, delta=event.text, logprobs=[])
                    )
                return events
            case ir.ToolCall():
                state.said.write(event.text)
                name = _DELTAS.get(state.item["type"])
                return [out.event(f"{name}.delta", **out.where(), delta=event.text)] if name else []
            case ir.Thinking():
                if self._context.hide_reasoning:
                    return []
                events = []
                where = {**out.where(), "summary_index": 0}
                if not state.said.tell():
                    block = {"type": "summary_text", "text": ""}
                    events.append(out.event("response.reasoning_summary_part.added", **where, part=block))
                state.said.write(event.text)
                events.append(out.event("response.reasoning_summary_text.delta", **where, delta=event.text))
                return events
        return []

    def _logprobs(self, event: ir.Logprobs) -> Documents:
        """Those of a delta that has gone already go with one that adds no text."""
        state = self._output.open
        if state is None or state.part is None or state.text["type"] != "output_text":
            return []
        content = [{**entry, "bytes": entry.get("bytes") or []} for entry in event.content]
        state.text["logprobs"] += content
        where = self._output.where_in_content()
        return [self._output.event("response.output_text.delta", **where, delta="", logprobs=content)]

    def _cite(self, event: ir.Cite) -> Documents:
        state = self._output.open
        citation = event.citation
        if state is None or state.part != event.index or not citation.url:
            return []
        length = state.said.tell()
        annotation = {
            "type": "url_citation",
            "url": citation.url,
            "title": citation.title or "",
            "start_index": citation.start or 0,
            "end_index": citation.end if citation.end is not None else length,
        }
        annotations = state.text["annotations"]
        annotations.append(annotation)
        where = self._output.where_in_content()
        where["annotation_index"] = len(annotations) - 1
        return [self._output.event("response.output_text.annotation.added", **where, annotation=annotation)]

    def _part_end(self, event: ir.PartEnd) -> Documents:
        part = self._parts.pop(event.index, None)
        state = self._output.open
        if part is None:
            return []
        match part:
            case ir.Text() | ir.Refused():
                events = (
                    self._output.close_content(state)
                    if state is not None and state.part == event.index
                    else []
                )
                if event.signature is not None:
                    # The signature of a text (Gemini) travels as a reasoning item of its own.
                    events += self._output.close()
                    events += self._carry(event.signature, ir.PartStart(event.index, part))
                return events
            case ir.ToolCall() if state is not None:
                return self._close_call(state)
            case ir.Thinking() if state is not None and not part.redacted:
                return self._close_reasoning(state, event.signature or part.signature)
        return []

    def _close_call(self, state: OpenItem) -> Documents:
        text = state.said.getvalue()
        item = state.item
        where = self._output.where()
        match item["type"]:
            case "custom_tool_call":
                item["input"] = text
                events = [self._output.event("response.custom_tool_call_input.done", **where, input=text)]
            case "function_call":
                text = text if text.strip() else "{}"
                if not state.said.tell():
                    events = [
                        self._output.event("response.function_call_arguments.delta", **where, delta=text)
                    ]
                else:
                    events = []
                item["arguments"] = text
                done = {"name": item["name"], "arguments": text}
                events.append(self._output.event("response.function_call_arguments.done", **where, **done))
            case _:
                fill_call(item, text)
                events = []
        return [*events, *self._output.close()]

    def _close_reasoning(self, state: OpenItem, signature: ir.Signature | None) -> Documents:
        events: Documents = []
        if state.said.tell():
            text = state.said.getvalue()
            where = {**self._output.where(), "summary_index": 0}
            block = {"type": "summary_text", "text": text}
            state.item["summary"] = [block]
            events.append(self._output.event("response.reasoning_summary_text.done", **where, text=text))
            events.append(self._output.event("response.reasoning_summary_part.done", **where, part=block))
        value = carrier.write(signature, Format.OPENAI_RESPONSES) if self._context.carry_reasoning else None
        if value:
            state.item["encrypted_content"] = value
        return events + self._output.close()

    def _carry(self, signature: ir.Signature, event: ir.PartStart) -> Documents:
        """A reasoning item that holds only what the client must send back."""
        value = carrier.write(signature, Format.OPENAI_RESPONSES)
        if not value or not self._context.carry_reasoning:
            return []
        id = self._context.id("rs_", f"{event.index}s", 48)
        return self._output.whole({"id": id, "type": "reasoning", "summary": [], "encrypted_content": value})

    def _image(self, media: ir.Media) -> Documents:
        if media.kind != "image" or media.data is None:
            return []
        id = self._context.id("ig_", len(self._output), 48)
        return self._output.whole(
            {"id": id, "type": "image_generation_call", "status": "completed", "result": media.data}
        )

    def _end(self) -> Documents:
        events = [] if self._output.id else self._start(ir.Start())
        finish = self._finish
        if finish.stop is ir.Stop.REFUSAL and finish.detail:
            part = ir.PartStart(-1, ir.Refused(""))
            events += self._part_start(part) + self._delta(ir.Delta(-1, finish.detail))
        events += self._output.close()
        if self._context.answering is not None:
            self._context.answering.keep(self._output.id, self._output.items)
        reason = stops.WRITE[Format.OPENAI_RESPONSES][finish.stop]
        if reason == "completed":
            return [
                *events,
                self._output.event("response.completed", response=self._output.response("completed")),
            ]
        response = self._output.response("incomplete")
        response["incomplete_details"] = {"reason": reason}
        return [*events, self._output.event("response.incomplete", response=response)]

    def _fail(self, failure: ir.Failure) -> Documents:
        events = [] if self._output.id else self._start(ir.Start())
        error = failures.wire(Format.OPENAI_RESPONSES, failure)
        told = in_stream(error)
        events.append(self._output.event("error", **told))
        response = self._output.response("failed")
        response["error"] = {"code": told["code"], "message": error.message}
        return [*events, self._output.event("response.failed", response=response)]


_DELTAS = {
    "function_call": "response.function_call_arguments",
    "custom_tool_call": "response.custom_tool_call_input",
}
