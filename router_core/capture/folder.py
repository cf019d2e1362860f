"""The folders of records: where they lie, how one is found, and when they go.

``CAPTURES/2026-08-22/ID.jsonl``, by the day (UTC) on which the exchange began. A provider may have a folder of
its own for the exchanges that it served. Exchanges that will be kept only if they fail are written to
``CAPTURES/.spool/PROCESS/`` first. Files are 0600, folders 0700.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from router_core.capture.reader import NotARecord, Summary, summarise
from router_core.capture.record import SUFFIX
from router_core.ownership import pass_on, private_folder

SPOOL: Final = ".spool"
PROCESS: Final = f"{os.getpid()}-{secrets.token_hex(4)}"
"""Names this process's spool: in a container the next process may well have the same number."""
ABANDONED: Final = 600.0
"""Seconds after which a file that has not got its name is left over: it takes a moment."""
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class Folders:
    """Every folder in which records lie."""

    main: Path
    own: Mapping[str, Path] = field(default_factory=dict)
    """Those of providers, by name."""

    @classmethod
    def of(cls, main: Path, dirs: Mapping[str, str]) -> Folders:
        """`dirs` as `capture.dirs` has them."""
        return cls(main, {name: Path(path).expanduser().absolute() for name, path in dirs.items()})

    def __iter__(self) -> Iterator[Path]:
        """Each of them once."""
        return iter(dict.fromkeys((self.main, *self.own.values())))

    def __str__(self) -> str:
        return ", ".join(map(str, self))

    def record(self, id: str, created: float, provider: str | None) -> Path:
        """Where the record `id` of an exchange with `provider` belongs. Raises ValueError for an id that is no
        file name."""
        if not _ID.fullmatch(id):
            raise ValueError(f"{id!r} cannot be a record's name")
        folder = self.own.get(provider or "", self.main)
        return folder / time.strftime("%Y-%m-%d", time.gmtime(created)) / f"{id}{SUFFIX}"


class NoSuchRecord(LookupError):
    """No record, or more than one, answers to an id; the message says so."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file of the folder that is no record."""

    path: Path
    why: str


def redaction_key(path: Path) -> bytes:
    """The key of this installation's placeholders in `path`, made when there is none. Raises OSError."""
    private_folder(path.parent)
    if not path.exists():
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            pass_on(file.fileno(), path)
            file.write(secrets.token_bytes(32))
        try:
            # A link, unlike a rename, never replaces the key of a process that was faster.
            with contextlib.suppress(FileExistsError):
                os.link(temporary, path)
        finally:
            temporary.unlink()
    key = path.read_bytes()
    if len(key) < 32:
        raise OSError(
            f"{path} is damaged; delete it (placeholders of older records will differ from new ones)"
        )
    return key


def spool_path(folders: Folders, id: str) -> Path:
    if not _ID.fullmatch(id):
        raise ValueError(f"{id!r} cannot be a record's name")
    return folders.main / SPOOL / PROCESS / f"{id}{SUFFIX}"


def paths(folders: Folders) -> list[Path]:
    """The files of records, oldest first: ids sort by time, and so do the days."""
    found = (path for folder in folders for path in folder.glob(f"[0-9]*-[0-9]*-[0-9]*/*{SUFFIX}"))
    return sorted(found, key=lambda path: (path.parent.name, path.name))


def summaries(folders: Folders, newest_first: bool = True) -> Iterator[Summary | Unreadable]:
    """Each record in one line; files that are none are named with the reason."""
    found = paths(folders)
    for path in reversed(found) if newest_first else found:
        try:
            yield summarise(path)
        except NotARecord as error:
            yield Unreadable(path, str(error).removeprefix(f"{path}: "))
        except OSError as error:
            yield Unreadable(path, error.strerror or str(error))


def find(folders: Folders, name: str) -> Path:
    """The record named by its id, the beginning of it, a file's path, or ``last``, the newest that can be read. Raises NoSuchRecord."""
    if (os.path.sep in name or name.endswith(SUFFIX)) and Path(name).is_file():
        return Path(name)
    found = paths(folders)
    if name == "last":
        if not found:
            raise NoSuchRecord(f"there are no records in {folders}; set capture.mode to all or errors")
        return next(filter(_is_record, reversed(found)), found[-1])
    matching = [p for p in found if p.stem.startswith(name)]
    exact = [p for p in matching if p.stem == name]
    if len(exact or matching) == 1:
        return (exact or matching)[0]
    if not matching:
        raise NoSuchRecord(f"no record {name!r} in {folders}; `detour capture list` shows what there is")
    shown = ", ".join(p.stem for p in matching[:5])
    raise NoSuchRecord(
        f"{name!r} begins the ids of {len(matching)} records: {shown}{' ...' if len(matching) > 5 else ''}"
    )


def _is_record(path: Path) -> bool:
    try:
        summarise(path)
    except (NotARecord, OSError):
        return False
    return True


def prune(
    folders: Folders,
    days: float,
    size: int,
    keep: frozenset[Path] = frozenset(),
    now: float | None = None,
    failed: list[OSError] | None = None,
) -> list[Path]:
    """Deletes records older than `days`, then the oldest until the rest is within `size` bytes.

    `keep` are records that are being written. Returns what was deleted; what could not be is added to `failed`.
    """
    now = time.time() if now is None else now
    oldest = now - days * 86400
    for folder in folders:
        _sweep(folder, now - ABANDONED)
    files: list[tuple[Path, os.stat_result]] = []
    for path in paths(folders):
        with contextlib.suppress(OSError):
            files.append((path, path.stat()))
    total = sum(stat.st_size for _, stat in files)
    deleted: list[Path] = []
    for path, stat in files:
        if path in keep or (stat.st_mtime >= oldest and total <= size):
            continue
        total -= stat.st_size
        try:
            path.unlink()
        except OSError as error:
            if failed is not None:
                failed.append(error)
        else:
            deleted.append(path)
    for day in {path.parent for path in deleted}:
        with contextlib.suppress(OSError):
            day.rmdir()
    return deleted


def _sweep(folder: Path, before: float) -> None:
    """Deletes files that a crash left before they had their names."""
    for path in folder.glob(f"[0-9]*-[0-9]*-[0-9]*/.*{SUFFIX}.*"):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < before:
                path.unlink()


def adopt(folders: Folders) -> int:
    """Moves what a process that died left in its spool to the records: nobody knows how they ended.

    Returns how many there were.
    """
    adopted = 0
    for left in folders.main.glob(f"{SPOOL}/*"):
        if _alive(left.name):
            continue
        for path in sorted(left.glob(f"*{SUFFIX}")):
            with contextlib.suppress(NotARecord, OSError, ValueError):
                summary = summarise(path)
                opening = summary.opening
                move(path, folders.record(path.stem, opening.created, opening.provider))
                adopted += 1
        shutil.rmtree(left, ignore_errors=True)
    return adopted


def move(path: Path, target: Path) -> None:
    """Moves a record, to another file system too; no reader meets half of it. Raises OSError."""
    private_folder(target.parent)
    try:
        path.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        hidden = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        shutil.copy2(path, hidden)
        hidden.replace(target)
        path.unlink()


def _alive(process: str) -> bool:
    """Whether the process that named its spool `process` still runs."""
    pid, _, _ = process.partition("-")
    if process == PROCESS or not pid.isdigit():
        return True
    if int(pid) == os.getpid():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
