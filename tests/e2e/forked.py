"""A Detour in a process of its own that need not import everything anew, since tests start hundreds.

The standard library's fork server has the imports done, under ``-O`` as `detour run` has; each start is a fork of
it that gets its own arguments, environment, folder and output before Detour's first line runs.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import IO
from unittest import mock

from detour import __main__ as program

IMPORTED = (
    "detour.cli",
    "detour.commands.run",
    "detour.launcher",
    "detour.admin.server",
    "uvicorn.protocols.http.h11_impl",
    "uvicorn.lifespan.off",
    "tests.e2e.forked",
)
"""What the fork server imports, in this order."""
TIMEOUT = 100.0
"""Seconds that a command may take."""


class ForkedProcess:
    """What the tests need of `subprocess.Popen`. `stdout` is a pipe's reading end, as text."""

    def __init__(self, arguments: Sequence[str], env: dict[str, str], folder: Path, stderr: Path) -> None:
        reader, writer = os.pipe()
        with Connection(writer, readable=False) as output:
            self._process = _server().Process(
                target=_become, args=(list(arguments), env, folder, output, stderr)
            )
            self._process.start()
        self.stdout: IO[str] | None = os.fdopen(reader)

    @property
    def pid(self) -> int:
        assert self._process.pid
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Raises `subprocess.TimeoutExpired`."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("detour", timeout or 0)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        with suppress(ProcessLookupError):  # it may have ended before its exit code is here
            if self.poll() is None:
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def run(arguments: Sequence[str], env: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run ``detour ARGUMENTS`` to its end, with nothing on its standard input.

    Raises `subprocess.TimeoutExpired` after `TIMEOUT`.
    """
    with tempfile.TemporaryDirectory() as kept:
        stderr = Path(kept) / "stderr"
        stderr.touch()
        process = ForkedProcess(arguments, env, folder, stderr)
        # A program that never ends would keep its end of the pipe open for as long.
        expire = threading.Timer(TIMEOUT, process.kill)
        expire.start()
        assert process.stdout
        with process.stdout:
            said = process.stdout.read()
        code = process.wait(TIMEOUT)
        expire.cancel()
        if code == -signal.SIGKILL:
            raise subprocess.TimeoutExpired(arguments, TIMEOUT, said, stderr.read_text())
        return subprocess.CompletedProcess(arguments, code, said, stderr.read_text())


@cache
def _server() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(IMPORTED))
    # The server takes its optimisation from the environment that it is started in.
    with mock.patch.dict(os.environ, PYTHONOPTIMIZE="1"):
        multiprocessing.forkserver.ensure_running()
    return context


def _become(
    arguments: list[str], env: dict[str, str], folder: Path, output: Connection, stderr: Path
) -> None:
    """Be ``detour ARGUMENTS``, in the child."""
    os.dup2(output.fileno(), 1)
    os.dup2(os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    output.close()
    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    sys.argv = ["detour", *arguments]
    program.main()


if multiprocessing.parent_process() is None and sys.flags.optimize:
    # In the fork server: its memory is shared with every fork as long as nobody writes to it.
    gc.collect()
    gc.freeze()
