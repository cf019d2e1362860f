"""The process of the ledger's writer as its owner sees it: messages in, lines of JSON out."""

from __future__ import annotations

import contextlib
import os
import pickle
import selectors
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from router_core.usage.frames import encode

_PROGRAM: Final = "import sys; sys.path[:0] = sys.argv[1:]; import runpy; runpy.run_module('router_core.usage.writer', run_name='__main__')"


def command() -> list[str]:
    """How the writer is started. It finds the packages where this process did; a checkout need not be installed."""
    root = str(Path(__file__).resolve().parents[2])
    return [sys.executable, "-P", *["-O"] * sys.flags.optimize, "-c", _PROGRAM, root]


class WriterProcess:
    """Started when it is made. Raises OSError where it cannot be."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        assert self._process.stdin and self._process.stdout
        self._input, self._output = self._process.stdin, self._process.stdout
        os.set_blocking(self._output.fileno(), False)
        self._answers = selectors.DefaultSelector()
        self._answers.register(self._output, selectors.EVENT_READ)
        self._tail = b""
        self.lines = 0
        """How many it has said."""

    @property
    def begun(self) -> bool:
        """Whether it reads messages; before that it has touched nothing."""
        return self.lines > 0

    @property
    def spoke(self) -> bool:
        """Whether it has ever said a word after its greeting."""
        return self.lines > 1

    @property
    def pid(self) -> int:
        return self._process.pid

    def tell(self, *message: Any) -> None:
        """Waits until it has taken the message. Raises OSError when it is gone."""
        view = memoryview(encode(pickle.dumps(message, pickle.HIGHEST_PROTOCOL)))
        while view:
            view = view[os.write(self._input.fileno(), view) :]

    def heard(self, timeout: float) -> Iterator[dict[str, Any]]:
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
