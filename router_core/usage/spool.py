"""Entries that wait on disk for a database that does not answer.

Each process appends to a file of its own and takes over the files of processes that are gone. Entries are
idempotent by their id, so one that is read twice does no harm.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson

from router_core.usage.entry import Entry, from_json, to_json


class Spool:
    """A folder of JSON lines, at most `limit` bytes large. Every method may raise OSError."""

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.limit = limit
        self._own = folder / f"{os.getpid()}.jsonl"

    def size(self) -> int:
        """Bytes of all files, other processes' included."""
        return sum(path.stat().st_size for path in self._files())

    def append(self, entries: Sequence[Entry]) -> int:
        """Write entries until the limit is reached. Returns how many were written."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        room = self.limit - self.size()
        lines: list[bytes] = []
        for entry in entries:
            line = orjson.dumps(to_json(entry)) + b"\n"
            room -= len(line)
            if room < 0:
                break
            lines.append(line)
        if lines:
            handle = os.open(self._own, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with os.fdopen(handle, "wb", buffering=0) as file:
                _write_all(file, b"".join(lines))
        return len(lines)

    def waiting(self) -> list[Path]:
        """The files that this process may read back: its own, and those of processes that are gone."""
        return [path for path in self._files() if path == self._own or not _alive(path)]

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


def _write_all(file, data: bytes) -> None:
    size = file.seek(0, os.SEEK_END)
    try:
        while data:
            data = data[file.write(data) :]
    except OSError:
        # The next line must not continue half a one.
        file.truncate(size)
        raise


def _alive(path: Path) -> bool:
    try:
        os.kill(int(path.stem), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True
