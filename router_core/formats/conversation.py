"""Conversations put into the shape that every upstream accepts, whatever the client's format allowed."""

from __future__ import annotations

from itertools import cycle
from typing import Final

import orjson

from router_core.formats.ir import (
    Format,
    Media,
    Part,
    Request,
    ResponseFormat,
    Role,
    ServerTool,
    Text,
    Turn,
    Unsupported,
)
from router_core.formats.settling import is_settled, settle

REMINDER: Final = ("<system-reminder>\n", "\n</system-reminder>")
"""Surrounds a system turn in the middle of a conversation where only users and models have turns."""
_REMINDED: Final = "system turns in the conversation: reminders in the user's turns"
OPENING: Final = "(the conversation continues)"
"""The user's first turn where a format wants one and the conversation begins with the model."""
ERROR_PREFIX: Final = "[tool error] "
"""Marks a failed tool's result in formats that have no field for it."""


def for_upstream(turns: list[Turn], format: Format, notes: list[str]) -> list[Turn]:
    """`turns` as models of `format` take them: see `repeatable`, `settle` and `alternate`.

    They may be changed in place; what is said otherwise is in `notes`.
    """
    if turns and turns[-1].role == "assistant" and format not in _ALTERNATING:
        notes.append(PREFILL_TURN)
    if _plain(turns):
        return turns
    kinds = {type(part) for turn in turns if type(turn.content) is list for part in turn.content}
    if not _UNREPEATED.isdisjoint(kinds):
        turns = repeatable(turns, format, notes)
    if not is_settled(turns):
        turns = settle(turns, notes)
    return alternate(turns, notes) if format in _ALTERNATING else turns


def _plain(turns: list[Turn]) -> bool:
    """Whether they are texts by turns of the user and the model, with which nothing is to be done."""
    for turn, role in zip(turns, cycle(_SPEAKERS), strict=False):
        if turn.role != role or type(turn.content) is not str or not turn.content:
            return False
    return bool(turns)


_SPEAKERS: Final[tuple[Role, Role]] = ("user", "assistant")
_ALTERNATING: Final = frozenset({Format.ANTHROPIC, Format.GEMINI})
_UNREPEATED: Final = frozenset({ServerTool, Media})


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
    return Text(f"{REMINDER[0]}{text.text}{REMINDER[1]}", text.cache)


PREFILL_TURN: Final = "prefill: an ordinary turn of the model's"
PREFILL_ASKED: Final = "prefill: the model takes none and is asked to go on"
GO_ON: Final = "Go on exactly where you stopped."
"""Said to a model that does not take the beginning of its answer."""
LED_NOWHERE: Final = "reasoning that led to nothing is left out"
"""Said of a turn that ends with it, which its maker would refuse."""
ONLY_ALLOWED: Final = "allowed tools: only these are offered"
"""Said where a format has no list of them beside the tools."""
FORMAT_IN_WORDS: Final = "response format: asked for in words"
_JSON_ONLY: Final = "Answer with one JSON value and nothing else: no prose, no code fence."
JSON_WORD: Final = "Answer in JSON."
"""Said where nobody has said it: OpenAI refuses its JSON mode to conversations without the word."""


def asked_for_json(wanted: ResponseFormat) -> str:
    """The words that ask for an answer of the format `wanted`, where the model has no other way."""
    if wanted.schema is None:
        return _JSON_ONLY
    return f"{_JSON_ONLY} It follows this JSON Schema:\n{orjson.dumps(wanted.schema).decode()}"


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
