"""Log lines of workers, which the supervisor alone writes: one terminal and one file have one writer."""

from __future__ import annotations

import asyncio
import datetime
import logging
import time
from collections import OrderedDict
from typing import Any, Final

import orjson

SAME: Final = 5.0
"""Seconds in which a line that several workers write is written once."""
REMEMBERED: Final = 256
MAX_LINE: Final = 1 << 20
"""Bytes."""


class LogLines:
    """Takes in what workers write to their standard error: JSON lines, or the last words of one that crashes."""

    def __init__(self) -> None:
        self._said: OrderedDict[str, tuple[int, float]] = OrderedDict()
        """The worker that wrote a line, and when."""

    async def follow(self, worker: int, reader: asyncio.StreamReader) -> None:
        while True:
            try:
                line = await reader.readline()
            except ValueError:  # longer than a line can be
                continue
            if not line:
                return
            self.take(worker, line.rstrip(b"\n"))

    def take(self, worker: int, line: bytes) -> None:
        try:
            found = orjson.loads(line)
            record = _record(found)
        except (ValueError, KeyError, TypeError):
            if text := line.decode(errors="replace").strip():
                logging.getLogger("detour").error("worker %d: %s", worker, text)
            return
        if not hasattr(record, "exchange") and self._is_repeated(worker, record.msg):
            return
        logger = logging.getLogger(record.name)
        if logger.isEnabledFor(record.levelno):
            logger.handle(record)

    def _is_repeated(self, worker: int, text: str) -> bool:
        """Whether another worker has just written the same."""
        now = time.monotonic()
        first, at = self._said.get(text, (worker, now))
        if first != worker and now - at < SAME:
            return True
        self._said[text] = (worker, now)
        self._said.move_to_end(text)
        if len(self._said) > REMEMBERED:
            self._said.popitem(last=False)
        return False


def _record(line: dict[str, Any]) -> logging.LogRecord:
    text = line["message"]
    if exception := line.get("exception"):
        text += f"\n{exception}"
    level = logging.getLevelNamesMapping()[line["level"].upper()]
    record = logging.LogRecord(line["logger"], level, "", 0, text, None, None)
    record.created = datetime.datetime.fromisoformat(line["time"]).timestamp()
    if exchange := line.get("exchange"):
        record.exchange = exchange
    return record
