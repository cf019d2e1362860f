"""JSON bodies that are parsed once and written back by splicing.

Rules work on the parsed tree without changing it: an edit makes new containers along its path and shares
all others with the tree before. `splice` compares both trees by identity and copies the bytes of whatever
is shared, so numbers, escapes, white space, key order and duplicate keys of untouched values stay, and a
value that only moved is copied as well.
"""

from __future__ import annotations

from typing import Final

import orjson

from router_core.json_splice import DuplicateKey, Splicer
from router_core.json_text import Json, parse, serialise

__all__ = ["Json", "parse", "serialise", "splice"]

_SPACES: Final = b" \t\n\r"
_SMALL: Final = 16 << 10
"""Bytes up to which comparing and writing all of a body costs less than finding the edited places."""


def splice(body: bytes, before: Json, after: Json) -> bytes:
    """`body`, whose value is `before`, edited to have the value `after`.

    Without an edit the result is `body` itself. Where an edited key stands twice in its object, one stays.
    Raises ValueError where `body` is not the JSON text of `before`.
    """
    if after is before:
        return body
    if len(body) <= _SMALL and (short := _rewritten(body, before, after)) is not None:
        return short
    start = len(body) - len(body.lstrip(_SPACES))
    end = len(body.rstrip(_SPACES))
    try:
        return body[:start] + Splicer(body).write(before, after, start, end) + body[end:]
    except (DuplicateKey, IndexError, KeyError, RecursionError, StopIteration):
        raise ValueError("the bytes are not the JSON text of the value, or nest too deeply") from None


def _rewritten(body: bytes, before: Json, after: Json) -> bytes | None:
    """`after` as text, where `body` is spelled like orjson spells and so nothing else would change."""
    try:
        return orjson.dumps(after) if orjson.dumps(before) == body else None
    except TypeError:
        return None
