"""Where an object's lists and their items seem to stand in a JSON text, by a search for their bytes.

A search may be mistaken where the same bytes stand twice; whoever uses a place has to look. All functions
raise ValueError or IndexError where nothing fits.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import Final

from router_core.json_document.container import skip_space
from router_core.json_document.spelling import Write
from router_core.json_document.text import Json, serialise

_SPACE: Final = b" \t\n\r"
_TRIES: Final = 16


def opening(body: bytes, path: tuple[str, ...]) -> int:
    """Where the first item of the list at `path` begins."""
    position = 0
    for key in path:
        text = serialise(key)
        position = behind(body, body.index(text, position) + len(text), b":")
        position = behind(body, position, b"[{")
    return position


def closing(body: bytes, tree: Json, path: tuple[str, ...]) -> int:
    """Where the last item of the list at `path` ends; `tree` is the value of `body`."""
    end = without_space(body, len(body))
    for key in path:
        end = ahead(body, end, b"}")
        keys = list(tree)
        following = keys.index(key) + 1
        if following < len(keys):
            end = ahead(body, body.rindex(serialise(keys[following]), 0, end), b",")
        tree = tree[key]
    return ahead(body, end, b"]")


def behind(body: bytes, position: int, mark: bytes) -> int:
    """The offset behind white space, one byte of `mark`, and white space."""
    position = skip_space(body, position)
    if body[position] not in mark:
        raise ValueError
    return skip_space(body, position + 1)


def ahead(body: bytes, position: int, mark: bytes) -> int:
    """The offset ahead of white space, one byte of `mark`, and white space."""
    position = without_space(body, position)
    if body[position - 1] not in mark:
        raise ValueError
    return without_space(body, position - 1)


def without_space(body: bytes, end: int) -> int:
    while end and body[end - 1] in _SPACE:
        end -= 1
    return end


def item_at(
    body: bytes, old: Json, new: Json, write: Write, low: int, high: int, *, late: bool
) -> tuple[int, int]:
    """Where `old` stands between `low` and `high`, spelled by `write`; looked for from the end where `late`.

    It is searched for by what tells it from `new`: items of a list may be much alike, which makes searching for
    all of one slow.
    """
    text = write(old).encode()
    part = write(_distinct(old, new)).encode()
    if part not in text:
        # Indented further.
        part = text
    inner = text.rindex(part) if late else text.index(part)
    for _ in range(_TRIES):
        place = body.rindex(part, low, high) if late else body.index(part, low, high)
        start = place - inner
        if start >= 0 and body.startswith(text, start):
            return start, start + len(text)
        low, high = place + 1, place + len(part) - 1
    raise ValueError


def _distinct(old: Json, new: Json) -> Json:
    """The innermost object or list of `old` that is another one in `new`."""
    while True:
        if isinstance(old, dict) and isinstance(new, dict):
            inner = next(((v, new.get(k)) for k, v in old.items() if new.get(k) is not v), None)
        elif isinstance(old, list) and isinstance(new, list):
            pairs = zip_longest(old, new[: len(old)])
            inner = next(((v, other) for v, other in pairs if v is not other), None)
        else:
            return old
        if inner is None or not isinstance(inner[0], dict | list):
            return old
        old, new = inner
