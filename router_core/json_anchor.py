"""Finds the few edited items of a large JSON text by searching for their own bytes, and proves the result.

Finding the edited places by reading all that stands before them costs more than reading the whole text the
first time did. But an edit mostly concerns one or two items of one long list (a turn of a conversation), whose
bytes stand nowhere else. A search finds these at the speed of memory; that the right ones were found is shown
by reading the edited text once.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from typing import Final

import orjson

from router_core.json_text import Json, parse

MIN_BYTES: Final = 32 << 10
"""Below, the edited places are found as fast by reading."""
MAX_EDITS: Final = 8
_DEPTH: Final = 2
"""Of an item of a list that is a value of the text's object."""
_INDENT: Final = re.compile(rb"[ \t\r\n]*\{\n([ \t]+)\"")
_SPACED: Final = re.compile(rb"[ \t\r\n]*\{\"[^\"\\]*\": ")

type Edit = tuple[str | None, Json, Json]
"""The key of a member, or None for an item of a list; the value before and after."""
type Write = Callable[[Json], str]
type Splice = Callable[[bytes, Json, Json], bytes]


def replaced(body: bytes, before: Json, after: Json, splice: Splice) -> bytes | None:
    """`body`, whose value is `before`, edited to have the value `after`; None where this way does not lead there.

    `splice` edits one item. Key order and the bytes of all values that are not edited stay.
    """
    if len(body) < MIN_BYTES or (edits := _edits(before, after)) is None or not _single(body, before, after):
        return None
    spelling = _spelling(body)
    if (found := _found(body, edits, spelling)) is None:
        return None
    pieces: list[bytes] = []
    position = 0
    for start, text, (key, old, new) in found:
        pieces += (body[position:start], _member(key, new, spelling) if key else splice(text, old, new))
        position = start + len(text)
    result = b"".join((*pieces, body[position:]))
    try:
        return result if parse(result) == after else None
    except (ValueError, RecursionError):
        return None


def _edits(before: Json, after: Json) -> list[Edit] | None:
    """What differs, where that is a few values of members and items of lists, each in its place."""
    if not (isinstance(before, dict) and isinstance(after, dict)) or list(before) != list(after):
        return None
    edits: list[Edit] = []
    for key, old in before.items():
        new = after[key]
        if old is new:
            continue
        if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
            edits += ((None, a, b) for a, b in zip(old, new, strict=True) if a is not b)
        elif isinstance(old, str) and isinstance(new, str):
            edits.append((key, old, new))
        else:
            return None
        if len(edits) > MAX_EDITS:
            return None
    # Values that are equal to each other, as 1 and 1.0, would prove nothing.
    editable = all(key or (isinstance(a, dict) and isinstance(b, dict)) for key, a, b in edits)
    return edits if editable and all(a != b for _, a, b in edits) else None


def _single(body: bytes, before: Json, after: Json) -> bool:
    """Whether each edited key of the object stands there once: of two, one would have to go.

    A second one whose letters are escapes is not seen; it stays, and the last one is still the edited one.
    """
    edited = (key for key in before if before[key] is not after[key])
    return all(_only(body, b'"%s"' % key.encode()) is not None for key in edited)


def _only(body: bytes, text: bytes) -> int | None:
    """Where `text` stands; None unless it stands there exactly once."""
    first = body.find(text)
    return first if first >= 0 and body.find(text, first + 1) < 0 else None


def _found(body: bytes, edits: list[Edit], spelling: Write) -> list[tuple[int, bytes, Edit]] | None:
    """(offset, bytes, edit) in the order of the text; None unless each stands there exactly once."""
    found: list[tuple[int, bytes, Edit]] = []
    for edit in edits:
        key, old, _ = edit
        try:
            text = _member(key, old, spelling) if key else spelling(old).encode()
        except (TypeError, ValueError, RecursionError):
            return None
        if (start := _only(body, text)) is None:
            return None
        found.append((start, text, edit))
    found.sort(key=lambda one: one[0])
    apart = all(a[0] + len(a[1]) <= b[0] for a, b in itertools.pairwise(found))
    return found if apart else None


def _member(key: str, value: Json, spelling: Write) -> bytes:
    """A key with its value, as a part of an object that is written so."""
    one = spelling({key: value})
    return one[one.index('"') : one.rindex('"') + 1].encode()


# -- spellings ------------------------------------------------------------------------------------------


def _compact(value: Json) -> str:
    return orjson.dumps(value).decode()


def _spelling(body: bytes) -> Write:
    """How the values are written, by the beginning of the text: as Python's json does by its options, or as
    JavaScript and orjson do."""
    ascii = body.isascii()
    if indent := _INDENT.match(body):
        return _indented(indent[1].decode(), ascii)
    if _SPACED.match(body):
        return json.JSONEncoder(ensure_ascii=ascii).encode
    return json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode if ascii else _compact


def _indented(step: str, ascii: bool) -> Write:
    encoder = json.JSONEncoder(ensure_ascii=ascii, indent=step)
    return lambda value: encoder.encode(value).replace("\n", "\n" + step * _DEPTH)
