"""A process of Detour's own that works for this one: messages in, lines of JSON out."""

from __future__ import annotations

import contextlib
import gc
import os
import selectors
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from router_core.frames import encode

PIPE_SIZE: Final = 1 << 20
"""Bytes that may lie in its pipe, where the system lets one choose: less waiting for a child that is slow."""
NICE: Final = 10

_PROGRAM: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); import runpy; runpy.run_module(sys.argv[2], {}, '__main__')"
)


def command(module: str) -> list[str]:
    """How `module` is run as a child. It finds the packages where this process did; a checkout need not be
    installed."""
    root = str(Path(__file__).resolve().parents[1])
    return [sys.executable, "-P", "-O", "-c", _PROGRAM, root, module]


def give_way(nice: int = NICE) -> None:
    """For the child itself, before its work: where there is not enough for both, the traffic goes first."""
    with contextlib.suppress(OSError, AttributeError):
        os.nice(nice)
    # Linux first shares the processors among sessions (sched(7), "The autogroup feature"), and a child has its
    # own, in which it is as nice as it likes.
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(nice))
    # What comes here refers to nothing that refers to it, and comes hundreds at a time: looking for circles
    # among it would be a third of the work.
    gc.set_threshold(50_000)


class Child:
    """Started when it is made. Raises OSError where it cannot be."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        assert self._process.stdin and self._process.stdout
        self._input, self._output = self._process.stdin, self._process.stdout
        os.set_blocking(self._output.fileno(), False)
        with contextlib.suppress(ImportError, AttributeError, OSError):
            import fcntl

            fcntl.fcntl(self._input.fileno(), fcntl.F_SETPIPE_SZ, PIPE_SIZE)
        self._answers = selectors.DefaultSelector()
        self._answers.register(self._output, selectors.EVENT_READ)
        self._tail = b""
        self.lines = 0
        """How many it has said."""

    @property
    def pid(self) -> int:
        return self._process.pid

    def tell(self, message: bytes) -> None:
        """Waits until it has taken the message. Raises OSError when it is gone."""
        view = memoryview(encode(message))
        while view:
            view = view[os.write(self._input.fileno(), view) :]

    def heard(self, timeout: float | None) -> Iterator[dict[str, Any]]:
        """What it says, waiting at most so many seconds for it. Raises EOFError when it is gone."""
        for key, _ in self._answers.select(timeout):
            data = os.read(key.fd, 1 << 20)
            if not data:
                raise EOFError
            *lines, self._tail = (self._tail + data).split(b"\n")
            for line in lines:
                self.lines += 1
                yield orjson.loads(line)

    def finish(self) -> None:
        """It ends by itself when it has no more input."""
        with contextlib.suppress(OSError):
            self._input.close()

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        code = self._process.wait()
        self._answers.close()
        self._output.close()
        return code

    def kill(self) -> int:
        """Ends it now; the exit code."""
        self._process.kill()
        self.finish()
        return self.wait()
