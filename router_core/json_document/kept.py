"""What of the long lists of a JSON value an edit leaves alone, told by identity."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final, NamedTuple

from router_core.json_document.text import Json

_LEVELS: Final = 3
"""Objects in each other in which lists are looked for: Code Assist has its conversation in an envelope."""

type Path = tuple[str, ...]


class Run(NamedTuple):
    """Items that stay: where they stand in the list before and after the edit, and how many."""

    start: int
    new_start: int
    length: int

    @property
    def stop(self) -> int:
        return self.start + self.length


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


def kept_lists(before: Json, after: Json) -> Iterator[Kept]:
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


def put(tree: Any, path: Path, items: list[Json]) -> Json:
    """`tree` with `items` as its list at `path`."""
    return tree | {path[0]: put(tree[path[0]], path[1:], items)} if path else items


def shortened(items: list[Json], cuts: list[tuple[int, int, str]]) -> list[Json]:
    """`items` with a text in the place of each (start, length, text)."""
    short: list[Json] = []
    position = 0
    for start, length, text in cuts:
        short += (*items[position:start], text)
        position = start + length
    return short + items[position:]
