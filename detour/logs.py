"""Logging: lines for people or JSON, written by a thread of their own, without secrets.

The record of a finished exchange comes from the logger ``detour.exchange`` with a dict in its attribute
``exchange``; see `addons.accesslog`.
"""

from __future__ import annotations

import datetime
import logging
import logging.handlers
import queue
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal, TextIO

import orjson

from detour.files import private_folder
from detour.redaction import redact
from router_core.config.schema import Log

type Form = Literal["human", "json"]

QUEUE: Final = 10_000
"""Lines that may wait for a slow terminal or disk; further ones are dropped and counted."""
GATHER: Final = 0.05
"""Seconds in which lines are gathered before they are written together."""
QUIET: Final = ("mitmproxy", "httpx", "httpcore", "asyncio", "hpack", "uvicorn", "alembic", "sqlalchemy")
"""Loggers whose information is of no use to Detour's user: only warnings, unless debugging."""


_LINE = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)}
_LINES = {code: text for code, text in _LINE.items() if chr(code) not in "\n\t"}


class LogError(Exception):
    """The log file cannot be written; the message names it and the remedy."""


class HumanFormatter(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(level)s%(message)s", "%H:%M:%S")
        self._second, self._time = -1, ""

    def format(self, record: logging.LogRecord) -> str:
        record.level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        return redact(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:
        # Clients choose some of the words, and must not paint the terminal or forge a line.
        if not record.message.isprintable():
            record.message = record.message.translate(_LINE if hasattr(record, "exchange") else _LINES)
        return super().formatMessage(record)

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        second = int(record.created)
        if second != self._second:
            self._second, self._time = second, super().formatTime(record, datefmt)
        return self._time


class JsonFormatter(logging.Formatter):
    """One object a line: time (RFC 3339, UTC), level, logger, message; exchange or exception where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line: dict[str, Any] = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if exchange := getattr(record, "exchange", None):
            line["exchange"] = exchange
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return redact(orjson.dumps(line, default=str).decode())


class _Enqueue(logging.handlers.QueueHandler):
    """Hands records to the writing thread; never waits, since it is called on the event loop."""

    dropped = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        # The arguments may have changed by the time the thread looks at them.
        record.msg, record.args = record.getMessage(), None
        return record

    def __init__(self, lines: queue.SimpleQueue[Any], limit: int = QUEUE) -> None:
        super().__init__(lines)
        self.limit = limit

    def enqueue(self, record: logging.LogRecord) -> None:
        if self.queue.qsize() >= self.limit:  # type: ignore[attr-defined]
            self.dropped += 1
            return
        self.queue.put_nowait(record)
        if self.dropped:
            missing, self.dropped = self.dropped, 0
            note = f"{missing} log lines were dropped, the output is too slow"
            self.enqueue(logging.LogRecord("detour", logging.WARNING, __file__, 0, note, None, None))


class _Gathering(logging.StreamHandler):
    """Writes what `flush` finds gathered in one go."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._lines.append(self.format(record))
        except Exception:
            self.handleError(record)

    def flush(self) -> None:
        if not self._lines:
            return
        lines, self._lines = self._lines, []
        try:
            self.stream.write("\n".join([*lines, ""]))
            self.stream.flush()
        except (OSError, ValueError):
            pass  # the terminal is gone


class _Listener(logging.handlers.QueueListener):
    """Wakes a few times a second, not for every line: each time the thread takes the interpreter from the
    event loop, which it disturbs more than the writing itself."""

    def dequeue(self, block: bool) -> logging.LogRecord:
        if self.queue.empty():  # type: ignore[attr-defined]
            for handler in self.handlers:
                handler.flush()
            record = super().dequeue(block)
            time.sleep(GATHER)
            return record
        return super().dequeue(block)


def _handlers(form: Form, log: Log) -> Iterator[logging.Handler]:
    terminal = _Gathering(sys.stderr)
    terminal.setFormatter(JsonFormatter() if form == "json" else HumanFormatter())
    yield terminal
    if log.file:
        path = Path(log.file).expanduser().absolute()
        try:
            private_folder(path.parent)
            file = logging.handlers.RotatingFileHandler(path, "a", log.size, log.keep, "utf-8")
        except OSError as error:
            raise LogError(
                f"log.file: {error.filename}: {error.strerror}; name a file that you may write"
            ) from None
        file.setFormatter(JsonFormatter())
        yield file


@contextmanager
def configured(form: Form, log: Log) -> Iterator[None]:
    """Send the program's logging to standard error, and as JSON to the file of `log` if it names one.

    What is still queued at the end is written. Raises LogError.
    """
    # Nobody formats where a line was logged, by which thread or task: finding that out costs more than the line.
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.logAsyncioTasks = False  # type: ignore[attr-defined]
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    # Written in C, it takes a line in a tenth of the time that queue.Queue does.
    lines: queue.SimpleQueue[Any] = queue.SimpleQueue()
    listener = _Listener(lines, *_handlers(form, log))
    root.handlers[:] = [_Enqueue(lines)]
    root.setLevel(log.level.upper())
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.NOTSET if log.level == "debug" else logging.WARNING)
    listener.start()
    try:
        yield
    finally:
        listener.stop()
        for handler in listener.handlers:
            handler.flush()
        root.handlers[:], root.level = before, level
        for handler in listener.handlers:
            handler.close()
