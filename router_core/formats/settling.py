"""Tool calls and their results put in the order that every upstream wants: each answered once, after its turn.

Clients may leave calls open (an interrupted turn), answer out of order, answer twice, or send results whose call is
gone; Gemini and some gateways name calls with no id at all.
"""

from __future__ import annotations

from typing import Final

from router_core.formats.ir import Part, Role, ToolCall, ToolResult, Turn

NO_RESULT: Final = "[no result]"
"""Stands for the result of a call that was never answered."""


def is_settled(turns: list[Turn]) -> bool:
    """Whether there is nothing for `settle` to do but name the results, which is done: nearly all clients keep order."""
    seen: set[str] = set()
    calls: list[ToolCall] = []
    before: Role | None = None
    for turn in turns:
        role, content = turn.role, turn.content
        if role == "assistant":
            if calls or before == role:
                return False
            if type(content) is list:
                calls = [part for part in content if type(part) is ToolCall]
        elif calls:
            if type(content) is str or not _answered(calls, content, seen):  # type: ignore[arg-type]
                return False
            calls = []
        elif type(content) is list and ToolResult in map(type, content):
            return False
        before = role
    return not calls


def _answered(calls: list[ToolCall], content: list[Part], seen: set[str]) -> bool:
    """Whether `content` begins with the results of `calls` and holds no others; the results are named."""
    for call, result in zip(calls, content, strict=False):
        id = call.id
        if type(result) is not ToolResult or result.id != id or id in seen or not id:
            return False
        seen.add(id)
        result.name, result.namespace, result.kind = call.name, call.namespace, call.kind
    more = len(content) - len(calls)
    return more == 0 or (more > 0 and ToolResult not in map(type, content[-more:]))


def settle(turns: list[Turn], notes: list[str]) -> list[Turn]:
    """`turns` with consecutive model turns joined and every call answered directly after its turn.

    What had to be repaired is said in `notes`. The parts are put in order in place.
    """
    results = _Results(turns)
    settled: list[Turn] = []
    seen: set[str] = set()
    position, count = 0, len(turns)
    while position < count:
        turn = turns[position]
        position += 1
        if turn.role != "assistant":
            _append(settled, turn, results.answers(position - 1))
            continue
        if position < count and turns[position].role == "assistant":
            said = list(turn.parts)
            while position < count and turns[position].role == "assistant":
                said += turns[position].parts
                position += 1
            turn = Turn("assistant", said)
        settled.append(turn)
        calls = [] if type(turn.content) is str else [part for part in turn.parts if type(part) is ToolCall]
        if calls:
            answers: list[Part] = []
            unnamed: list[ToolResult] | None = None
            for call in calls:
                result = results.take(call.id)
                if result is None:
                    unnamed = _unnamed(turns, position) if unnamed is None else unnamed
                    result = _take(unnamed, call, notes)
                if not call.id or call.id in seen:
                    call.id = _fresh(call.id or "call", len(settled), len(answers), seen)
                seen.add(call.id)
                result.id, result.name, result.namespace = call.id, call.name, call.namespace
                result.kind = call.kind
                answers.append(result)
            settled.append(Turn("user", answers))
    notes.extend(f"tool result {id}: no call to answer" for id in results.left())
    return settled


def _append(settled: list[Turn], turn: Turn, answers: bool) -> None:
    """Adds what the turn says beside results; to the results that directly precede it, if it is the user's."""
    if answers:
        parts = [part for part in turn.parts if type(part) is not ToolResult]
        if not parts:
            return
        turn = Turn(turn.role, parts)
    last = settled[-1].content if settled and turn.role == "user" and settled[-1].role == "user" else ""
    if last and type(last) is list and type(last[-1]) is ToolResult:
        last += turn.parts
    else:
        settled.append(turn)


class _Results:
    """The results of a conversation by the ids of their calls, each of which is taken once."""

    def __init__(self, turns: list[Turn]):
        self._first: dict[str, ToolResult] = {}
        self._more: dict[str, list[ToolResult]] = {}
        """Further results of one id, which some clients use again and again."""
        self._places: set[int] = set()
        for place, turn in enumerate(turns):
            if turn.role != "assistant" and type(turn.content) is list:
                for part in turn.content:
                    if type(part) is ToolResult:
                        self._places.add(place)
                        if part.id in self._first:
                            self._more.setdefault(part.id, []).append(part)
                        elif part.id:
                            self._first[part.id] = part

    def answers(self, place: int) -> bool:
        """Whether the turn at `place` holds results."""
        return place in self._places

    def take(self, id: str) -> ToolResult | None:
        result = self._first.pop(id, None)
        if id in self._more:
            self._first[id] = self._more[id].pop(0)
            if not self._more[id]:
                del self._more[id]
        return result

    def left(self) -> list[str]:
        return [*self._first, *(id for id, rest in self._more.items() for _ in rest)]


def _unnamed(turns: list[Turn], position: int) -> list[ToolResult]:
    """The results without an id up to the model's next turn."""
    found: list[ToolResult] = []
    for turn in turns[position:]:
        if turn.role == "assistant":
            break
        found += [part for part in turn.parts if type(part) is ToolResult and not part.id]
    return found


def _take(unnamed: list[ToolResult], call: ToolCall, notes: list[str]) -> ToolResult:
    """The first result without an id that may be the call's, or what stands for one that is missing."""
    for number, result in enumerate(unnamed):
        if result.name is None or result.name == call.name:
            return unnamed.pop(number)
    notes.append(f"tool call {call.id or call.name}: no result in the request")
    return ToolResult(call.id, NO_RESULT)


def _fresh(stem: str, turn: int, number: int, seen: set[str]) -> str:
    id = f"{stem}_{turn}_{number}"
    while id in seen:
        id += "x"
    return id
