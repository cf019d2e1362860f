"""The edit of a JSON text by the value that it shall have.

Rules work on the parsed tree without changing it: an edit makes new containers along its path and shares
all others with the tree before. `splice` compares both trees by identity and copies the bytes of whatever
is shared, so numbers, escapes, white space, key order and duplicate keys of untouched values stay, and a
value that only moved is copied as well.
"""

from __future__ import annotations

from typing import Final

import orjson

from router_core.json_document import gap
from router_core.json_document.spelling import may_be_compact
from router_core.json_document.splicer import DuplicateKey, Splicer
from router_core.json_document.text import Json

_SPACES: Final = b" \t\n\r"


def splice(body: bytes, before: Json, after: Json) -> bytes:
    """`body`, whose value is `before`, edited to have the value `after`.

    Without an edit the result is `body` itself. Where an edited key stands twice in its object, one stays
    (in a large text the first of two lists may stay, which is not the value of the key).
    Raises ValueError where `body` is not the JSON text of `before`.
    """
    if after is before:
        return body
    if (quick := gap.edited(body, before, after, splice)) is not None:
        return quick
    if may_be_compact(body) and (short := _rewritten(body, before, after)) is not None:
        return short
    start = len(body) - len(body.lstrip(_SPACES))
    end = len(body.rstrip(_SPACES))
    try:
        return body[:start] + Splicer(body).write(before, after, start, end) + body[end:]
    except (DuplicateKey, IndexError, KeyError, RecursionError, StopIteration):
        raise ValueError("the bytes are not the JSON text of the value, or nest too deeply") from None


def _rewritten(body: bytes, before: Json, after: Json) -> bytes | None:
    """`after` as text, where `body` is spelled like orjson spells and so nothing else would change.

    JavaScript and the official SDKs spell so. To compare and write all of a body costs a quarter of what
    reading it costs; to find the edited places costs as much as that.
    """
    try:
        return orjson.dumps(after) if orjson.dumps(before) == body else None
    except TypeError:
        return None
