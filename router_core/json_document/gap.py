"""Edits a large JSON text without reading most of it: items of a long list that stay are cut out first.

Finding the edited places by reading all that stands before them costs as much as reading the text the first
time did. But what makes a text large is mostly one long list (a conversation) of which an edit concerns a few
items, or none. So these are found by writing what stands around them, where the text is spelled as usual
(`router_core.json_document.walk`), and else by a search for their bytes; each run of items that stay becomes one short
item, what is left is edited, and the runs are put back.

That a search found the right items is shown by reading all but the longest run: the text with the runs cut out must
have the value before, with one item in the place of each, and what was cut out be the other runs. So the whole text
without the longest run means what it should; it begins and ends like the whole text, and what stands before and
behind the run means the same in both, so the run is exactly these items.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Final

from router_core.json_document.kept import Kept, kept_lists, put, shortened
from router_core.json_document.search import ahead, behind, closing, item_at, opening
from router_core.json_document.spelling import Write, may_be_compact, spelling
from router_core.json_document.text import Json, parse, serialise
from router_core.json_document.walk import walked

MIN_BYTES: Final = 32 << 10
"""Below, the edited places are found as fast by reading."""
MAX_RUNS: Final = 64
LEAST_SHARE: Final = 4
"""Less than one part of the text in so many is not worth the search."""

type Splice = Callable[[bytes, Json, Json], bytes]


def edited(body: bytes, before: Json, after: Json, splice: Splice) -> bytes | None:
    """`body`, whose value is `before`, edited to have the value `after`; None where this way does not lead there.

    `splice` edits the short text. Where a list's key stands twice, the first list stays; the second is the value.
    """
    if len(body) < MIN_BYTES or not (isinstance(before, dict) and isinstance(after, dict)):
        return None
    kept = max(kept_lists(before, after), key=lambda kept: kept.length, default=None)
    if kept is None or len(kept.runs) > MAX_RUNS:
        return None
    spans = walked(body, before, kept) if may_be_compact(body) else None
    if (spans := spans or _searched(body, before, kept)) is None:
        return None
    if sum(end - start for start, end in spans) * LEAST_SHARE < len(body):
        return None
    stand_ins = [_stand_in(i) for i in range(len(spans))]
    short = _cut(body, spans, stand_ins)
    if len(short) >= len(body):
        return None
    pairs = [*zip(kept.runs, stand_ins, strict=True)]
    out = splice(
        short,
        put(before, kept.path, shortened(kept.old, [(r.start, r.length, s) for r, s in pairs])),
        put(after, kept.new_path, shortened(kept.new, [(r.new_start, r.length, s) for r, s in pairs])),
    )
    return _restored(out, body, spans, stand_ins)


_STAND_IN: Final = "detour: items that stay, "
_MARK: Final = serialise(_STAND_IN)[:-1]


def _stand_in(i: int) -> str:
    return f"{_STAND_IN}{i}"


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
    first, *others = out.split(_MARK)
    ends = [b'%d"' % i for i in range(len(spans))]
    if len(others) != len(spans) or not all(map(bytes.startswith, others, ends)):
        return None
    whole = memoryview(body)
    pieces: list[bytes | memoryview] = [first]
    for other, end, (start, stop) in zip(others, ends, spans, strict=True):
        pieces += (whole[start:stop], other[len(end) :])
    return b"".join(pieces)


def _searched(body: bytes, before: Json, kept: Kept) -> list[tuple[int, int]] | None:
    """Where the runs stand, found by a search."""
    spans = _spans(body, before, kept)
    if spans is None:
        return None
    longest = max(spans, key=lambda span: span[1] - span[0])
    stand_ins = [_stand_in(i) for i in range(len(spans))]
    cuts = [(run.start, run.length, text) for run, text in zip(kept.runs, stand_ins, strict=True)]
    try:
        if parse(_cut(body, spans, stand_ins)) != put(before, kept.path, shortened(kept.old, cuts)):
            return None
        for run, (start, end) in zip(kept.runs, spans, strict=True):
            items = kept.old[run.start : run.stop]
            if (start, end) != longest and parse(b"[%s]" % body[start:end]) != items:
                return None
    except (ValueError, RecursionError):
        return None
    return spans


def _spans(body: bytes, before: Json, kept: Kept) -> list[tuple[int, int]] | None:
    """Where the runs seem to stand."""
    count = len(kept.old)
    write = spelling(body, len(kept.path) + 1)
    spans: list[tuple[int, int]] = []

    try:
        places = _places(body, kept, write)
        for run in kept.runs:
            start = behind(body, places[run.start - 1][1], b",") if run.start else opening(body, kept.path)
            end = (
                ahead(body, places[run.stop][0], b",")
                if run.stop < count
                else closing(body, before, kept.path)
            )
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
    beside = sorted({i for run in kept.runs for i in (run.start - 1, run.stop)})
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
