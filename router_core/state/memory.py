"""State in this process alone, written to a file when it ends and read when it starts."""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

import orjson

from router_core.ownership import pass_on, private_folder
from router_core.state.store import Alone, Change, Owner

logger = logging.getLogger(__name__)

VERSION: Final = 1
MAX_FILE: Final = 64 << 20


class MemoryStore(Alone):
    shared = False

    def __init__(self, path: Path | None = None):
        self.path = path
        """The file; None keeps nothing."""
        self._owner: Owner | None = None
        self._writing: asyncio.Task[None] | None = None

    async def start(self, owner: Owner) -> None:
        self._owner = owner
        if self.path is not None:
            owner.adopt(await asyncio.to_thread(read, self.path))

    async def close(self, *, keep: bool = True) -> None:
        if self._writing is not None:
            await self._writing
        if keep:
            await self.keep()

    def changed(self, change: Change) -> None:
        # What somebody decided is not left to how the process ends.
        if change.kind == "switch" and (self._writing is None or self._writing.done()):
            self._writing = asyncio.create_task(self.keep())

    async def keep(self) -> None:
        if self.path is None or self._owner is None:
            return
        try:
            await asyncio.to_thread(write, self.path, self._owner.snapshot())
        except OSError as e:
            logger.warning("the routing state cannot be written to %s: %s", self.path, e.strerror)

    async def lease(self, name: str, limit: int, life: float | None = None) -> object:
        return None

    def give_back(self, lease: object) -> None:
        pass


def read(path: Path) -> list[Change]:
    """The changes in a state file; none where it is absent, unreadable or of another version."""
    try:
        if path.stat().st_size > MAX_FILE:
            raise ValueError("too large")
        document = orjson.loads(path.read_bytes())
        if document["version"] != VERSION:
            return []
        return [Change(**{k: c[k] for k in ("kind", "name", "value", "key")}) for c in document["changes"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as e:
        logger.warning(
            "the routing state in %s cannot be read and is started anew: %s", path, type(e).__name__
        )
        return []


def write(path: Path, changes: list[Change]) -> None:
    """Replaces the file in one step; only its owner can read it. Raises OSError."""
    body = orjson.dumps({"version": VERSION, "changes": changes})
    private_folder(path.parent)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            pass_on(file.fileno(), path)
            file.write(body)
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
