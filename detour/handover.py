"""One instance takes another's place: it gets the sockets themselves, so that no client is refused or cut off.

The running instance answers at a Unix socket in its state folder, which only its user can reach. Whoever
connects gets its listening sockets (SCM_RIGHTS), listens on them too, and says when it serves; from then on
the other one only finishes what it has begun. A newcomer that ends before that changes nothing. Connections
wait in the sockets, which never close, so none is lost between the two, as SO_REUSEPORT would lose those that
wait at the one that leaves.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from router_core.ownership import private_folder

logger = logging.getLogger(__name__)

SERVING: Final = b"serving\n"
PATIENCE: Final = 10.0
"""Seconds within which the other side has to answer."""
MAX_SOCKETS: Final = 64


class HandoverError(Exception):
    """The running instance does not give its sockets away; the message says why."""


class Offer:
    """Gives `sockets` to whoever asks at `path`. Call `close` in the end."""

    def __init__(
        self,
        path: Path,
        sockets: Mapping[str, Sequence[socket.socket]],
        before: Callable[[], Awaitable[None]],
        taken: Callable[[], Awaitable[None]],
    ) -> None:
        """`before` is waited for before they are given, `taken` when the other instance serves."""
        self._path = path
        self._sockets = sockets
        self._before = before
        self._taken = taken
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.setblocking(False)
        with _reachable(private_folder(path.parent)) as folder:
            # Bound under another name first: a newcomer's socket replaces its predecessor's in one step.
            fresh = f".{path.name}.{os.getpid()}"
            self._listener.bind(f"{folder}/{fresh}")
            path.with_name(fresh).chmod(0o600)
            path.with_name(fresh).replace(path)
        self._identity = path.stat().st_ino
        self._listener.listen(1)
        self._task = asyncio.create_task(self._serve())

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._listener.close()
        with contextlib.suppress(OSError):
            if self._path.stat().st_ino == self._identity:
                self._path.unlink()

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            peer, _ = await loop.sock_accept(self._listener)
            with peer:
                peer.setblocking(False)
                try:
                    if _is_own(peer) and await self._give(peer):
                        await self._taken()
                        return
                except (OSError, TimeoutError) as error:
                    logger.warning("another instance asked for the listeners and went away: %s", error)

    async def _give(self, peer: socket.socket) -> bool:
        """Whether the other instance serves now."""
        await self._before()
        names = [name for name, sockets in self._sockets.items() for _ in sockets]
        handles = [sock.fileno() for sockets in self._sockets.values() for sock in sockets]
        socket.send_fds(peer, [json.dumps({"pid": os.getpid(), "names": names}).encode()], handles)
        # It may take long to start; that it ends is noticed.
        said = await asyncio.get_running_loop().sock_recv(peer, len(SERVING))
        if said != SERVING:
            logger.warning("another instance asked for the listeners and did not come to serve")
        return said == SERVING


class Takeover:
    """The other side: `sockets` are those that the running instance listens on."""

    def __init__(self, path: Path) -> None:
        """Raises HandoverError."""
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._connection.settimeout(PATIENCE)
        try:
            with _reachable(path.parent) as folder:
                self._connection.connect(f"{folder}/{path.name}")
            said, handles, _, _ = socket.recv_fds(self._connection, 1 << 16, MAX_SOCKETS)
            document = json.loads(said)
        except (OSError, ValueError) as error:
            self._connection.close()
            raise HandoverError(f"the running instance does not give its listeners away: {error}") from None
        self.pid: int = document["pid"]
        self.sockets = list(zip(document["names"], (socket.socket(fileno=fd) for fd in handles), strict=True))

    def serving(self) -> None:
        """Tell the running instance that this one serves."""
        with contextlib.suppress(OSError), self._connection:
            self._connection.sendall(SERVING)


@contextmanager
def _reachable(folder: Path) -> Iterator[str]:
    """`folder` by a path that is short: the address of a Unix socket has 107 bytes at most."""
    if not Path("/proc/self/fd").is_dir():
        yield str(folder)
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{handle}"
    finally:
        os.close(handle)


def _is_own(peer: socket.socket) -> bool:
    """Whether the other side runs as this user, or as root. Where the system does not tell, the folder's mode decides."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    packed = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", packed)
    return uid in (0, os.geteuid())
