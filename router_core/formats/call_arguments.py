"""Tool calls as their client must have them: with the JSON of one object, or not at all.

A piece that is lost, repeated or moved, or a model that writes no JSON, makes a call that nobody meant. It ends
the answer with an error, on which clients ask again, as soon as it shows; what was passed on until then is the
beginning of an object. Only what an answer's limit cut off is let through, because its ending says so.
"""

from __future__ import annotations

from typing import Final

import orjson

from router_core.formats import ir
from router_core.formats.object_text import Damaged, ObjectText

_CUTTING: Final = frozenset(
    {
        ir.Stop.LENGTH,
        ir.Stop.CONTEXT,
        ir.Stop.CONTENT_FILTER,
        ir.Stop.REFUSAL,
        ir.Stop.STOP_SEQUENCE,
        ir.Stop.PAUSE,
    }
)
"""Endings that may cut a call off."""


class _Call:
    __slots__ = ("choice", "name", "odd", "text")

    def __init__(self, name: str, choice: int):
        self.name = name
        self.choice = choice
        self.text = ObjectText()
        self.odd: list[str] | None = None
        """The pieces of arguments that begin otherwise than an object."""


class CallArguments:
    """Passes one answer's events on, and a failure instead of what follows a damaged call."""

    def __init__(self) -> None:
        self._calls: dict[int, _Call] = {}
        self._cut: dict[int, tuple[ir.PartEnd, _Call]] = {}
        """By choice: the end of a call that is not whole, until the choice's ending tells why."""
        self._over = False

    def push(self, event: ir.Event) -> list[ir.Event]:
        if self._over:
            return []
        if type(event) is ir.Delta and event.index not in self._calls:
            return [event]
        try:
            return self._push(event)
        except Damaged as problem:
            self._over = True
            return [ir.Failure("api", str(problem))]

    def _push(self, event: ir.Event) -> list[ir.Event]:
        match event:
            case ir.Delta():
                return _more(self._calls[event.index], event)
            case ir.PartStart():
                if event.choice in self._cut:
                    raise _damage(self._cut[event.choice][1], "they are not complete")
                if type(event.part) is ir.ToolCall and event.part.kind == "function":
                    self._calls[event.index] = _Call(event.part.name, event.choice)
            case ir.PartEnd():
                call = self._calls.pop(event.index, None)
                return [event] if call is None else self._end(call, event)
            case ir.Finish() if event.choice in self._cut:
                end, call = self._cut.pop(event.choice)
                if event.stop not in _CUTTING:
                    raise _damage(call, "they are not complete")
                return [end, event]
        return [event]

    def _end(self, call: _Call, event: ir.PartEnd) -> list[ir.Event]:
        if call.odd is not None:
            text = _odd_arguments(call, "".join(call.odd))
            return [ir.Delta(event.index, text), event] if text else [event]
        if call.text.complete or not call.text.begun:
            return [event]
        self._cut[call.choice] = (event, call)
        return []


def _more(call: _Call, event: ir.Delta) -> list[ir.Event]:
    if call.odd is not None:
        call.odd.append(event.text)
        return []
    begun = call.text.begun
    try:
        text = call.text.feed(event.text)
    except Damaged as problem:
        if begun or event.text.lstrip()[:1] not in ('"', "n"):
            raise _damage(call, str(problem)) from None
        call.odd = [event.text]
        return []
    if not text:
        return []
    return [event] if text == event.text else [ir.Delta(event.index, text)]


def _odd_arguments(call: _Call, text: str) -> str:
    """``null`` is nothing; a string may hold the arguments, which some gateways encode twice."""
    try:
        value = orjson.loads(text)
        inner = value if isinstance(value, str) else None
        value = orjson.loads(inner) if inner else None
    except ValueError:
        raise _damage(call, "no JSON") from None
    if value is not None and not isinstance(value, dict):
        raise _damage(call, "no object")
    return inner if inner and isinstance(value, dict) else ""


def _damage(call: _Call, problem: str) -> Damaged:
    return Damaged(f"the arguments of the call to {call.name} came damaged: {problem}")
