"""Tool calls in a Chat Completions stream, told apart where hosts do not number them as OpenAI does.

OpenAI gives each call an ``index``, its id and name once, then argument fragments. Others send calls whole,
without an index, from index 1, several calls under one index, ids that are empty, names that come late.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from router_core.formats import carrier, ir
from router_core.formats.ir import Format
from router_core.formats.object_text import Damaged, ObjectText

_OWN: Final = frozenset({"index", "id", "type", "function", "custom"})


class Call:
    __slots__ = (
        "begun",
        "ended",
        "extra",
        "held",
        "id",
        "index",
        "kind",
        "name",
        "named",
        "object",
        "signature",
    )

    def __init__(self, index: int, id: str):
        self.index = index
        self.id = id
        self.name = ""
        self.named = False
        self.ended = False
        self.kind = "function"
        self.held: list[str] = []
        """Arguments that came before the name."""
        self.begun = False
        """Whether it has arguments."""
        self.object: ObjectText | None = ObjectText()
        """How far the arguments are an object; None where they are none."""
        self.signature: ir.Signature | None = None
        self.extra: dict[str, Any] = {}
        """Fields beyond OpenAI's own."""

    @property
    def complete(self) -> bool:
        """Whether the arguments are an object by now."""
        return self.object is not None and self.object.complete

    def add(self, text: str) -> None:
        self.begun = True
        if self.object is not None:
            try:
                self.object.feed(text)
            except Damaged:
                self.object = None


class CallReader:
    """The calls of one choice."""

    def __init__(self, choice: int):
        self._choice = choice
        self._by_index: dict[int, Call] = {}
        self._by_id: dict[str, Call] = {}
        self._last: Call | None = None
        self._open: list[Call] = []
        self._row: list[Call] = []
        """Of the last delta with several: Moonshot may tell what belongs to them by their places alone."""

    def read(self, fragments: list[Any], next_index: int) -> tuple[list[ir.Event], int]:
        """The events of one delta's ``tool_calls``, and the next free part index."""
        events: list[ir.Event] = []
        touched: set[int] = set()
        row: list[Call] = []
        before = self._row if len(fragments) > 1 else []
        for fragment in fragments:
            if not isinstance(fragment, dict):
                continue
            function = fragment.get("function") or fragment.get("custom") or {}
            last = before[len(row)] if len(row) < len(before) else self._last
            call = self._find(fragment, function, touched, last)
            if call is None:
                events += self._end_complete()
                call = Call(next_index, fragment.get("id") or "")
                next_index += 1
                self._add(call, fragment)
            if isinstance(fragment.get("index"), int):
                touched.add(fragment["index"])
            self._last = call
            row.append(call)
            events += self._extend(call, fragment, function)
        self._row = row if len(row) > 1 else self._row
        return events, next_index

    def end(self) -> list[ir.Event]:
        """Ends what is open. A call that never got a name is none, unless it was given something."""
        events = [self._end(call) for call in self._open if call.named]
        for call in self._open:
            if not call.named and "".join(call.held).strip() not in ("", "{}"):
                events.append(ir.Failure("api", "a tool call of the upstream's answer came without its name"))
        self._open.clear()
        return events

    def _end_complete(self) -> list[ir.Event]:
        """Ends the calls whose arguments are complete, so that the next one need not wait for them."""
        whole = [call for call in self._open if call.named and call.complete]
        if whole:
            self._open = [call for call in self._open if call not in whole]
        return [self._end(call) for call in whole]

    @staticmethod
    def _end(call: Call) -> ir.Event:
        call.ended = True
        return ir.PartEnd(call.index)

    def _find(
        self, fragment: dict[str, Any], function: dict[str, Any], touched: set[int], last: Call | None
    ) -> Call | None:
        """The call that a fragment continues, which is `last` where nothing tells, None where it begins one."""
        id, index = fragment.get("id") or "", fragment.get("index")
        name = function.get("name") or ""
        if not isinstance(index, int):
            if id:
                return self._by_id.get(id)
            return None if name else last
        call = self._by_index.get(index)
        if call is None:
            return None
        if id and call.id and id != call.id:
            return self._by_id.get(id)
        if name and call.name and not id:
            if name != call.name or index in touched:
                return None
            text = function.get("arguments")
            if call.begun and isinstance(text, str) and text.lstrip().startswith("{") and call.complete:
                return None
        return call

    def _add(self, call: Call, fragment: dict[str, Any]) -> None:
        self._open.append(call)
        if call.id:
            self._by_id[call.id] = call
        if isinstance(fragment.get("index"), int):
            self._by_index[fragment["index"]] = call

    def _extend(self, call: Call, fragment: dict[str, Any], function: dict[str, Any]) -> list[ir.Event]:
        if not call.id and fragment.get("id"):
            call.id = fragment["id"]
            self._by_id[call.id] = call
        text = function.get("arguments")
        if text is None:
            text = function.get("input")
        if isinstance(text, dict | list):
            text = orjson.dumps(text).decode()
        elif text == "null" and not call.begun:
            text = None
        for key in fragment.keys() - _OWN:
            call.extra[key] = fragment[key]
        if call.extra:
            call.signature = google_signature(call.extra)
        events: list[ir.Event] = []
        name = function.get("name")
        if not call.named and isinstance(name, str) and name:
            call.name, call.named = name, True
            call.kind = "custom" if "custom" in fragment else "function"
            part = ir.ToolCall(call.id, name, "", call.kind, signature=call.signature)  # type: ignore[arg-type]
            events.append(ir.PartStart(call.index, part, self._choice))
            events += [ir.Delta(call.index, earlier) for earlier in call.held]
            call.held.clear()
        if isinstance(text, str) and text:
            if call.ended:
                return events
            call.add(text)
            if call.named:
                events.append(ir.Delta(call.index, text))
            else:
                call.held.append(text)
        return events


def google_signature(fields: dict[str, Any]) -> ir.Signature | None:
    extra = fields.get("extra_content")
    google = extra.get("google") if isinstance(extra, dict) else None
    value = google.get("thought_signature") if isinstance(google, dict) else None
    return carrier.read(value, Format.GEMINI) if isinstance(value, str) else None
