"""Carries what the proxy reports to the writer's process, in a thread that does nothing else."""

from __future__ import annotations

import contextlib
import logging
import marshal
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final

from router_core.capture.queue import Batch, Queue
from router_core.capture.writer import Stats
from router_core.child import Child, command

logger = logging.getLogger(__name__)

LISTEN: Final = 1.0
"""Seconds between two looks at what the writer says when there is nothing to tell it."""
INTERVAL: Final = 0.2
"""Seconds that reports are gathered before they are handed over."""
RESTART: Final = 10.0
"""Seconds between two starts of a writer that dies."""
SAY_INTERVAL: Final = 30.0
"""Seconds between two warnings about dropped records."""


class Pump:
    """Starts the writer with the first report, and again should it die."""

    def __init__(self, queue: Queue, settings: Callable[[], dict[str, Any]]) -> None:
        """`settings` gives those that are in force, as plain values."""
        self._queue = queue
        self._settings = settings
        self._secrets: dict[str, None] = {}
        """All that a writer must know, in their order."""
        self._thread: threading.Thread | None = None
        self._process: Child | None = None
        self._closing = threading.Event()
        self._ended = Stats()
        """Of writers that have died."""
        self._current = Stats()
        self._started_at = -RESTART
        self._said_at = -SAY_INTERVAL
        self._said = 0
        self.refused = 0
        """Records that the proxy's side dropped, for want of room in the queue."""
        self.problem: str | None = None

    @property
    def stats(self) -> Stats:
        one, two = self._ended, self._current
        return Stats(
            one.recorded + two.recorded,
            one.discarded + two.discarded,
            one.dropped + two.dropped + self.refused,
            one.pruned + two.pruned,
            one.bytes + two.bytes,
            two.problem or self.problem,
        )

    @property
    def running(self) -> bool:
        """Whether `start` has been called: before, there is nobody to be told anything."""
        return self._thread is not None

    def start(self) -> None:
        """Starts the thread if it is not running."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="capture", daemon=True)
            self._thread.start()
            self.configure()
            self._queue.know(self._secrets)

    def configure(self) -> None:
        """Other settings are in force, for the recordings that begin from now on."""
        if self.running:
            self._queue.put_last(self._queue.open(0), ("configure", self._settings()))

    def know(self, secrets: Iterable[str]) -> None:
        """Secrets that are never written, wherever they appear. Any thread may call it."""
        fresh = [secret for secret in secrets if secret not in self._secrets]
        if fresh:
            self._secrets.update(dict.fromkeys(fresh))
            if self.running:
                self._queue.know(fresh)

    def close(self, timeout: float) -> None:
        """Hands over what is queued and waits, at most `timeout` seconds, until it is written."""
        self._closing.set()
        self._queue.filled.set()
        if self._thread is None:
            return
        self._thread.join(timeout)
        if self._thread.is_alive():
            logger.warning("capture: the disk did not take everything within %g s", timeout)

    def _run(self) -> None:
        while not self._closing.is_set():
            # What it says of the last records comes after them, and perhaps nothing is recorded any more.
            if self._queue.filled.wait(LISTEN if self._process else None):
                self._closing.wait(INTERVAL)
            self._hand_over()
        self._hand_over()
        if self._process:
            self._process.finish()
            with contextlib.suppress(EOFError):
                while True:
                    self._listen(self._process, None)
            self._process.wait()
        self._say(now=True)

    def _hand_over(self) -> None:
        self._queue.filled.clear()
        while batch := self._queue.take():
            try:
                self._tell(batch)
            except (OSError, ValueError) as error:
                self._lost(error)
                self.refused += sum(
                    type(item) is tuple and item[0] == "finish" for _, items in batch[1] for item in items
                )
        if self._process:
            with contextlib.suppress(EOFError):
                self._listen(self._process, 0)
        self._say()

    def _tell(self, batch: Batch) -> None:
        """Waits for the writer, for as long as it takes. Raises OSError when there is none."""
        process = self._process or self._start()
        process.tell(marshal.dumps(batch))

    def _start(self) -> Child:
        if time.monotonic() - self._started_at < RESTART:
            raise OSError("the writer has just died")
        self._started_at = time.monotonic()
        process = self._process = Child(command("router_core.capture.writer"))
        if self._queue.generation:
            self._tell((list(self._secrets), [(0, [("configure", self._settings())])]))
        return process

    def _lost(self, error: Exception) -> None:
        """The writer died, and with it what it was writing."""
        self._queue.generation += 1
        self.problem = f"the writer's process ended ({error})"
        if self._process:
            with contextlib.suppress(EOFError):
                self._listen(self._process, 0)
            self._process.kill()
            self._process = None
            logger.error("capture: %s", self.problem)
        self._ended, self._current = replace(self.stats, dropped=self.stats.dropped - self.refused), Stats()

    def _listen(self, process: Child, timeout: float | None) -> None:
        """Takes in what the writer says of itself. Raises EOFError when it is gone."""
        for said in process.heard(timeout):
            self._current = Stats(**said)

    def _say(self, now: bool = False) -> None:
        """Warns about dropped records, not more often than it can be read."""
        stats = self.stats
        fresh = stats.dropped - self._said
        if fresh > 0 and (now or time.monotonic() - self._said_at > SAY_INTERVAL):
            self._said, self._said_at = stats.dropped, time.monotonic()
            logger.warning("capture: %d records were dropped: %s", fresh, stats.problem)
