"""The process that turns what the proxy reports into files.

Redaction is work, and in the proxy's own process every microsecond of it would come out of the traffic's.
So it is done by a child that reads operations from its standard input and writes records. It outlives a
proxy that is killed for as long as it takes to write what it was told, and a disk that hangs stops only it.

The protocol: the frames of `router_core.frames`, each a `router_core.capture.queue.Batch` in `marshal` form (both
ends are one interpreter). Operations are named like the methods that they call, of `Writer` or of `Sheet`. On
standard output, lines of JSON: `Stats`.
"""

from __future__ import annotations

import contextlib
import logging
import marshal
import os
import selectors
import sys
import time
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import orjson

from router_core.capture import folder as captures
from router_core.capture.file import RecordFile
from router_core.capture.queue import Batch
from router_core.capture.record import Opening
from router_core.capture.redaction import Redactor
from router_core.capture.runs import operations
from router_core.capture.sheet import Sheet
from router_core.child import give_way
from router_core.frames import decode
from router_core.ownership import private_folder

logger = logging.getLogger(__name__)

NICE: Final = 15
"""The proxy never waits for it, and what it has read survives the proxy."""
FLUSH_INTERVAL: Final = 0.7
"""Seconds between two writes: what a crash of this process may take, besides an unfinished line of a body."""
PRUNE_INTERVAL: Final = 60.0
PRUNE_BYTES: Final = 64 << 20
"""Bytes written after which old records are looked for early."""
MAX_OPEN: Final = 4096
"""Records that are written at the same time."""


@dataclass(slots=True)
class Stats:
    """Counters since the start; `dropped` records are missing or incomplete."""

    recorded: int = 0
    discarded: int = 0
    """Exchanges that went well, where only failures are kept."""
    dropped: int = 0
    pruned: int = 0
    bytes: int = 0
    problem: str | None = None
    """Why the last one was dropped."""


@dataclass(frozen=True)
class Settings:
    """What the writer needs of the configuration, as plain values."""

    folder: str
    key_file: str
    days: float
    size: int
    patterns: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    dirs: dict[str, str] = field(default_factory=dict)
    """Folders of providers, by name."""

    @cached_property
    def folders(self) -> captures.Folders:
        return captures.Folders.of(Path(self.folder), self.dirs)


class Writer:
    """Owns the folder, the redactor and the open sheets."""

    def __init__(self) -> None:
        self.stats = Stats()
        self._settings: Settings | None = None
        self._secrets: list[str] = []
        self._redactor: Redactor | None = None
        self._sheets: dict[int, Sheet] = {}
        self._dirty: set[int] = set()
        self._pruned_at = -PRUNE_INTERVAL
        self._pruned_bytes = 0

    @property
    def unwritten(self) -> bool:
        """Whether there is something to flush."""
        return bool(self._dirty)

    def handle(self, batch: Batch) -> None:
        """Carries out what the proxy reported. Never raises."""
        secrets, lanes = batch
        if secrets:
            self._know(secrets)
        for number, items in lanes:
            for name, *arguments in operations(items):
                try:
                    if name in OF_WRITER:
                        getattr(self, name)(number, *arguments)
                    elif sheet := self._sheets.get(number):
                        getattr(sheet, name)(*arguments)
                        self._dirty.add(number)
                except Exception as error:
                    self._failed(number, error)

    def flush(self) -> None:
        """Writes what has come since the last time, and removes what is too old. Never raises."""
        for number in tuple(self._dirty):
            try:
                self._sheets[number].flush()
            except Exception as error:
                self._failed(number, error)
        self._dirty.clear()
        with contextlib.suppress(OSError):
            self._prune()

    def close(self) -> None:
        """The proxy is gone: what it did not finish stays as it is, and nobody knows how it ended."""
        for number, sheet in tuple(self._sheets.items()):
            try:
                sheet.flush()
                sheet.file.keep()
            except Exception as error:
                self._failed(number, error)

    # -- operations -----------------------------------------------------------------------------------

    def configure(self, _: int, settings: dict[str, Any]) -> None:
        self._settings = Settings(**settings)
        self._redactor = None

    def begin(self, number: int, opening: dict[str, Any], spooled: bool) -> None:
        if len(self._sheets) >= MAX_OPEN:
            raise OSError(f"more than {MAX_OPEN} exchanges at a time")
        assert self._settings
        redactor = self._redactor or self._open()
        folders, known = self._settings.folders, Opening(**opening)
        final = folders.record(known.id, known.created, known.provider)
        path = captures.spool_path(folders, known.id) if spooled else final
        self._sheets[number] = Sheet(known, RecordFile(path, final), redactor)
        self._dirty.add(number)

    def finish(self, number: int, at: float, values: dict[str, Any], keep: bool) -> None:
        sheet = self._sheets.get(number)
        if sheet is None:
            return
        sheet.end(at, values)
        sheet.flush()
        if keep:
            assert self._settings
            known, provider = sheet.opening, values.get("provider")
            if provider and provider != known.provider:
                # Who served it was not known when it began.
                sheet.file.keep(self._settings.folders.record(known.id, known.created, provider))
            else:
                sheet.file.keep()
            self.stats.recorded += 1
        else:
            sheet.discard()
            self.stats.discarded += 1
        self.stats.bytes += sheet.size
        self._forget(number)

    def cut(self, number: int, at: float, reason: str) -> None:
        """The proxy reports nothing more of this exchange; it has counted the drop itself."""
        if sheet := self._sheets.get(number):
            sheet.cut(at, reason)
            sheet.flush()
            sheet.file.keep()
            self._forget(number)

    # -- the rest -------------------------------------------------------------------------------------

    def _know(self, secrets: list[str]) -> None:
        self._secrets += secrets
        for redactor in {self._redactor, *(sheet.redactor for sheet in self._sheets.values())}:
            if redactor:
                redactor.know(secrets)

    def _open(self) -> Redactor:
        """Opens the folder. Raises OSError."""
        settings = self._settings
        assert settings
        key = captures.redaction_key(Path(settings.key_file))
        for folder in settings.folders:
            private_folder(folder)
        captures.adopt(settings.folders)
        redactor = Redactor(key, settings.patterns, settings.names, settings.headers)
        redactor.know(self._secrets)
        self._redactor = redactor
        return redactor

    def _prune(self) -> None:
        if self._redactor is None or self._settings is None:
            return
        now = time.monotonic()
        if now - self._pruned_at < PRUNE_INTERVAL and self.stats.bytes - self._pruned_bytes < PRUNE_BYTES:
            return
        self._pruned_at, self._pruned_bytes = now, self.stats.bytes
        keep = frozenset(sheet.file.path for sheet in self._sheets.values())
        settings = self._settings
        self.stats.pruned += len(captures.prune(settings.folders, settings.days, settings.size, keep))

    def _failed(self, number: int, error: Exception) -> None:
        if isinstance(error, OSError):
            place = error.filename or (self._settings and self._settings.folder)
            self.stats.problem = str(error) if error.strerror is None else f"{place}: {error.strerror}"
        else:
            logger.error("a record cannot be written", exc_info=error)
            self.stats.problem = f"an error of Detour's own ({type(error).__name__})"
        self.stats.dropped += 1
        self._forget(number)

    def _forget(self, number: int) -> None:
        self._sheets.pop(number, None)
        self._dirty.discard(number)


OF_WRITER: Final = frozenset({"configure", "begin", "finish", "cut"})
"""What a recording reports that is the writer's; the rest are methods of its `Sheet`."""


def serve(source: int, sink: int) -> None:
    """Reads operations from `source` until its end, and writes `Stats` to `sink` when they change."""
    give_way(NICE)
    writer = Writer()
    said = Stats()
    pending = bytearray()
    flush_at = time.monotonic() + FLUSH_INTERVAL
    with selectors.DefaultSelector() as selector:
        selector.register(source, selectors.EVENT_READ)
        while True:
            idle = not writer.unwritten
            ready = selector.select(None if idle else max(0.0, flush_at - time.monotonic()))
            if ready:
                data = os.read(source, 1 << 20)
                if not data:
                    break
                pending += data
                for batch in decode(pending):
                    writer.handle(marshal.loads(batch))
                if idle:
                    flush_at = time.monotonic() + FLUSH_INTERVAL
            if time.monotonic() >= flush_at:
                writer.flush()
                flush_at = time.monotonic() + FLUSH_INTERVAL
            if writer.stats != said:
                said = Stats(**asdict(writer.stats))
                with contextlib.suppress(OSError):
                    os.write(sink, orjson.dumps(said) + b"\n")
    writer.close()


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stderr, format="capture: %(message)s")
    with contextlib.suppress(KeyboardInterrupt):
        serve(sys.stdin.fileno(), sys.stdout.fileno())
