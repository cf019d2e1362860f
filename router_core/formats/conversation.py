"""Conversations put into the shape that every upstream accepts, whatever the client's format allowed.

Upstreams want each tool call answered exactly once, directly after the turn that made it. Clients may
leave calls open (an interrupted turn), answer out of order, answer twice, or send results whose call is
gone; Gemini and some gateways name calls with no id at all.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from router_core.formats.ir import (
    Format,
    Media,
    Part,
    Request,
    Role,
    ServerTool,
    Text,
    ToolCall,
    ToolResult,
    Turn,
    Unsupported,
)

NO_RESULT: Final = "[no result]"
"""Stands for the result of a call that was never answered."""
REMINDER: Final = ("<system-reminder>\n", "\n</system-reminder>")
"""Surrounds a system turn in the middle of a conversation where only users and models have turns."""
_REMINDED: Final = "system turns in the conversation: reminders in the user's turns"
OPENING: Final = "(the conversation continues)"
"""The user's first turn where a format wants one and the conversation begins with the model."""
ERROR_PREFIX: Final = "[tool error] "
"""Marks a failed tool's result in formats that have no field for it."""


def for_upstream(turns: list[Turn], format: Format, notes: list[str]) -> list[Turn]:
    """`turns` as models of `format` take them: see `repeatable` and `settle`. They may be changed in place."""
    if turns and turns[-1].role == "assistant" and format is not Format.ANTHROPIC:
        notes.append("prefill: an ordinary turn of the model's")
    kinds = {type(part) for turn in turns if type(turn.content) is list for part in turn.content}
    if not _UNREPEATED.isdisjoint(kinds):
        turns = repeatable(turns, format, notes)
    return turns if _settled(turns) else settle(turns, notes)


_UNREPEATED: Final = frozenset({ServerTool, Media})


def _settled(turns: list[Turn]) -> bool:
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


def alternate(turns: list[Turn], notes: list[str]) -> list[Turn]:
    """User and model turns that alternate and begin with the user's; system turns become reminders, said in `notes`.

    Turns without parts are left out. The turns may be changed in place.
    """
    merged: list[Turn] = []
    before: str | None = None
    for turn in turns:
        if type(turn.content) is list:
            turn.content = [p for p in turn.content if type(p) is not Text or p.text or p.signature]
        if not turn.content:
            continue
        role: Role = turn.role
        if role == "system":
            role = "user"
            if _REMINDED not in notes:
                notes.append(_REMINDED)
            turn = Turn(role, [remind(part) if type(part) is Text else part for part in turn.parts])
        if role == before:
            merged[-1].parts.extend(turn.parts)
        else:
            merged.append(turn)
            before = role
    if not merged or merged[0].role == "assistant":
        merged.insert(0, Turn("user", [Text(OPENING)]))
    return merged


def repeatable(turns: list[Turn], format: Format, notes: list[str]) -> list[Turn]:
    """`turns` without what models of `format` cannot be shown again of a model's turns.

    That is what another provider's tools did, and media that a model made where only users show them. A turn
    that held nothing else is left out, so that it is no prefill. What was left out is said in `notes`.
    """
    kept: list[Turn] = []
    for turn in turns:
        if turn.role == "assistant" and not _UNREPEATED.isdisjoint(map(type, turn.content)):
            turn.content = [part for part in turn.parts if not _foreign(part, format, notes)]
            if not turn.content:
                continue
        kept.append(turn)
    return kept


def _foreign(part: Part, format: Format, notes: list[str]) -> bool:
    if type(part) is ServerTool and not (part.native and part.native[0] is format):
        note = f"{part.tool}: what the other provider ran is left out"
    elif type(part) is Media and format is not Format.GEMINI:
        note = f"{part.kind} of the model: left out, only users show them"
    else:
        return False
    if note not in notes:
        notes.append(note)
    return True


def refuse_forced(request: Request) -> None:
    """Raises Unsupported where the client forces a tool and only providers' tools were offered, in vain."""
    choice = request.tool_choice
    if choice is not None and choice.mode == "required" and request.server_tools:
        raise Unsupported(f"a forced {request.server_tools[0].name}, which runs at another provider")


def remind(text: Text) -> Text:
    return replace(text, text=f"{REMINDER[0]}{text.text}{REMINDER[1]}")


ONLY_ALLOWED: Final = "allowed tools: only these are offered"
"""Said where a format has no list of them beside the tools."""
JSON_WORD: Final = "Answer in JSON."
"""Said where nobody has said it: OpenAI refuses its JSON mode to conversations without the word."""


def says_json(request: Request, *, system: bool = True) -> bool:
    """Whether the word JSON stands in the texts of the conversation, those of the `system` included."""
    texts = [text.text for text in request.system] if system else []
    for turn in request.turns:
        content = turn.content
        texts += (
            [content] if isinstance(content, str) else [part.text for part in content if type(part) is Text]
        )
    return any("json" in text.lower() for text in texts)


def plain(parts: str | list[Part]) -> str:
    """The text of a tool result, without its media."""
    if isinstance(parts, str):
        return parts
    return "\n".join(part.text for part in parts if type(part) is Text)


def marked_within(parts: str | list[Part]) -> bool:
    """Whether a cache mark stands within a tool result."""
    return type(parts) is list and any(type(p) in (Text, Media) and p.cache for p in parts)  # type: ignore[union-attr]


def media_in(parts: str | list[Part]) -> list[Media]:
    """The media of a tool result."""
    return [] if isinstance(parts, str) else [part for part in parts if type(part) is Media]
