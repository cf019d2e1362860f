"""Files that only their owner may read, written whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from router_core.ownership import pass_on


def write_atomic(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace `path` by `content`; a reader sees the old file or the new one. Raises OSError.

    The temporary file stands in the same folder and never has wider permissions than `mode`.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            pass_on(file.fileno(), path)
        temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Waits until no other process is in such a block with the same `folder`. Raises OSError.

    The kernel lets go of the lock when its process ends, however it ends.
    """
    lock = folder / ".lock"
    with lock.open("ab") as file:
        pass_on(file.fileno(), lock)
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
