"""The file of one record, which no reader ever meets without its first line."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from router_core.capture.folder import move
from router_core.ownership import pass_on, private_folder


class RecordFile:
    """Appended to at `path`; `final` is where the file belongs in the end, often the same.

    It is written under a hidden name first and gets its own with its first lines in it. What a crash leaves
    under the hidden name in between is deleted by `folder.prune`.
    """

    def __init__(self, path: Path, final: Path | None = None) -> None:
        self.path = path
        self._final = final or path
        self._named = False

    def append(self, data: bytes) -> None:
        """Writes `data` behind what is there. Raises OSError."""
        if self._named:
            _write(os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), data)
            return
        hidden = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}")
        try:
            handle = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileNotFoundError:
            private_folder(self.path.parent)
            handle = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            pass_on(handle, hidden)
            _write(handle, data)
            hidden.replace(self.path)
        except OSError:
            hidden.unlink(missing_ok=True)
            raise
        self._named = True

    def keep(self, final: Path | None = None) -> None:
        """Puts the file where it belongs: at `final`, if that is only known now. Raises OSError."""
        final = final or self._final
        if self.path is not final and self.path != final:
            move(self.path, final)

    def discard(self) -> None:
        """Deletes the file. Raises OSError."""
        self.path.unlink(missing_ok=True)


def _write(handle: int, data: bytes) -> None:
    """Writes all of `data` to `handle` and closes it. Raises OSError."""
    try:
        while data:
            data = data[os.write(handle, data) :]
    finally:
        os.close(handle)
