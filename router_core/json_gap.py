"""Edits a large JSON text without reading most of it: items of a long list that stay are cut out first.

Finding the edited places by reading all that stands before them costs as much as reading the text the first
time did. But what makes a text large is mostly one long list (a conversation) of which an edit concerns a few
items, or none. So these are found by a search for their own bytes, each run of items that stay becomes one
short item, what is left is edited, and the runs are put back.

That the right items were found is shown by reading the text with only its longest run cut out: it must have the
value before, with one item in the place of the run. It begins and ends like the whole text, and what stands
before and behind the run means the same in both, so the run is exactly these items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, Final, NamedTuple

import orjson

from router_core.json_search import ahead, behind, closing, item_at, opening
from router_core.json_spelling import Write, may_be_compact, spelling
from router_core.json_text import Json, parse, serialise

MIN_BYTES: Final = 32 << 10
"""Below, the edited places are found as fast by reading."""
MAX_RUNS: Final = 8
LEAST_SHARE: Final = 4
"""Less than one part of the text in so many is not worth the search."""
_LEVELS: Final = 3
"""Objects in each other in which lists are looked for: Code Assist has its conversation in an envelope."""

type Splice = Callable[[bytes, Json, Json], bytes]
type Path = tuple[str, ...]


class Run(NamedTuple):
    """Items that stay: where they stand in the list before and after the edit, and how many."""

    start: int
    new_start: int
    length: int


class Kept(NamedTuple):
    """A list of which items stay."""

    path: Path
    """The keys that lead to it."""
    new_path: Path
    old: list[Json]
    new: list[Json]
    runs: list[Run]

    @property
    def length(self) -> int:
        return sum(run.length for run in self.runs)


def edited(body: bytes, before: Json, after: Json, splice: Splice) -> bytes | None:
    """`body`, whose value is `before`, edited to have the value `after`; None where this way does not lead there.

    `splice` edits the short text. Where a list's key stands twice, the first list stays; the second is the value.
    """
    if len(body) < MIN_BYTES or not (isinstance(before, dict) and isinstance(after, dict)):
        return None
    kept = max(_kept(before, after), key=lambda kept: kept.length, default=None)
    if kept is None or len(kept.runs) > MAX_RUNS or (spans := _spans(body, before, kept)) is None:
        return None
    longest = max(range(len(spans)), key=lambda i: spans[i][1] - spans[i][0])
    if sum(end - start for start, end in spans) * LEAST_SHARE < len(body):
        return None
    if not _proved(body, before, kept, longest, spans[longest]):
        return None
    stand_ins = [_stand_in(i) for i in range(len(spans))]
    short = _cut(body, spans, stand_ins)
    if len(short) >= len(body):
        return None
    pairs = [*zip(kept.runs, stand_ins, strict=True)]
    out = splice(
        short,
        _put(before, kept.path, _shortened(kept.old, [(r.start, r.length, s) for r, s in pairs])),
        _put(after, kept.new_path, _shortened(kept.new, [(r.new_start, r.length, s) for r, s in pairs])),
    )
    return _restored(out, body, spans, stand_ins)


def _proved(body: bytes, before: Json, kept: Kept, i: int, span: tuple[int, int]) -> bool:
    """Whether run `i` is what stands at `span`."""
    run, stand_in = kept.runs[i], _stand_in(i)
    value = _put(before, kept.path, _shortened(kept.old, [(run.start, run.length, stand_in)]))
    try:
        if may_be_compact(body):
            text, mark = orjson.dumps(value), serialise(stand_in)
            at = span[0]
            # As long as it is written as usual, comparing costs less than reading.
            if (
                text.startswith(mark, at)
                and body.startswith(text[:at])
                and body.endswith(text[at + len(mark) :])
                and len(text) - len(mark) + span[1] - at == len(body)
            ):
                return True
        return parse(_cut(body, [span], [stand_in])) == value
    except (TypeError, ValueError, RecursionError):
        return False


def _stand_in(i: int) -> str:
    return f"detour: items that stay, {i}"


def _cut(body: bytes, spans: list[tuple[int, int]], stand_ins: list[str]) -> bytes:
    """`body` with a stand-in at each of `spans`."""
    pieces: list[bytes] = []
    position = 0
    for (start, end), stand_in in zip(spans, stand_ins, strict=True):
        pieces += (body[position:start], serialise(stand_in))
        position = end
    return b"".join((*pieces, body[position:]))


def _restored(out: bytes, body: bytes, spans: list[tuple[int, int]], stand_ins: list[str]) -> bytes | None:
    """`out` with the bytes of `spans` again; None where a conversation holds the text of a stand-in."""
    pieces: list[bytes | memoryview] = []
    whole = memoryview(body)
    for (start, end), stand_in in zip(spans, stand_ins, strict=True):
        head, mark, out = out.partition(serialise(stand_in))
        if not mark or mark in out:
            return None
        pieces += (head, whole[start:end])
    return b"".join((*pieces, out))


def _put(tree: Any, path: Path, items: list[Json]) -> Json:
    """`tree` with `items` as its list at `path`."""
    return tree | {path[0]: _put(tree[path[0]], path[1:], items)} if path else items


def _shortened(items: list[Json], cuts: list[tuple[int, int, str]]) -> list[Json]:
    """`items` with a text in the place of each (start, length, text)."""
    short: list[Json] = []
    position = 0
    for start, length, text in cuts:
        short += (*items[position:start], text)
        position = start + length
    return short + items[position:]


# -- what stays -----------------------------------------------------------------------------------------


def _kept(before: Json, after: Json) -> Iterator[Kept]:
    """The lists of which items stay; they may be edited, moved, or neither."""
    lists = dict(_lists(after, ()))
    moved = {id(items): path for path, items in lists.items()}
    for path, old in _lists(before, ()):
        if (new_path := moved.get(id(old))) is not None:
            yield Kept(path, new_path, old, old, [Run(0, 0, len(old))])
        elif (new := lists.get(path)) is not None and (runs := _runs(old, new)):
            yield Kept(path, path, old, new, runs)


def _lists(tree: dict[str, Json], path: Path) -> Iterator[tuple[Path, list[Json]]]:
    for key, value in tree.items():
        if isinstance(value, list):
            if value:
                yield (*path, key), value
        elif isinstance(value, dict) and len(path) + 1 < _LEVELS:
            yield from _lists(value, (*path, key))


def _runs(old: list[Json], new: list[Json]) -> list[Run]:
    """The runs of items that stay; none where items were put between two that stay."""
    if len(old) == len(new):
        edits = [-1, *(i for i, item in enumerate(old) if item is not new[i]), len(old)]
        return [Run(a + 1, a + 1, b - a - 1) for a, b in pairwise(edits) if b - a > 1]
    least = min(len(old), len(new))
    head = next((i for i in range(least) if old[i] is not new[i]), least)
    tail = next((i for i in range(least - head) if old[-1 - i] is not new[-1 - i]), least - head)
    if head and tail and head + tail == len(old):
        return []
    ends = (Run(0, 0, head), Run(len(old) - tail, len(new) - tail, tail))
    return [run for run in ends if run.length]


# -- where it stands ------------------------------------------------------------------------------------


def _spans(body: bytes, before: Json, kept: Kept) -> list[tuple[int, int]] | None:
    """Where the runs seem to stand."""
    count = len(kept.old)
    write = spelling(body, len(kept.path) + 1)
    spans: list[tuple[int, int]] = []

    try:
        places = _places(body, kept, write)
        for run in kept.runs:
            stop = run.start + run.length
            start = behind(body, places[run.start - 1][1], b",") if run.start else opening(body, kept.path)
            end = ahead(body, places[stop][0], b",") if stop < count else closing(body, before, kept.path)
            spans.append((start, end))
    except (TypeError, ValueError, IndexError, RecursionError):
        return None
    ascending = [place for span in spans for place in span]
    return spans if all(a < b for a, b in pairwise(ascending)) else None


def _places(body: bytes, kept: Kept, write: Write) -> dict[int, tuple[int, int]]:
    """Where the items before and behind the runs seem to stand, each looked for from the end that is nearer.

    Raises as `item_at`.
    """
    old, new, count = kept.old, kept.new, len(kept.old)
    beside = sorted({i for run in kept.runs for i in (run.start - 1, run.start + run.length)})
    wanted = [i for i in beside if 0 <= i < count]
    places: dict[int, tuple[int, int]] = {}
    low, high = 0, len(body)
    for i in (i for i in wanted if i * 2 < count):
        places[i] = item_at(body, old[i], new[i] if i < len(new) else None, write, low, high, late=False)
        low = places[i][1]
    for i in (i for i in reversed(wanted) if i * 2 >= count):
        places[i] = item_at(body, old[i], new[i] if i < len(new) else None, write, low, high, late=True)
        high = places[i][0]
    return places
