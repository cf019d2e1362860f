"""The latest log lines, for the dashboard."""

from __future__ import annotations

import logging
from collections import deque
from typing import Any, Final

from detour.redaction import redact

MAX_LINES: Final = 2000
LONGEST: Final = 2000
"""Characters that are shown of a line."""


class LogRing(logging.Handler):
    """Keeps the last lines of the root logger, redacted like those that are written."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: deque[tuple[float, str, str, str]] = deque(maxlen=MAX_LINES)
        """Moment, level, logger, text. Each request logs a line; few are ever looked at, and redacted then."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
            if record.exc_info and record.exc_info[0]:
                text += f" ({record.exc_info[0].__name__})"
        except Exception:
            self.handleError(record)
            return
        self._lines.append((record.created, record.levelname, record.name, text))

    def lines(self, limit: int = MAX_LINES) -> list[dict[str, Any]]:
        """The newest lines, the newest last."""
        return [
            {"at": at, "level": level.lower(), "logger": name, "message": redact(text)[:LONGEST]}
            for at, level, name, text in list(self._lines)[-limit:]
        ]

    def install(self) -> None:
        logging.getLogger().addHandler(self)

    def remove(self) -> None:
        logging.getLogger().removeHandler(self)
