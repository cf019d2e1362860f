"""Entries that wait on disk for a database that does not answer.

Each process appends to a file of its own and takes over the files of processes that are gone. Entries are
idempotent by their id, so one that is read twice does no harm.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import orjson

from router_core.ownership import private_folder
from router_core.usage.entry import Entry, from_json, to_json


class Spool:
    """A folder of JSON lines, at most `limit` bytes large. Every method but `close` may raise OSError.

    Whose file it is says a lock that ends with its process, and not a process number, which another process has
    after a while, and which means nothing where containers share the folder.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.limit = limit
        self._own: Path | None = None
        self._file = -1
        """Of `_own`, locked."""

    def size(self) -> int:
        """Bytes of all files, other processes' included."""
        return sum(path.stat().st_size for path in self._files())

    def append(self, entries: Sequence[Entry]) -> int:
        """Write entries until the limit is reached. Returns how many were written."""
        private_folder(self.folder)
        room = self.limit - self.size()
        lines: list[bytes] = []
        for entry in entries:
            line = orjson.dumps(to_json(entry)) + b"\n"
            room -= len(line)
            if room < 0:
                break
            lines.append(line)
        if lines:
            _write_all(self._opened(), b"".join(lines))
        return len(lines)

    def waiting(self) -> Iterator[Path]:
        """The files that this process may read back: its own, and those of processes that are gone.

        Whoever has written all of one to the database removes it before the next.
        """
        for path in self._files():
            if path == self._own:
                yield path
                if not path.exists():
                    self.close()
            elif (handle := _locked(path)) is not None:
                try:
                    yield path
                finally:
                    os.close(handle)

    def close(self) -> None:
        """Leave the own file to others, if there is one."""
        if self._own is not None:
            os.close(self._file)
            self._own, self._file = None, -1

    def _opened(self) -> int:
        for number in count():
            if self._own is not None and self._own.exists():
                break
            self.close()  # somebody has removed the file
            path = self.folder / f"{os.getpid()}-{number}.jsonl"
            if (handle := _locked(path, os.O_CREAT)) is not None:
                self._own, self._file = path, handle
        return self._file

    def _files(self) -> list[Path]:
        try:
            return sorted(path for path in self.folder.iterdir() if path.suffix == ".jsonl")
        except FileNotFoundError:
            return []


def read(path: Path, batch: int) -> Iterator[list[Entry]]:
    """The entries of a spool file, `batch` at a time; lines that a full disk cut short are left out."""
    entries: list[Entry] = []
    with path.open("rb") as lines:
        for line in lines:
            try:
                entries.append(from_json(orjson.loads(line)))
            except ValueError:
                continue
            if len(entries) == batch:
                yield entries
                entries = []
    if entries:
        yield entries


def _write_all(file: int, data: bytes) -> None:
    size = os.lseek(file, 0, os.SEEK_END)
    try:
        while data:
            data = data[os.write(file, data) :]
    except OSError:
        # The next line must not continue half a one.
        os.ftruncate(file, size)
        raise


def _locked(path: Path, flags: int = 0) -> int | None:
    """A descriptor of the file that is this one's alone, or None where another process has it, or it is gone."""
    try:
        file = os.open(path, os.O_RDWR | os.O_APPEND | flags, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Another process may have read and removed it in between.
        if os.path.samestat(os.fstat(file), path.stat()):
            return file
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:
        os.close(file)
        raise
    os.close(file)
    return None
