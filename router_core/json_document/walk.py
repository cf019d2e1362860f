"""Where the items that stay stand in a JSON text that is spelled like orjson spells, as JavaScript and the official
SDKs do too: told by writing what stands around them, so each byte is written once at most, and read never."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import orjson

from router_core.json_document.kept import Kept, put
from router_core.json_document.text import Json

_STAND_IN: Final = "detour: a list"
_MARK: Final = orjson.dumps(_STAND_IN)


def walked(body: bytes, before: Json, kept: Kept) -> list[tuple[int, int]] | None:
    """The spans of the runs in `body`, whose value is `before`; None where it is spelled in another way.

    The walk comes from both ends and stops at the longest run, which is what lies between: what stands before
    and behind it is as it would be with one item in its place.
    """
    try:
        head, _, tail = (outer := orjson.dumps(put(before, kept.path, [_STAND_IN]))).partition(_MARK)
        if outer.count(_MARK) > 1 or not (body.startswith(head) and body.endswith(tail)):
            return None
        return _walk(body, kept, len(head), len(body) - len(tail))
    except TypeError:
        # Beyond orjson: lone surrogates, deep nesting.
        return None


def _walk(body: bytes, kept: Kept, low: int, high: int) -> list[tuple[int, int]] | None:
    """The spans of the runs of a list whose items stand between `low` and `high`."""
    edges = sorted({0, len(kept.old), *(edge for run in kept.runs for edge in (run.start, run.stop))})
    parts = [*pairwise(edges)]
    longest = max(kept.runs, key=lambda run: run.length)
    middle = parts.index((longest.start, longest.stop))
    spans: dict[int, tuple[int, int]] = {}
    for start, stop in parts[:middle]:
        text = orjson.dumps(kept.old[start:stop])[1:-1]
        end = low + len(text)
        if not body.startswith(text, low) or body[end : end + 1] != b",":
            return None
        spans[start] = (low, end)
        low = end + 1
    for start, stop in reversed(parts[middle + 1 :]):
        text = orjson.dumps(kept.old[start:stop])[1:-1]
        begin = high - len(text)
        if begin <= low or not body.startswith(text, begin) or body[begin - 1 : begin] != b",":
            return None
        spans[start] = (begin, high)
        high = begin - 1
    if low >= high:
        return None
    spans[longest.start] = (low, high)
    return [spans[run.start] for run in kept.runs]
