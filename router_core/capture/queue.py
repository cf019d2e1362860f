"""What waits to be recorded: bounded in bytes, filled by one thread and emptied by another.

Each recording has a `Lane` of its own, so that what it reports is handed over together and in its order, and an
event of a stream costs little more than being appended.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from typing import Any, Final

MAX_BYTES: Final = 64 << 20
ITEM_BYTES: Final = 320
"""What an item counts for besides its data, so that a limit of bytes also limits the number."""

type Item = tuple[Any, ...] | float
"""Plain values only. What a lane holds:

- (name of an operation, arguments ...), see `router_core.capture.writer`;
- (number of a hop, seconds, bytes): a piece of an answer came over it;
- seconds: the piece that came last from upstream went to the client as it was. Whoever has put the piece may
  append this without asking, as it counts for nothing.
"""
type Batch = tuple[list[str], list[tuple[int, list[Item]]]]
"""Secrets to be known first, and what recordings have reported, by their numbers."""


class Lane:
    """What one recording has reported and nobody has taken yet."""

    __slots__ = ("came", "generation", "items", "number", "waits", "went")

    def __init__(self, number: int, generation: int) -> None:
        self.number = number
        self.generation = generation
        self.items: deque[Item] = deque()
        self.came = self.went = 0
        """Bytes that have been put, and taken: each is counted by one thread alone."""
        self.waits = False
        """Whether the queue knows that there is something to take."""


class Queue:
    """Only one thread may `put` and `open`, so its counters need no lock."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._lanes: deque[Lane] = deque()
        self._secrets: deque[str] = deque()
        self._in = 0
        self._out = 0
        self.generation = 0
        """Which writer it is that takes; recordings that an earlier one began are lost."""
        self.filled = threading.Event()
        """Set when there is something to take."""

    @property
    def size(self) -> int:
        """Bytes that wait, echoes aside."""
        return self._in - self._out

    def open(self, number: int) -> Lane:
        """The lane of another recording."""
        return Lane(number, self.generation)

    def put(self, lane: Lane, item: Item, size: int) -> bool:
        """`size` is that of the bytes in it. False, and nothing is queued, when there is no room, or when the
        writer that knew the recording is gone."""
        if self._in - self._out + size > self._max_bytes or lane.generation != self.generation:
            return False
        size += ITEM_BYTES
        self._in += size
        lane.came += size
        lane.items.append(item)
        # After the append: `take` forgets the sign first and takes then, so that one of the two sees the item.
        if not lane.waits:
            self._call(lane)
        return True

    def put_last(self, lane: Lane, item: Item) -> None:
        """For the end of a recording, which must not be lost."""
        self._in += ITEM_BYTES
        lane.came += ITEM_BYTES
        lane.items.append(item)
        self._call(lane)

    def know(self, secrets: Iterable[str]) -> None:
        """The writer knows them before anything that is put afterwards. Any thread may call it."""
        self._secrets.extend(secrets)
        self.filled.set()

    def take(self, max_bytes: int = 1 << 20) -> Batch | None:
        """What came first, and no more once there are so many bytes; None where nothing waits."""
        taken: list[tuple[int, list[Item]]] = []
        size = 0
        while self._lanes and size < max_bytes:
            lane = self._lanes.popleft()
            lane.waits = False
            items, bytes_taken = _take(lane, max_bytes - size)
            size += bytes_taken
            if lane.items:
                lane.waits = True
                self._lanes.appendleft(lane)
            if items:
                taken.append((lane.number, items))
        self._out += size
        # After the lanes: what was put since a secret became known has been taken at most with it.
        secrets = [self._secrets.popleft() for _ in range(len(self._secrets))]
        return (secrets, taken) if secrets or taken else None

    def _call(self, lane: Lane) -> None:
        lane.waits = True
        self._lanes.append(lane)
        if not self.filled.is_set():
            self.filled.set()


def _take(lane: Lane, max_bytes: int) -> tuple[list[Item], int]:
    """What waits in `lane`, oldest first, no further item once there are so many bytes; and the bytes."""
    # Read before: what comes meanwhile is taken with these or the next time, but counted the next time.
    waiting = lane.came - lane.went
    if waiting <= max_bytes:
        items = [lane.items.popleft() for _ in range(len(lane.items))]
    else:
        items, waiting = [], 0
        while lane.items and waiting < max_bytes:
            items.append(item := lane.items.popleft())
            if isinstance(item, tuple):
                waiting += ITEM_BYTES + sum([len(value) for value in item if isinstance(value, bytes)])
    lane.went += waiting
    return items, waiting
