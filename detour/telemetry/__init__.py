"""OpenTelemetry traces and metrics of exchanges, by its conventions for generative AI.

Comes with ``detour[otel]`` and is configured by OpenTelemetry's own variables: on where
``OTEL_EXPORTER_OTLP_ENDPOINT`` (or that of traces or metrics) is set. To make a span takes OpenTelemetry longer
than it takes Detour to pass an event on, so a process of its own does it (`detour.telemetry.exporter`), and here
nothing happens but that reports are gathered and handed over.
"""

from __future__ import annotations

import importlib.util
import logging
import marshal
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from detour.telemetry.report import report_of
from router_core import child
from router_core.child import Child
from router_core.exchange import Exchange
from router_core.usage.entry import Entry

logger = logging.getLogger(__name__)

ENDPOINTS: Final = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
)
QUEUE: Final = 10_000
"""Reports that wait to be handed over; what finds no room is dropped and said."""
BATCH: Final = 200
INTERVAL: Final = 0.5
"""Seconds that reports are gathered before they are handed over."""
RESTART: Final = 10.0
"""Seconds between two starts of an exporter that dies."""


def start(env: Mapping[str, str] = os.environ) -> Telemetry | None:
    """Telemetry as the environment asks for it; None where it does not, or where the extra is not installed."""
    if not any(env.get(name) for name in ENDPOINTS) or env.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    if not _installed():
        logger.warning("OTEL_EXPORTER_OTLP_ENDPOINT is set, but telemetry needs: pip install 'detour[otel]'")
        return None
    return Telemetry()


def _installed() -> bool:
    try:
        return importlib.util.find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ImportError:
        return False


def command() -> list[str]:
    """How the exporter is started."""
    return child.command("detour.telemetry.exporter")


class Telemetry:
    """Watches an `Activity`: call `finished` with each exchange that is over, and `close` in the end."""

    def __init__(
        self, command: Callable[[], list[str]] = command, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._command = command
        self._clock = clock
        self._reports: deque[tuple[Any, ...]] = deque()
        self._dropped = 0
        self._process: Child | None = None
        self._next_start = 0.0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
        self._thread.start()

    def finished(self, entry: Entry, exchange: Exchange) -> None:
        """Costs microseconds; everything else is done elsewhere."""
        if len(self._reports) >= QUEUE:
            self._dropped += 1
        else:
            self._reports.append(report_of(entry, exchange))

    def close(self, timeout: float = 5.0) -> None:
        """Hand over what is left and wait until it is exported, at most so many seconds: call it in a thread."""
        self._closing.set()
        self._thread.join(timeout)

    # -- the thread -----------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._closing.wait(INTERVAL):
            self._turn()
        self._turn()
        if self._process:
            self._process.finish()
            self._listen(self._process, None)

    def _turn(self) -> None:
        if self._reports and self._process is None and self._clock() >= self._next_start:
            self._begin()
        while self._reports and (process := self._process):
            batch = [self._reports.popleft() for _ in range(min(BATCH, len(self._reports)))]
            try:
                process.tell(marshal.dumps(batch))
            except OSError:
                self._dropped += len(batch)
                self._listen(process, 0)
                self._lost(process)
        if self._process:
            self._listen(self._process, 0)
        if self._dropped:
            logger.warning("telemetry: %d exchanges were dropped", self._dropped)
            self._dropped = 0

    def _begin(self) -> None:
        self._next_start = self._clock() + RESTART
        try:
            self._process = Child(self._command())
        except OSError as error:
            logger.error("telemetry: the exporter cannot be started: %s", error)

    def _listen(self, process: Child, timeout: float | None) -> None:
        """Takes what the exporter says to the log; without a timeout, until it ends."""
        try:
            while True:
                for said in process.heard(timeout):
                    logger.log(*said["log"])
                if timeout is not None:
                    return
        except EOFError:
            self._lost(process)

    def _lost(self, process: Child) -> None:
        if self._process is process:
            self._process = None
            code = process.kill()
            if not self._closing.is_set():
                logger.error("telemetry: the exporter ended with %d; another one is started", code)
