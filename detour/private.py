"""A private instance: it serves one command on free ports and ends with it.

The command takes the place of the process that asked for it (as with ``ssh-agent COMMAND``), so its
signals, its job control, its terminal and its exit code are its own without anybody forwarding them.
The instance is nobody's child by then: a command that waits for all its children never waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from router_core.ownership import private_folder

READY: Final = "detour ready "
START_TIMEOUT: Final = 180.0
"""Seconds until an instance that has not said that it is ready counts as failed. The first start on a machine
compiles every module, which takes a busy one more than half a minute."""
LOG_SIZE: Final = 4 << 20
"""Bytes at which the log of private instances is begun anew."""


class StartError(Exception):
    """The instance did not start; the message holds its last words."""


class Private:
    """An instance that lives as long as this process."""

    def __init__(self, addresses: dict[str, str], pid: int, output: int) -> None:
        """`output` is what it writes to, and lets go of when it ends."""
        self.addresses = addresses
        """By name, as its first line has them."""
        self._pid = pid
        self._output = output

    def end(self, patience: float) -> bool:
        """Have it finish what is under way, for at most so many seconds, and end. Whether it has ended then."""
        for _ in range(2):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGTERM)
            # The second signal: now.
            if _silent(self._output, patience):
                return True
        return False


def start(config: Path, folder: Path, options: Sequence[str] = (), path: str | None = None) -> Private:
    """Start an instance. Raises StartError, OSError.

    `options` are further ones for `detour run`, `path` is its PATH where that is to be another one.

    What it logs goes to ``exec.log`` in `folder`: the terminal belongs to the command.
    """
    log = private_folder(folder) / "exec.log"
    if log.exists() and log.stat().st_size > LOG_SIZE:
        log.unlink()
    env = {**os.environ, "PATH": path} if path else None
    receiver, sender = os.pipe()
    told, number = os.pipe()
    with log.open("ab") as output:
        began = output.tell()
        command = [sys.executable, "-P", "-m", "detour", "run", "--config", str(config)]
        command += ["--private-to", str(os.getpid()), *options]
        between = os.fork()
        if between == 0:
            code = 1
            try:
                instance = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=sender,
                    stderr=output,
                    start_new_session=True,
                    env=env,
                )
                os.write(number, b"%d" % instance.pid)
                code = 0
            finally:
                os._exit(code)
        os.close(sender)
        os.close(number)
        os.waitpid(between, 0)
    with os.fdopen(told, "rb") as file:
        pid = int(file.read() or 0)
    line = _first_line(receiver)
    if not line.startswith(READY):
        os.close(receiver)
        with log.open("rb") as output:
            output.seek(began)
            last = output.read(64 << 10).decode(errors="replace").strip().splitlines()[-20:]
        raise StartError("\n".join(last) or f"it said nothing within {START_TIMEOUT:g} s")
    addresses = dict(field.split("=", 1) for field in line.removeprefix(READY).split())
    return Private(addresses, pid, receiver)


def _first_line(receiver: int) -> str:
    """What is written to `receiver` up to a line's end, the other side's end, or the time limit."""
    text = b""
    deadline = time.monotonic() + START_TIMEOUT
    with selectors.DefaultSelector() as selector:
        selector.register(receiver, selectors.EVENT_READ)
        while b"\n" not in text and selector.select(deadline - time.monotonic()):
            piece = os.read(receiver, 4096)
            if not piece:
                break
            text += piece
    return text.partition(b"\n")[0].decode(errors="replace")


def _silent(output: int, patience: float) -> bool:
    """Whether everybody who might write to `output` is gone, after at most `patience` seconds."""
    deadline = time.monotonic() + patience
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        while selector.select(max(0.0, deadline - time.monotonic())):
            if not os.read(output, 4096):
                return True
    return False


async def ended(pid: int) -> None:
    """Return when process `pid`, which need not be a child, has ended."""
    if not hasattr(os, "pidfd_open"):
        while _exists(pid):  # noqa: ASYNC110 - there is nothing to wait for
            await asyncio.sleep(0.5)
        return
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(handle, over.set)
    try:
        await over.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
