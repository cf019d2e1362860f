"""Puts what a recording reported piece by piece together again where the pieces of an answer only passed.

Nearly everything that is recorded of a stream is the same two things in turn: an event came from upstream, and
went to the client as it was. A run of them is carried out at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from router_core.capture.queue import Item


def operations(items: list[Item]) -> Iterator[tuple[Any, ...]]:
    """The operations that `items` of a lane stand for, as (name, arguments ...): those of `Sheet` and `Writer`."""
    position = 0
    while position < len(items):
        item = items[position]
        if isinstance(item, float):
            yield "echo", item
        elif isinstance(item[0], str):
            yield item
        elif (number := item[0]) and (end := _run(items, position, number)) > position:
            chunks = [item[1:] for item in items[position:end:2] if isinstance(item, tuple)]
            yield "passed", number, chunks, items[position + 1 : end : 2]
            position = end
            continue
        else:
            number, at, data = item
            yield "data", at, number, data
        position += 1


def _run(items: list[Item], position: int, number: int) -> int:
    """The end of the pairs of a piece from hop `number` and its way to the client that begin at `position`."""
    last = len(items) - 1
    while position < last and isinstance(items[position + 1], float):
        item = items[position]
        if isinstance(item, float) or item[0] != number:
            break
        position += 2
    return position
