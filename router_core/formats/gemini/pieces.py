"""A model's turns as it said them, where a client keeps the pieces that they were streamed in.

Google's client libraries put every chunk of an answer into the history as a content of its own.
"""

from __future__ import annotations

from router_core.formats.ir import Part, Text, Thinking, Turn


def rejoined(turns: list[Turn]) -> list[Turn]:
    """`turns` with the model's that follow each other as one, and with their texts whole. Changed in place."""
    whole: list[Turn] = []
    for turn in turns:
        if turn.role == "assistant" and whole and whole[-1].role == "assistant":
            whole[-1].parts.extend(turn.parts)
        else:
            whole.append(turn)
    for turn in whole:
        if turn.role == "assistant" and type(turn.content) is list and _in_pieces(turn.content):
            turn.content = _joined(turn.content)
    return whole


def _in_pieces(said: list[Part]) -> bool:
    before: type | None = None
    for part in said:
        kind = type(part)
        if kind is before and (kind is Text or kind is Thinking):
            return True
        before = kind
    return False


def _joined(said: list[Part]) -> list[Part]:
    """`said` with neighbouring pieces of one text, or of one thought, in one part."""
    parts: list[Part] = []
    pieces: list[Text] | list[Thinking] = []
    for part in said:
        if pieces and not _goes_on(pieces[-1], part):
            parts.append(_whole(pieces))
            pieces = []
        if type(part) is Text or type(part) is Thinking:
            pieces.append(part)  # type: ignore[arg-type]
        else:
            parts.append(part)
    return [*parts, _whole(pieces)] if pieces else parts


def _goes_on(last: Text | Thinking, part: Part) -> bool:
    """Whether `part` continues the text of `last`: what is signed is complete, what is redacted is no text."""
    redacted = type(part) is Thinking and part.redacted
    return type(part) is type(last) and last.signature is None and not redacted


def _whole(pieces: list[Text] | list[Thinking]) -> Part:
    last = pieces[-1]
    if len(pieces) == 1 or (type(last) is Thinking and last.signature is not None):
        # A thought's signature brings all of its text along: see `router_core.formats.carrier.pack`.
        return last
    text = "".join(piece.text for piece in pieces)
    return Text(text, signature=last.signature) if type(last) is Text else Thinking(text)
