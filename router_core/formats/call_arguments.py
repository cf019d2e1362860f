"""Tool calls as their client must have them: with the JSON of one object, whatever came.

A piece that is lost, repeated or moved, or a model that writes no JSON, makes arguments that no format but OpenAI's
can hold and no tool understands. They are handed on whole under a key that no tool has: the tool refuses them, and
the model is told and calls again. An error would end the turn instead: Claude Code asks again on an error inside a
stream only while no block of the answer is complete. So arguments are held until they are whole, and what is too
long for that goes on while it comes, as far as it begins an object; there only the error is left.
"""

from __future__ import annotations

import logging
from collections.abc import Container
from typing import Final

import orjson

from router_core.formats import ir
from router_core.formats.object_text import Damaged, ObjectText
from router_core.formats.shape import UNREADABLE
from router_core.json_document import serialise

logger = logging.getLogger(__name__)

HOLD: Final = 4 << 10
"""Characters of a call that are held until it is whole."""
_ALIVE: Final = 32
"""Held pieces after which the client hears that the answer goes on."""
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
"""Endings that may cut a call off, which the client can tell by them."""


class _Call:
    """A call under way."""

    __slots__ = ("choice", "free", "given", "held", "index", "name", "size", "text")

    def __init__(self, index: int, name: str, choice: int, free: bool):
        self.index = index
        self.name = name
        self.choice = choice
        self.free = free
        """Whether the client's tool takes free text, so that words will do too."""
        self.given: list[str] = []
        """The pieces as they came, while they are held."""
        self.held: list[str] | None = []
        """What the client gets of them; None where they are no object."""
        self.size = 0
        self.text = ObjectText()

    @property
    def passing(self) -> bool:
        """Whether the arguments are too long to be held."""
        return self.size > HOLD


class CallArguments:
    """Passes one answer's events on, those of calls when it is known what they are."""

    def __init__(self, free: Container[str]) -> None:
        """`free`: the names of tools whose client takes free text."""
        self._free = free
        self._calls: dict[int, _Call] = {}
        self._cut: dict[int, _Call] = {}
        """By choice: a call that has ended and is not whole, until the choice's ending tells why."""
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
                return _more(self._calls[event.index], event.text)
            case ir.PartStart():
                part = event.part
                if type(part) is ir.ToolCall and part.kind == "function":
                    call = _Call(event.index, part.name, event.choice, part.name in self._free)
                    self._calls[event.index] = call
                cut = self._cut.pop(event.choice, None)
                return [event] if cut is None else [*_unreadable(cut), ir.PartEnd(cut.index), event]
            case ir.PartEnd() if event.index in self._calls:
                return self._end(self._calls.pop(event.index), event)
            case ir.PartEnd() if event.instead is not None:
                raise Damaged("the input of a tool call came damaged")
            case ir.Finish() if event.choice in self._cut:
                cut = self._cut.pop(event.choice)
                rest = _held(cut) if event.stop in _CUTTING else _unreadable(cut)
                return [*rest, ir.PartEnd(cut.index), event]
        return [event]

    def _end(self, call: _Call, event: ir.PartEnd) -> list[ir.Event]:
        if event.instead is not None:
            _begin_again(call, event.instead)
        if call.held is None:
            return [*_other_words(call), event]
        if call.text.complete or not call.text.begun:
            return [*_held(call), event]
        self._cut[call.choice] = call
        return []


def _more(call: _Call, text: str) -> list[ir.Event]:
    held = call.passing
    call.size += len(text)
    if held:
        return _passed(call, text)
    _take(call, text)
    if not call.passing:
        return [ir.KeepAlive()] if len(call.given) % _ALIVE == 0 else []
    if call.held is None and not call.free:
        raise _damage(call)
    if call.held is None:
        # The client's tool takes the words themselves, which are held for it anyway.
        call.size = 0
        return []
    call.given.clear()
    return _held(call)


def _begin_again(call: _Call, text: str) -> None:
    """Takes `text` for what was said, of which nothing may have been passed on."""
    if call.passing:
        raise _damage(call)
    call.given, call.held, call.text = [], [], ObjectText()
    _take(call, text)


def _take(call: _Call, text: str) -> None:
    call.given.append(text)
    if call.held is not None:
        try:
            call.held.append(call.text.feed(text))
        except Damaged:
            call.held = None


def _passed(call: _Call, text: str) -> list[ir.Event]:
    try:
        text = call.text.feed(text)
    except Damaged:
        raise _damage(call) from None
    return [ir.Delta(call.index, text)] if text else []


def _held(call: _Call) -> list[ir.Event]:
    pieces, call.held = call.held or (), []
    return [ir.Delta(call.index, piece) for piece in pieces if piece]


def _other_words(call: _Call) -> list[ir.Event]:
    """Arguments that are no object: ``null`` is nothing, a string may hold them, which some encode twice, and
    some say ``{}`` before they say them."""
    text = "".join(call.given)
    value = _parsed(text)
    if value is None or value == "":
        return []
    if isinstance(value, str) and isinstance(_parsed(value), dict):
        return [ir.Delta(call.index, value)]
    if text.startswith("{}") and isinstance(_parsed(text[2:]), dict):
        return [ir.Delta(call.index, text[2:])]
    if call.free and not text.lstrip().startswith("{"):
        return [ir.Delta(call.index, text)]
    return _unreadable(call)


def _parsed(text: str) -> object:
    """The JSON value of `text`; `text` itself where it is none."""
    try:
        return orjson.loads(text)
    except ValueError:
        return text


def _unreadable(call: _Call) -> list[ir.Event]:
    if call.passing:
        raise _damage(call)
    logger.info("the arguments of a call to %s are no object", call.name)
    return [ir.Delta(call.index, serialise({UNREADABLE: "".join(call.given)}).decode())]


def _damage(call: _Call) -> Damaged:
    return Damaged(f"the arguments of the call to {call.name} came damaged")
