"""Anthropic's answer stream, read (docs.anthropic.com, "Streaming Messages")."""

from __future__ import annotations

from typing import Any, Final

import orjson

from router_core.formats import carrier, failures, ir, stops
from router_core.formats.anthropic.server_tools import read_server_block
from router_core.formats.context import Context
from router_core.formats.ir import Format
from router_core.formats.shape import arguments_object
from router_core.formats.usage import UsageReader

HOLD: Final = 16 << 10
"""Characters of a tool call that are held until the call is complete.

A gateway that switches models begins the message again and leaves a call unfinished; a call that was held
can be forgotten then. Longer calls are passed on while they come.
"""


class _Block:
    """One content block under way."""

    __slots__ = ("held", "index", "input", "native", "size", "sources", "written")

    def __init__(self, index: int, native: dict[str, Any]):
        self.index = index
        self.native = native
        self.held: list[ir.Event] | None = None
        self.size = 0
        self.input: list[str] = []
        self.sources: list[ir.Event] = []
        """Of its whole text, and so known to belong to it when the text is complete: they may come before it."""
        self.written = False


class EventReader:
    def __init__(self, context: Context):
        self._model = context.upstream_model
        self._blocks: dict[int, _Block] = {}
        self._next = 0
        self._usage = UsageReader(Format.ANTHROPIC)
        self._started = False
        self._late = False
        """Blocks have come before the message that they are of."""
        self._spoken = False
        self._ended = False
        self._called = False
        """Whether a call has been passed on."""
        self._lost = False
        """Whether arguments have come for a call whose beginning has not."""
        self._stop: ir.Finish | None = None

    def read(self, event: dict[str, Any]) -> list[ir.Event]:
        """The events that one event of the stream amounts to."""
        match event.get("type"):
            case "content_block_delta":
                return self._delta(event)
            case "content_block_start":
                return self._block_start(event)
            case "content_block_stop":
                block = self._blocks.pop(event.get("index", -1), None)
                return self._close(block) if block else []
            case "message_start":
                return self._message_start(event.get("message") or {})
            case "message_delta":
                self._message_delta(event)
                return []
            case "message_stop":
                return self._finish()
            case "ping":
                return [ir.KeepAlive()]
            case "error":
                self._ended = True
                return [failures.read(event.get("error") or event)]
        return []

    def done(self) -> list[ir.Event]:
        return self.close()

    def close(self) -> list[ir.Event]:
        """The end of the stream, also where it says nothing about it."""
        if self._ended:
            return []
        if self._stop is not None:
            return self._finish()
        self._ended = True
        return [ir.Failure("api", "the upstream's answer ended before it was complete")]

    def _message_start(self, message: dict[str, Any]) -> list[ir.Event]:
        events: list[ir.Event] = []
        if self._late:
            self._late = False
        elif self._started:
            if not self._spoken:
                return []
            # The answer begins again: block indexes restart, calls under way are void.
            for block in self._blocks.values():
                if block.held is None:
                    events += self._close(block)
            self._blocks.clear()
            self._usage = UsageReader(Format.ANTHROPIC)
        else:
            self._started = True
            events.append(ir.Start(message.get("id"), message.get("model")))
        self._usage.merge(message.get("usage"))
        for number, native in enumerate(message.get("content") or ()):
            events += self._block_start({"index": -1 - number, "content_block": native})
            events += self._close(self._blocks.pop(-1 - number))
        self._note_stop(message)
        return events

    def _block_start(self, event: dict[str, Any]) -> list[ir.Event]:
        number = event.get("index", -1)
        native = event.get("content_block") or {}
        if number in self._blocks:
            return []
        events: list[ir.Event] = [] if self._started else self._message_start({})
        self._late |= bool(events)
        self._spoken = True
        block = self._blocks[number] = _Block(self._next, native)
        self._next += 1
        if native.get("type") == "fallback" and isinstance(native.get("to"), dict):
            # Another model goes on, and signs what it thinks.
            self._model = native["to"].get("model") or self._model
        part = _opening(native, self._model)
        if part is None:
            return events
        start = ir.PartStart(block.index, part)
        block.written = True
        if type(part) is ir.ToolCall:
            block.held = [start]
            return events
        events.append(start)
        text = native.get("text") or native.get("thinking")
        if text:
            events.append(ir.Delta(block.index, text))
        block.sources += [ir.Cite(block.index, _citation(item)) for item in native.get("citations") or ()]
        return events

    def _delta(self, event: dict[str, Any]) -> list[ir.Event]:
        delta = event.get("delta") or {}
        number = event.get("index", -1)
        block = self._blocks.get(number)
        type_ = delta.get("type")
        if block is None:
            opening = {"text_delta": {"type": "text"}, "thinking_delta": {"type": "thinking"}}.get(str(type_))
            if opening is None:
                self._lost |= type_ == "input_json_delta"
                return []
            events = self._block_start({"index": number, "content_block": opening})
            return events + self._delta(event)
        if type_ == "text_delta" or type_ == "thinking_delta":
            text = delta.get("text") if type_ == "text_delta" else delta.get("thinking")
            return [ir.Delta(block.index, text)] if text and block.written else []
        if type_ == "input_json_delta":
            return self._input(block, delta.get("partial_json"))
        if type_ == "signature_delta":
            block.native = {**block.native, "signature": delta.get("signature")}
        elif type_ == "citations_delta" and isinstance(delta.get("citation"), dict) and block.written:
            block.sources.append(ir.Cite(block.index, _citation(delta["citation"])))
        return []

    def _input(self, block: _Block, text: str | None) -> list[ir.Event]:
        if not text:
            return []
        if not block.written:
            block.input.append(text)
            return []
        block.size += len(text)
        if block.held is None:
            return [ir.Delta(block.index, text)]
        block.held.append(ir.Delta(block.index, text))
        if block.size <= HOLD:
            return []
        held, block.held = block.held, None
        return held

    def _close(self, block: _Block) -> list[ir.Event]:
        native = block.native
        if not block.written:
            return self._server_block(block)
        events = [*(block.held or ()), *block.sources]
        self._called |= native.get("type") == "tool_use"
        value = native.get("signature")
        signature = ir.Signature(Format.ANTHROPIC, value, model=self._model) if value else None
        if native.get("type") == "tool_use" and not block.size and native.get("input"):
            # Code execution calls tools with the whole input at once.
            events = [*events, ir.Delta(block.index, orjson.dumps(native["input"]).decode())]
        events.append(ir.PartEnd(block.index, signature))
        return events

    def _server_block(self, block: _Block) -> list[ir.Event]:
        native = block.native
        if block.input:
            native = {**native, "input": arguments_object("".join(block.input))}
        part = read_server_block(native)
        return [ir.PartStart(block.index, part), ir.PartEnd(block.index)]

    def _message_delta(self, event: dict[str, Any]) -> None:
        usage = event.get("usage")
        if isinstance(usage, dict) and usage.get("input_tokens") == 0:
            # No prompt is empty: some compatible servers repeat the key with 0.
            known = self._usage.raw.get("input_tokens") and not usage.get("cache_read_input_tokens")
            usage = {key: value for key, value in usage.items() if key != "input_tokens" or not known}
        self._usage.merge(usage)
        self._note_stop(event.get("delta") or {})

    def _note_stop(self, fields: dict[str, Any]) -> None:
        stop = stops.read(Format.ANTHROPIC, fields.get("stop_reason"))
        if stop is None:
            return
        details = fields.get("stop_details")
        detail = details.get("explanation") if isinstance(details, dict) else None
        self._stop = ir.Finish(stop, sequence=fields.get("stop_sequence"), detail=detail)

    def _finish(self) -> list[ir.Event]:
        if self._ended:
            return []
        self._ended = True
        if not self._started:
            return [ir.Failure("api", "the upstream's answer was empty")]
        events: list[ir.Event] = []
        for block in self._blocks.values():
            events += self._close(block)
        self._blocks.clear()
        ending = self._stop or ir.Finish(ir.Stop.END)
        if ending.stop is ir.Stop.TOOL_CALLS and (self._lost or not self._called):
            return [
                *events,
                ir.Failure("api", "a tool call of the upstream's answer came without its beginning"),
            ]
        usage = self._usage.take()
        if usage is not None:
            events.append(ir.UsageReport(usage))
        return [*events, ending, ir.End()]


def _opening(native: dict[str, Any], model: str) -> ir.Part | None:
    """The part that a block of `model` opens; None for a block that is read when it is complete."""
    match native.get("type"):
        case "text":
            return ir.Text("")
        case "thinking":
            return ir.Thinking("")
        case "redacted_thinking":
            data = native.get("data") or ""
            signature = ir.Signature(Format.ANTHROPIC, data, dialect=carrier.REDACTED, model=model)
            return ir.Thinking("", signature, redacted=True)
        case "tool_use":
            return ir.ToolCall(native.get("id") or "", native.get("name") or "", "")
    return None


def _citation(native: dict[str, Any]) -> ir.Citation:
    return ir.Citation(
        native.get("url") or native.get("source"),
        native.get("title") or native.get("document_title"),
        native.get("cited_text"),
        native=(Format.ANTHROPIC, native),
    )
