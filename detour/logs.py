"""Logging: lines for people or JSON, written by a thread of their own, without secrets.

The record of a finished exchange comes from the logger ``detour.exchange`` with a dict in its attribute
``exchange``; see `addons.accesslog`.
"""

from __future__ import annotations

import datetime
import json
import logging
import logging.handlers
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Literal

import orjson

from detour.redaction import redact
from router_core.config.schema import Log
from router_core.ownership import private_folder

type Form = Literal["human", "json"]

QUEUE: Final = 10_000
"""Lines that may wait for a slow terminal or disk; further ones are dropped and counted."""
GATHER: Final = 0.05
"""Seconds in which lines are gathered before they are written together."""
QUIET: Final = ("mitmproxy", "httpx", "httpcore", "asyncio", "uvicorn", "alembic", "sqlalchemy")
"""Loggers whose information is of no use to Detour's user: only warnings, unless debugging."""
HEADERS: Final = "hpack"
"""The logger that tells of each header, byte by byte, whatever it holds: only warnings."""


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
        try:
            text = orjson.dumps(line, default=str).decode()
        except TypeError:
            # Half of a surrogate pair, out of what somebody sent.
            text = json.dumps(line, default=str)
        return redact(text)


class _Output(logging.Handler):
    """Formats a line where it is logged, and leaves it to a `_Writer`, since writing may wait.

    Formatting takes microseconds; in the other thread it would take the interpreter from the event loop for whole
    batches, and what both threads touch from one processor's cache to the other's.
    """

    def __init__(self, write: Callable[[list[str]], None], wake: threading.Event, limit: int = QUEUE) -> None:
        super().__init__()
        self._write, self._wake, self._limit = write, wake, limit
        self._lines: deque[str] = deque()
        self._dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        if len(self._lines) >= self._limit:
            self._dropped += 1
            return
        try:
            line = self.format(record)
            # One that cannot be written would take the others of its batch with it.
            self._lines.append(line if line.isascii() else line.encode(errors="backslashreplace").decode())
        except Exception:
            self.handleError(record)
        if self._dropped:
            missing, self._dropped = self._dropped, 0
            note = f"{missing} log lines were dropped, the output is too slow"
            self.emit(logging.LogRecord("detour", logging.WARNING, __file__, 0, note, None, None))
        if not self._wake.is_set():
            self._wake.set()

    def write_out(self) -> None:
        """Write what has come until now in one go."""
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        if lines:
            with suppress(OSError, ValueError):  # the terminal is gone
                self._write(lines)


class _Writer(threading.Thread):
    """Wakes a few times a second, not for every line."""

    def __init__(self, outputs: list[_Output], wake: threading.Event) -> None:
        super().__init__(name="log writer", daemon=True)
        self._outputs, self._wake = outputs, wake
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.is_set():
            self._wake.wait()
            self._stopped.wait(GATHER)
            self._wake.clear()
            for output in self._outputs:
                output.write_out()

    def stop(self) -> None:
        """End when everything is written."""
        self._stopped.set()
        self._wake.set()
        self.join()
        for output in self._outputs:
            output.write_out()


class _File(logging.handlers.RotatingFileHandler):
    def write(self, lines: list[str]) -> None:
        for line in lines:
            self.emit(logging.LogRecord("detour", logging.INFO, __file__, 0, line, None, None))


def _outputs(form: Form, log: Log, wake: threading.Event, files: ExitStack) -> Iterator[_Output]:
    stream = sys.stderr

    def to_terminal(lines: list[str]) -> None:
        stream.write("\n".join([*lines, ""]))
        stream.flush()

    terminal = _Output(to_terminal, wake)
    terminal.setFormatter(JsonFormatter() if form == "json" else HumanFormatter())
    yield terminal
    if log.file:
        path = Path(log.file).expanduser().absolute()
        try:
            private_folder(path.parent)
            file = _File(path, "a", log.size, log.keep, "utf-8")
        except OSError as error:
            raise LogError(
                f"log.file: {error.filename}: {error.strerror}; name a file that you may write"
            ) from None
        files.callback(file.close)
        output = _Output(file.write, wake)
        output.setFormatter(JsonFormatter())
        yield output


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
    wake = threading.Event()
    with ExitStack() as files:
        outputs = list(_outputs(form, log, wake, files))
        writer = _Writer(outputs, wake)
        root.handlers[:] = outputs
        root.setLevel(log.level.upper())
        for name in QUIET:
            logging.getLogger(name).setLevel(logging.NOTSET if log.level == "debug" else logging.WARNING)
        logging.getLogger(HEADERS).setLevel(logging.WARNING)
        writer.start()
        try:
            yield
        finally:
            root.handlers[:], root.level = before, level
            writer.stop()
