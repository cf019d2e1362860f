"""Conversations put into the shape that every upstream accepts, whatever the client's format allowed.

Upstreams want each tool call answered exactly once, directly after the turn that made it. Clients may
leave calls open (an interrupted turn), answer out of order, answer twice, or send results whose call is
gone; Gemini and some gateways name calls with no id at all.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Final

from router_core.formats.ir import Part, Text, ToolCall, ToolResult, Turn

NO_RESULT: Final = "[no result]"
"""Stands for the result of a call that was never answered."""
REMINDER: Final = ("<system-reminder>\n", "\n</system-reminder>")
"""Surrounds a system turn in the middle of a conversation where only users and models have turns."""
OPENING: Final = "(the conversation continues)"
"""The user's first turn where a format wants one and the conversation begins with the model."""
ERROR_PREFIX: Final = "[tool error] "
"""Marks a failed tool's result in formats that have no field for it."""


def settle(turns: list[Turn], notes: list[str]) -> list[Turn]:
    """`turns` with consecutive model turns joined and every call answered directly after its turn.

    What had to be repaired is said in `notes`. The turns and parts given are not changed.
    """
    results = _by_id(turns)
    settled: list[Turn] = []
    seen: set[str] = set()
    position = 0
    while position < len(turns):
        turn = turns[position]
        position += 1
        if turn.role != "assistant":
            parts = [part for part in turn.parts if type(part) is not ToolResult]
            if parts or not turn.parts:
                _append(settled, Turn(turn.role, parts, turn.name))
            continue
        parts = list(turn.parts)
        while position < len(turns) and turns[position].role == "assistant":
            parts += turns[position].parts
            position += 1
        unnamed = _unnamed(turns, position)
        answers: list[Part] = []
        for number, part in enumerate(parts):
            if type(part) is not ToolCall:
                continue
            id = part.id
            result = _take(results, unnamed, part)
            if result is None:
                notes.append(f"tool call {id or part.name}: no result in the request")
                result = ToolResult(id, NO_RESULT, part.name, kind=part.kind)
            if not id or id in seen:
                id = _fresh(id or "call", len(settled), len(answers), seen)
                parts[number] = replace(part, id=id)
            seen.add(id)
            answers.append(replace(result, id=id, name=part.name, namespace=part.namespace, kind=part.kind))
        settled.append(Turn("assistant", parts, turn.name))
        if answers:
            settled.append(Turn("user", answers))
    _report_orphans(results, notes)
    return settled


def _append(settled: list[Turn], turn: Turn) -> None:
    """Joins what the user says to the results that directly precede it."""
    last = settled[-1] if settled else None
    if (
        last is not None
        and turn.role == last.role == "user"
        and last.parts
        and type(last.parts[-1]) is ToolResult
    ):
        last.parts += turn.parts
    else:
        settled.append(turn)


def _by_id(turns: list[Turn]) -> dict[str, deque[ToolResult]]:
    results: dict[str, deque[ToolResult]] = {}
    for turn in turns:
        for part in turn.parts:
            if type(part) is ToolResult and part.id:
                results.setdefault(part.id, deque()).append(part)
    return results


def _unnamed(turns: list[Turn], position: int) -> list[ToolResult]:
    """The results without an id up to the model's next turn."""
    found: list[ToolResult] = []
    for turn in turns[position:]:
        if turn.role == "assistant":
            break
        found += [part for part in turn.parts if type(part) is ToolResult and not part.id]
    return found


def _take(
    results: dict[str, deque[ToolResult]], unnamed: list[ToolResult], call: ToolCall
) -> ToolResult | None:
    waiting = results.get(call.id) if call.id else None
    if waiting:
        return waiting.popleft()
    for number, result in enumerate(unnamed):
        if result.name is None or result.name == call.name:
            return unnamed.pop(number)
    return None


def _fresh(stem: str, turn: int, number: int, seen: set[str]) -> str:
    id = f"{stem}_{turn}_{number}"
    while id in seen:
        id += "x"
    return id


def _report_orphans(results: dict[str, deque[ToolResult]], notes: list[str]) -> None:
    for id, rest in results.items():
        notes.extend(f"tool result {id}: no call to answer" for _ in rest)


def alternate(turns: list[Turn], opening: str = OPENING) -> list[Turn]:
    """User and model turns that alternate and begin with the user's; system turns become reminders.

    Turns without parts are left out.
    """
    merged: list[Turn] = []
    for turn in turns:
        parts = turn.parts
        role = turn.role
        if role == "system":
            parts, role = [remind(part) if type(part) is Text else part for part in parts], "user"
        parts = [part for part in parts if not (type(part) is Text and not part.text and not part.signature)]
        if not parts:
            continue
        if merged and merged[-1].role == role:
            merged[-1].parts += parts
        else:
            merged.append(Turn(role, list(parts), turn.name))
    if not merged or merged[0].role == "assistant":
        merged.insert(0, Turn("user", [Text(opening)]))
    return merged


def remind(text: Text) -> Text:
    return replace(text, text=f"{REMINDER[0]}{text.text}{REMINDER[1]}")


def plain(parts: str | list[Part]) -> str:
    """The text of a tool result, without its media."""
    if isinstance(parts, str):
        return parts
    return "\n".join(part.text for part in parts if type(part) is Text)
