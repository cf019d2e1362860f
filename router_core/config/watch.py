"""Files that are looked at again and again, and what happens when they change.

Looking works everywhere: on network file systems, in containers and through symbolic links that are
replaced (as Kubernetes does), where notifications of the kernel do not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Final

logger = logging.getLogger(__name__)

INTERVAL: Final = 1.0
SETTLE: Final = 0.15
"""Seconds without a further change before one counts: editors and copies write in steps."""

type Signature = tuple[int, int, int] | None
"""(modification time in ns, size, inode); None where there is no file."""


def signature(path: Path) -> Signature:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


async def watch(
    paths: Callable[[], Iterable[Path]],
    changed: Callable[[], Awaitable[object]],
    *,
    interval: float = INTERVAL,
    settle: float = SETTLE,
    since: int | None = None,
) -> None:
    """Calls `changed` after any of `paths` has changed, until it is cancelled.

    `paths` is asked each time, since a new configuration may be made of other files. What `changed` raises
    is logged, and the watching goes on. `since` is when they were read, in nanoseconds since the epoch: what has
    changed until the first look counts too.
    """

    def look() -> dict[Path, Signature]:
        return {path: signature(path) for path in paths()}

    seen = await asyncio.to_thread(look)
    if since is not None and any(found is not None and found[0] > since for found in seen.values()):
        seen = {}
    while True:
        await asyncio.sleep(interval)
        now = await asyncio.to_thread(look)
        if now == seen:
            continue
        while True:
            await asyncio.sleep(settle)
            again = await asyncio.to_thread(look)
            if again == now:
                break
            now = again
        seen = now
        try:
            await changed()
        except Exception:
            logger.exception("a change of the watched files could not be followed")
