"""Lines of Ollama's ``/api/chat``: one JSON object for each piece, the last one with the counts."""

from __future__ import annotations

from datetime import UTC, datetime
from io import StringIO
from typing import Any

from router_core.formats import failures, ir, stops, writing
from router_core.formats.context import Context
from router_core.formats.ir import Format
from router_core.formats.shape import arguments_object
from router_core.formats.usage import write_ollama
from router_core.formats.writing import Documents

_DURATIONS = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")
"""Nanoseconds of the machine that ran the model, which is not this one."""


class EventWriter(writing.EventWriter):
    def __init__(self, context: Context):
        super().__init__(context)
        self._model = context.model
        self._created = datetime.fromtimestamp(context.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._hide = context.hide_reasoning
        self._parts: dict[int, ir.Part] = {}
        self._arguments: dict[int, StringIO] = {}
        self._usage: dict[str, Any] = {"prompt_eval_count": 0, "eval_count": 0}

    def _part_start(self, event: ir.PartStart) -> Documents:
        if event.choice == 0:
            self._parts[event.index] = event.part
            if type(event.part) is ir.ToolCall:
                self._arguments[event.index] = StringIO()
        return []

    def _delta(self, event: ir.Delta) -> Documents:
        match self._parts.get(event.index):
            case ir.Text() | ir.Refused():
                return [self._line({"content": event.text})]
            case ir.Thinking() if not self._hide:
                return [self._line({"content": "", "thinking": event.text})]
            case ir.ToolCall():
                self._arguments[event.index].write(event.text)
        return []

    def _part_end(self, event: ir.PartEnd) -> Documents:
        part = self._parts.pop(event.index, None)
        if type(part) is not ir.ToolCall:
            return []
        text = self._arguments.pop(event.index).getvalue()
        function = {"name": part.name, "arguments": arguments_object(text)}
        return [self._line({"content": "", "tool_calls": [{"id": part.id, "function": function}]})]

    def _report(self, event: ir.UsageReport) -> None:
        self._usage = write_ollama(event.usage)

    def _end(self) -> Documents:
        reason = stops.WRITE[Format.OLLAMA][self._finish.stop]
        end = {"done_reason": reason, **dict.fromkeys(_DURATIONS, 0), **self._usage}
        return [{**self._line({"content": ""}, done=True), **end}]

    def _fail(self, failure: ir.Failure) -> Documents:
        return [failures.document(Format.OLLAMA, failure)]

    def _line(self, message: dict[str, Any], *, done: bool = False) -> dict[str, Any]:
        message = {"role": "assistant", **message}
        return {"model": self._model, "created_at": self._created, "message": message, "done": done}
