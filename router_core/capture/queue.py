"""What waits to be recorded: bounded in bytes and in number, filled by one thread and emptied by another."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any, Final

MAX_BYTES: Final = 64 << 20
MAX_ITEMS: Final = 200_000

type Item = tuple[Any, ...]
"""(operation, number of the recording, arguments ...): plain values only, see `router_core.capture.writer`."""


class Queue:
    """Only one thread may `put`, so its counters need no lock."""

    def __init__(self, max_bytes: int = MAX_BYTES, max_items: int = MAX_ITEMS) -> None:
        self._max_bytes = max_bytes
        self._max_items = max_items
        self._items: deque[tuple[Item, int]] = deque()
        self._in = 0
        self._out = 0
        self.filled = threading.Event()
        """Set when there is something to take."""

    @property
    def size(self) -> int:
        """Bytes that wait. Bodies are counted, the small rest is not."""
        return self._in - self._out

    def put(self, item: Item, size: int) -> bool:
        """False, and nothing is queued, when there is no room."""
        if self._in - self._out + size > self._max_bytes or len(self._items) >= self._max_items:
            return False
        self._in += size
        self._items.append((item, size))
        if not self.filled.is_set():
            self.filled.set()
        return True

    def put_always(self, item: Item) -> None:
        """For what must not be lost, and is small and rare: ends of records, secrets. Any thread may call it."""
        self._items.append((item, 0))
        self.filled.set()

    def take(self, max_items: int = 4096, max_bytes: int = 1 << 20) -> list[Item]:
        """The oldest items, at most so many, and no further one once there are so many bytes."""
        taken: list[Item] = []
        size = 0
        while self._items and len(taken) < max_items and size < max_bytes:
            item, item_size = self._items.popleft()
            taken.append(item)
            size += item_size
        self._out += size
        return taken
