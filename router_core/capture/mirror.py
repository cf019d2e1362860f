"""Notices that the client gets an upstream's answer byte for byte, so that it need be recorded only once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import repeat
from typing import Final

from router_core.capture.chunks import Chunk

MAX_AHEAD: Final = 1 << 20
"""Bytes that an upstream may be ahead of the client before comparing is given up."""


class Mirror:
    """Follows the chunks of one attempt's answer and those that the client gets.

    A client's chunk must be one or several whole chunks of the upstream's; anything else ends it.
    """

    def __init__(self, finished: deque[int]) -> None:
        """`finished` are the recorded sizes of the upstream's chunks, as `ChunkRedactor` gives them out."""
        self._finished = finished
        self._ahead: deque[bytes] = deque()
        self._ahead_size = 0
        self._matched: deque[tuple[Chunk, int]] = deque()
        """What went to the client, and of how many chunks of the upstream's it consists."""
        self.broken = False

    @property
    def level(self) -> bool:
        """Whether the client has everything that came, as it came."""
        return not self.broken and not self._ahead

    def passed(self, chunks: Iterable[Chunk]) -> None:
        """Chunks came, and each went to the client at the time that stands with it; `level` before and after."""
        self._matched.extend(zip(chunks, repeat(1)))

    def upstream(self, data: bytes) -> None:
        """A chunk came from upstream."""
        if self.broken:
            return
        self._ahead.append(data)
        self._ahead_size += len(data)
        if self._ahead_size > MAX_AHEAD:
            self.broken = True

    def client(self, chunk: Chunk) -> bool:
        """A chunk goes to the client. False, and from then on, when it is not what came from upstream."""
        if self.broken:
            return False
        _, data = chunk
        size = count = 0
        while size < len(data):
            if not self._ahead or not data.startswith(self._ahead[0], size):
                self.broken = True
                return False
            size += len(self._ahead.popleft())
            count += 1
        self._ahead_size -= size
        self._matched.append((chunk, count))
        return True

    def marks(self) -> list[tuple[float, int]]:
        """(arrival, recorded bytes) of the client's chunks whose upstream chunks have been recorded since."""
        marks: list[tuple[float, int]] = []
        matched, finished = self._matched, self._finished
        while matched and len(finished) >= matched[0][1]:
            (at, _), count = matched.popleft()
            size = finished.popleft() if count == 1 else sum([finished.popleft() for _ in range(count)])
            marks.append((at, size))
        return marks

    def rest(self) -> list[Chunk]:
        """The client's chunks that matched and have not been marked: they are still to be recorded."""
        rest = [chunk for chunk, _ in self._matched]
        self._matched.clear()
        return rest
