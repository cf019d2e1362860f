"""Answers of the Responses API, read by ``output_index``: item ids may change from event to event.

What a stream did not say in deltas is taken from the ``done`` events, and what those did not say from the
terminal event, so that answers with missing events are complete. Where the numbers show that events are missing,
what is said of the whole goes before the pieces of what is under way.
"""

from __future__ import annotations

from typing import Any, Final

from router_core.formats import failures, ir, stops
from router_core.formats.context import Context
from router_core.formats.ir import Format
from router_core.formats.openai_responses.numbering import Numbering
from router_core.formats.openai_responses.open_items import (
    OpenItem,
    OpenPart,
    citation,
    rest,
    rest_of_call,
)
from router_core.formats.openai_responses.server_items import read_server_item
from router_core.formats.usage import UsageReader

_TERMINAL: Final = frozenset(
    {"response.completed", "response.incomplete", "response.done", "response.cancelled", "response.failed"}
)
_CALL_TEXTS: Final = {"function_call": "arguments", "custom_tool_call": "input"}

_LACKING: Final = ir.Failure("api", "events of the upstream's answer are missing")


class EventReader:
    def __init__(self, context: Context):
        self._context = context
        self._items: dict[int, OpenItem] = {}
        self._next = 0
        self._last = 0
        self._numbers = Numbering()
        self._usage = UsageReader(Format.OPENAI_RESPONSES)
        self._started = False
        self._ended = False

    def read(self, event: dict[str, Any]) -> list[ir.Event]:
        type_ = event.get("type")
        if self._numbers.repeats(event):
            return []
        if isinstance(event.get("output_index"), int):
            self._last = event["output_index"]
        if self._numbers.gap:
            self._note_gap(event)
        reader = _READERS.get(str(type_))
        if reader is not None:
            return reader(self, event)
        if type_ in _TERMINAL:
            return self._terminal(event.get("response") or {}, failed=type_ == "response.failed")
        if type_ == "error" or (type_ is None and event.get("error")):
            self._ended = True
            error = event.get("error")
            return [failures.read(error if isinstance(error, dict) else event)]
        return []

    def _note_gap(self, event: dict[str, Any]) -> None:
        """What is under way may lack any of the missing events."""
        if "output_index" in event:
            self._item()
        for item in self._items.values():
            item.gap = not item.done

    def done(self) -> list[ir.Event]:
        """OpenRouter sends ``[DONE]`` after the terminal event."""
        return self.close()

    def close(self) -> list[ir.Event]:
        if self._ended:
            return []
        self._ended = True
        return [ir.Failure("api", "the upstream's answer ended before it was complete")]

    def _start(self, event: dict[str, Any]) -> list[ir.Event]:
        if self._started:
            return []
        self._started = True
        response = event.get("response") or {}
        created = response.get("created_at")
        created = int(created) if isinstance(created, int | float) else None
        return [ir.Start(response.get("id"), response.get("model"), created)]

    def _keep_alive(self, event: dict[str, Any]) -> list[ir.Event]:
        return [ir.KeepAlive()]

    def _item(self) -> OpenItem:
        item = self._items.get(self._last)
        if item is None:
            item = self._items[self._last] = OpenItem()
        return item

    def _new(self) -> OpenPart:
        self._next += 1
        return OpenPart(self._next - 1)

    def _added(self, event: dict[str, Any]) -> list[ir.Event]:
        native = event.get("item") or {}
        item = self._item()
        if native.get("type") not in _CALL_TEXTS or item.call is not None or item.done:
            return []
        return self._start_call(item, native)

    def _start_call(self, item: OpenItem, native: dict[str, Any]) -> list[ir.Event]:
        kind = "custom" if native["type"] == "custom_tool_call" else "function"
        item.call = self._new()
        id = native.get("call_id") or native.get("id") or ""
        part = ir.ToolCall(id, native.get("name") or "", "", kind, native.get("namespace"))  # type: ignore[arg-type]
        return [ir.PartStart(item.call.index, part)]

    def _text(self, event: dict[str, Any], part: ir.Part) -> list[ir.Event]:
        text = event.get("delta")
        item = self._item()
        if not text or item.done or item.gap:
            return []
        events, state = self._content(item, event.get("content_index", 0), part)
        state.length += len(text)
        events.append(ir.Delta(state.index, text))
        logprobs = event.get("logprobs")
        if logprobs:
            events.append(ir.Logprobs(logprobs))
        return events

    def _content(self, item: OpenItem, number: int, part: ir.Part) -> tuple[list[ir.Event], OpenPart]:
        state = item.parts.get(number)
        if state is not None:
            return [], state
        state = item.parts[number] = self._new()
        return [ir.PartStart(state.index, part)], state

    def _output_text(self, event: dict[str, Any]) -> list[ir.Event]:
        return self._text(event, ir.Text(""))

    def _refusal(self, event: dict[str, Any]) -> list[ir.Event]:
        return self._text(event, ir.Refused(""))

    def _output_text_done(self, event: dict[str, Any]) -> list[ir.Event]:
        return self._text_done(event, event.get("text"), ir.Text(""))

    def _refusal_done(self, event: dict[str, Any]) -> list[ir.Event]:
        return self._text_done(event, event.get("refusal"), ir.Refused(""))

    def _text_done(self, event: dict[str, Any], text: Any, part: ir.Part) -> list[ir.Event]:
        item = self._item()
        if not text or item.done:
            return []
        events, state = self._content(item, event.get("content_index", 0), part)
        return events + rest(state, text)

    def _annotation(self, event: dict[str, Any]) -> list[ir.Event]:
        item = self._item()
        state = item.parts.get(event.get("content_index", 0))
        annotation = event.get("annotation")
        if state is None or item.done or item.gap or not isinstance(annotation, dict):
            return []
        state.section = (state.section or 0) + 1
        return [ir.Cite(state.index, citation(annotation))]

    def _summary(self, event: dict[str, Any]) -> list[ir.Event]:
        return self._reasoning(event, raw=False, section=event.get("summary_index", 0))

    def _raw_reasoning(self, event: dict[str, Any]) -> list[ir.Event]:
        return self._reasoning(event, raw=True, section=0)

    def _reasoning(self, event: dict[str, Any], *, raw: bool, section: Any) -> list[ir.Event]:
        text = event.get("delta")
        item = self._item()
        if not text or item.done or item.gap or (item.raw is not None and item.raw is not raw):
            return []
        return self._think(item, text, raw, section)

    def _think(self, item: OpenItem, text: str, raw: bool, section: Any) -> list[ir.Event]:
        events: list[ir.Event] = []
        item.raw = raw
        if item.thinking is None:
            item.thinking = self._new()
            item.thinking.section = section
            events.append(ir.PartStart(item.thinking.index, ir.Thinking("")))
        elif item.thinking.section != section:
            item.thinking.section = section
            text = f"\n\n{text}"
        item.thinking.length += len(text)
        events.append(ir.Delta(item.thinking.index, text))
        return events

    def _call_delta(self, event: dict[str, Any]) -> list[ir.Event]:
        item = self._item()
        text = event.get("delta")
        if item.call is None or item.done or item.gap or not text:
            return []
        item.call.passed.write(text)
        return [ir.Delta(item.call.index, text)]

    def _call_done(self, event: dict[str, Any]) -> list[ir.Event]:
        item = self._item()
        if item.call is None or item.done:
            return []
        return rest_of_call(item.call, event.get("arguments") or event.get("input"))

    def _done_item(self, event: dict[str, Any]) -> list[ir.Event]:
        return self._finish_item(self._item(), event.get("item") or {})

    def _finish_item(self, item: OpenItem, native: dict[str, Any]) -> list[ir.Event]:
        """Passes on what of an item is still missing, and ends its parts."""
        if item.done:
            return []
        item.done = True
        events: list[ir.Event] = []
        type_ = native.get("type")
        if type_ == "message":
            events += self._finish_message(item, native)
        elif type_ == "reasoning":
            return self._finish_reasoning(item, native)
        elif type_ in _CALL_TEXTS:
            if item.call is None:
                events += self._start_call(item, native)
            assert item.call is not None
            events += rest_of_call(item.call, native.get(_CALL_TEXTS[type_]))
            item.call.passed.close()
        else:
            for part in read_server_item(native):
                index = self._new().index
                events += [ir.PartStart(index, part), ir.PartEnd(index)]
        if item.unsaid:
            return [*events, _LACKING]
        return [*events, *item.ends()]

    def _finish_message(self, item: OpenItem, native: dict[str, Any]) -> list[ir.Event]:
        events: list[ir.Event] = []
        for number, block in enumerate(native.get("content") or ()):
            if not isinstance(block, dict):
                continue
            refused = block.get("type") == "refusal"
            text = block.get("refusal" if refused else "text")
            if not text and number not in item.parts:
                continue
            more, state = self._content(item, number, ir.Refused("") if refused else ir.Text(""))
            events += more + rest(state, text)
            annotations = block.get("annotations") or ()
            events += [ir.Cite(state.index, citation(a)) for a in annotations[state.section or 0 :]]
        return events

    def _finish_reasoning(self, item: OpenItem, native: dict[str, Any]) -> list[ir.Event]:
        events: list[ir.Event] = []
        for name, raw in (("summary", False), ("content", True)):
            texts = [b["text"] for b in native.get(name) or () if isinstance(b, dict) and b.get("text")]
            if item.thinking is None:
                for number, text in enumerate(texts):
                    events += self._think(item, text, raw, 0 if raw else number)
            elif item.raw is raw and (item.gap or len(texts) == 1):
                # Hosts that do not number the sections pass them on without what separates them.
                events += rest(item.thinking, ("" if raw else "\n\n").join(texts))
        encrypted = native.get("encrypted_content")
        signature = None
        if isinstance(encrypted, str) and encrypted:
            signature = ir.Signature(Format.OPENAI_RESPONSES, encrypted, native.get("id"))
        if item.thinking is not None:
            return [*events, ir.PartEnd(item.thinking.index, signature)]
        if signature is None:
            return events
        index = self._new().index
        part = ir.Thinking("", signature, redacted=True)
        return [*events, ir.PartStart(index, part), ir.PartEnd(index)]

    def _terminal(self, response: dict[str, Any], *, failed: bool) -> list[ir.Event]:
        if self._ended:
            return []
        self._ended = True
        events = self._start({"response": response})
        if failed or response.get("status") == "failed":
            return [*events, failures.read(response.get("error") or "the response failed")]
        for number, native in enumerate(response.get("output") or ()):
            if isinstance(native, dict):
                item = self._items.setdefault(number, OpenItem())
                events += self._finish_item(item, native)
        for item in self._items.values():
            if item.done:
                continue
            if item.unsaid or (item.gap and not item.open_parts()):
                return [*events, _LACKING]
            events += item.ends()
        self._usage.merge(response.get("usage"))
        usage = self._usage.take()
        if usage is not None:
            events.append(ir.UsageReport(usage))
        details = response.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, dict) else None
        stop = stops.read(Format.OPENAI_RESPONSES, reason) or ir.Stop.END
        return [*events, ir.Finish(stop), ir.End()]


_READERS: Final = {
    "response.created": EventReader._start,
    "response.in_progress": EventReader._start,
    "response.queued": EventReader._start,
    "response.output_item.added": EventReader._added,
    "response.output_item.done": EventReader._done_item,
    "response.output_text.delta": EventReader._output_text,
    "response.output_text.done": EventReader._output_text_done,
    "response.output_text.annotation.added": EventReader._annotation,
    "response.refusal.delta": EventReader._refusal,
    "response.refusal.done": EventReader._refusal_done,
    "response.reasoning_summary_text.delta": EventReader._summary,
    "response.reasoning_text.delta": EventReader._raw_reasoning,
    "response.function_call_arguments.delta": EventReader._call_delta,
    "response.function_call_arguments.done": EventReader._call_done,
    "response.custom_tool_call_input.delta": EventReader._call_delta,
    "response.custom_tool_call_input.done": EventReader._call_done,
    "keepalive": EventReader._keep_alive,
}
