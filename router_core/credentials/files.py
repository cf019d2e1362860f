"""Files that hold secrets: read within bounds, replaced in one step, readable by their owner alone."""

from __future__ import annotations

import asyncio
import os
import re
import stat
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from router_core.ownership import pass_on, private_folder

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

MAX_BYTES: Final = 256 << 10
LOCK_POLL: Final = 0.05
"""Seconds between two looks at a lock that another process holds."""

_RESERVED: Final = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")


def read(path: Path) -> bytes:
    """Raises OSError, also for what is not a regular file or is larger than any file of secrets."""
    # A pipe or a device would block or never end.
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(0, "not a regular file")
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise OSError(0, "too large")
    return data


def replace(path: Path, data: bytes) -> None:
    """Writes a new file with mode 0600 over `path`, which is whole at every moment. Raises OSError.

    A symbolic link stays one: what it points to is replaced.
    """
    path = path.resolve()
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            pass_on(file.fileno(), path)
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


@asynccontextmanager
async def locked(path: Path, patience: float) -> AsyncIterator[bool]:
    """Held by one process at a time, on a file beside `path`; False when another holds it for `patience` seconds.

    The kernel lets go of it when its process ends, however it ends. Where no file can be made there, nobody
    can be kept from anything, and it counts as held.
    """
    try:
        file = await asyncio.to_thread(_lock_file, path)
    except OSError:
        yield True
        return
    try:
        end = time.monotonic() + patience
        while not (mine := _try_lock(file)) and time.monotonic() < end:  # noqa: ASYNC110
            await asyncio.sleep(LOCK_POLL)
        yield mine
    finally:
        os.close(file)


def _lock_file(path: Path) -> int:
    path = path.resolve()
    lock = private_folder(path.parent) / f".{path.name}.lock"
    file = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    pass_on(file, lock)
    return file


def _try_lock(file: int) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # A file system without locks.
        return True
    return True


def child(folder: Path, name: str) -> Path:
    """`name` in `folder`. Raises ValueError for a name that is not one plain file name on every system:
    separators, drive letters, ``..``, control characters, Windows device names, a leading or trailing dot."""
    if (
        not name
        or len(name) > 200
        or any(c in name for c in '/\\:*?"<>|')
        or not name.isprintable()
        or name.startswith(".")
        or name.endswith((".", " "))
        or ".." in name
        or _RESERVED.fullmatch(name)
    ):
        raise ValueError(f"{name!r} is not a safe file name")
    return folder / name
