"""An upstream's answer as its client must see it: the client's tool names, ids it accepts, true endings."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from typing import Final, Literal

from router_core.formats import custom_tools, ir
from router_core.formats.context import Context
from router_core.formats.ir import Format
from router_core.formats.names import CALL_IDS, call_id
from router_core.formats.shape import arguments_text

_PREFIXES: Final = {Format.ANTHROPIC: "toolu_"}


class ClientView:
    """Rewrites the events of one answer and keeps what its client cannot return."""

    def __init__(self, client: Format, context: Context):
        self._rule = CALL_IDS[client]
        self._prefix = _PREFIXES.get(client, "call_")
        self._context = context
        self._calls: dict[int, dict[str, str]] = {}
        """Ids and names of the calls in each choice."""
        self._repeated: int | None = None
        """A part that came before and is left out."""
        self._customs = client is Format.OPENAI_RESPONSES
        """Whether the client knows calls with free text, whatever tools it has."""
        self._held: dict[int, tuple[bool, StringIO]] = {}
        """Arguments that change their shape when they are complete; True where they become free text."""
        self._ids: dict[str, str] = {}
        self._kept: list[ir.Part] = []
        self._thinking: dict[int, ir.Thinking] = {}
        self._made: dict[int, ir.ToolCall] = {}
        """Calls under way."""
        self._texts: dict[int, StringIO] = {}
        """Of reasoning and calls, and of Gemini's texts, which may be signed at their end."""
        self._ending: tuple[str, ir.Signature] | None = None
        self._signs_texts = context.upstream is Format.GEMINI

    def push(self, event: ir.Event) -> list[ir.Event]:
        match event:
            case ir.Delta():
                if event.index == self._repeated:
                    return []
                if event.index in self._texts:
                    self._texts[event.index].write(event.text)
                if event.index in self._held:
                    self._held[event.index][1].write(event.text)
                    return []
            case ir.PartStart():
                started = self._start(event)
                return [started] if started else []
            case ir.PartEnd():
                return self._end(event)
            case ir.Finish():
                return [self._finish(event)]
            case ir.End():
                self._remember()
        return [event]

    def _start(self, event: ir.PartStart) -> ir.PartStart | None:
        part = event.part
        if type(part) is ir.ToolCall:
            calls = self._calls.setdefault(event.choice, {})
            if part.id and calls.get(part.id) == part.name:
                self._repeated = event.index
                return None
            if part.id in calls:
                part = replace(part, id="")
            calls[part.id] = part.name
            part = self._call(part, event.index)
            event = ir.PartStart(event.index, part, event.choice)
        elif isinstance(part, ir.Thinking):
            self._thinking[event.index] = part
        if self._context.memory is not None and event.choice == 0:
            self._ending = None
            if isinstance(part, ir.ToolCall):
                self._made[event.index], self._texts[event.index] = part, StringIO()
            elif isinstance(part, ir.Thinking) or (self._signs_texts and type(part) is ir.Text):
                self._texts[event.index] = StringIO()
        return event

    def _call(self, part: ir.ToolCall, index: int) -> ir.ToolCall:
        tool = self._context.tools.get(part.name)
        id = part.id or self._context.id(self._prefix, index)
        fitted = call_id(id, self._rule, self._prefix)
        if fitted != id:
            self._ids[fitted] = id
        name, namespace = (tool.name, tool.namespace) if tool else (part.name, part.namespace)
        custom = part.kind == "custom" or (tool is not None and tool.custom)
        known = self._customs or name in self._context.customs
        if custom and known is not (part.kind == "custom"):
            self._held[index] = (known, StringIO())
        kind: Literal["function", "custom"] = "custom" if custom and known else "function"
        return replace(part, id=fitted, name=name, namespace=namespace, kind=kind)

    def _end(self, event: ir.PartEnd) -> list[ir.Event]:
        if event.index == self._repeated:
            return []
        events: list[ir.Event] = []
        held = self._held.pop(event.index, None)
        if held is not None:
            free, given = held
            text = given.getvalue()
            text = custom_tools.unwrap(text) if free else arguments_text(custom_tools.wrap(text))
            if text:
                events.append(ir.Delta(event.index, text))
            if event.index in self._texts:
                self._texts[event.index] = StringIO(text)
        part = self._thinking.pop(event.index, None)
        if part is not None:
            event = self._signed(event, part)
            if event.index in self._texts:
                text = self._texts.pop(event.index).getvalue()
                self._kept.append(ir.Thinking(text, event.signature, part.redacted))
        elif event.index in self._made:
            call, text = self._made.pop(event.index), self._texts.pop(event.index).getvalue()
            self._kept.append(replace(call, arguments=text or call.arguments))
        elif event.index in self._texts:
            text = self._texts.pop(event.index).getvalue()
            self._ending = (text, event.signature) if event.signature else None
        events.append(event)
        return events

    def _signed(self, event: ir.PartEnd, part: ir.Thinking) -> ir.PartEnd:
        """Reasoning without a signature is given one that names its origin, so that it is known again."""
        signature = event.signature or part.signature
        if signature is None and self._context.upstream is not None:
            signature = ir.Signature(self._context.upstream, "")
        return ir.PartEnd(event.index, signature)

    def _finish(self, event: ir.Finish) -> ir.Finish:
        """A turn ends with tool calls exactly when it made some, whatever the upstream calls it."""
        calls = self._calls.get(event.choice)
        if calls and event.stop in (ir.Stop.END, ir.Stop.OTHER):
            return replace(event, stop=ir.Stop.TOOL_CALLS)
        if not calls and event.stop is ir.Stop.TOOL_CALLS:
            return replace(event, stop=ir.Stop.END)
        return event

    def _remember(self) -> None:
        if self._context.memory is not None:
            self._context.memory.keep(self._kept, self._ids)
            if self._ending is not None:
                self._context.memory.keep_ending(*self._ending)
