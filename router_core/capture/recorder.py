"""Records exchanges as they pass, without ever delaying one.

The proxy's side, `Recorder.start` and the methods of `Recording`, only appends to a queue: no I/O, no
redaction, no exception. `Pump` carries the queue to the writer's process (`router_core.capture.writer`). When
that cannot keep up (a slow disk) or cannot write (a full one), records are dropped, counted and reported;
traffic never waits.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from router_core.capture.pump import Pump
from router_core.capture.queue import Queue
from router_core.capture.record import Opening
from router_core.capture.recording import Recording
from router_core.capture.selection import Selection
from router_core.capture.writer import Settings, Stats
from router_core.config.schema import Capture
from router_core.exchange import Exchange

logger = logging.getLogger(__name__)


class Recorder:
    """Decides what is recorded. To be used from one thread, the event loop's; `know` from any."""

    def __init__(
        self,
        capture: Capture,
        folder: Path,
        key_file: Path,
        secrets: Iterable[str] = (),
        headers: Iterable[str] = (),
        run: str | None = None,
    ) -> None:
        """Records go below `folder`, or the folder that `capture` has for a provider; `key_file` holds the installation's key for placeholders.

        `secrets` are those of the pool, `headers` the names of the registry's credential headers. `run` marks
        all records, and asks for one of each host that was not looked into.
        Nothing is opened or started before the first exchange that is to be recorded.
        """
        self.run = run
        self._key_file = key_file
        self._queue = Queue()
        self._numbers = itertools.count(1)
        self._pump = Pump(self._queue, self._settings)
        self._pump.know(secrets)
        self.configure(capture, folder, headers)

    @property
    def stats(self) -> Stats:
        """Counters since the start."""
        return self._pump.stats

    @property
    def idle(self) -> bool:
        """Whether nothing at all is recorded, so that nobody need ask."""
        return self._selection.idle

    def configure(self, capture: Capture, folder: Path, headers: Iterable[str] = ()) -> None:
        """Another configuration from the next exchange on; those under way are recorded to their end."""
        self._folder, self._headers = folder, tuple(headers)
        self._capture = capture
        self._selection = Selection(capture)
        self._pump.configure()

    def know(self, secrets: Iterable[str]) -> None:
        """Further secrets that are never written, wherever they appear. Any thread may call it."""
        self._pump.know(secrets)

    def start(self, exchange: Exchange, url: str) -> Recording | None:
        """A recording of `exchange`, whose client asked for `url`; None when it is not to be recorded."""
        if self._selection.idle:
            return None
        return self.open(Opening.of(exchange, url), exchange.started)

    def open(self, opening: Opening, started: float) -> Recording | None:
        """`start` for what is no `Exchange`; `started` in monotonic seconds."""
        try:
            mode = self._selection.mode(opening)
            if mode == "off":
                return None
            opening.run = self.run
            self._pump.start()
            recording = Recording(
                next(self._numbers), opening, started, self._selection, self._queue, self._pump
            )
            return recording if recording.begin(spooled=mode != "all") else None
        except Exception:
            logger.exception("recording cannot start")
            return None

    def close(self, timeout: float = 5.0) -> None:
        """Writes what is queued and stops; blocks for at most `timeout` seconds."""
        self._pump.close(timeout)

    def _settings(self) -> dict[str, Any]:
        retain, capture = self._capture.retain, self._capture
        settings = Settings(
            str(self._folder),
            str(self._key_file),
            retain.days,
            retain.size,
            capture.redact,
            capture.redact_names,
            self._headers,
            dict(capture.dirs),
        )
        return asdict(settings)
