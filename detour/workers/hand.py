"""One worker as its supervisor sees it: the process, what it says, and whether it is well."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from detour.admin.sight import added
from detour.listeners import Listener
from detour.workers.channel import Channel, Gone
from detour.workers.loglines import MAX_LINE, LogLines
from detour.workers.worker import send_listeners
from router_core.connections import Connections

logger = logging.getLogger(__name__)

CHECK: Final = 5.0
"""Seconds between two looks at whether a worker's event loop turns."""
HUNG: Final = 30.0
"""Seconds without an answer after which a worker is killed."""


class Hand:
    """Worker number `number`, from 1. `news` hears what it tells."""

    def __init__(self, number: int, news: Callable[[Hand, str, Any], None]) -> None:
        self.number = number
        self.pid = 0
        self.ready = asyncio.Event()
        """Set while it serves."""
        self.served = False
        """Whether it has ever served."""
        self.connections = Connections()
        self.past_connections = Connections()
        """What processes counted that have ended."""
        self._news = news
        self._channel: Channel | None = None

    async def run(
        self, config: Path | None, options: Sequence[str], listeners: dict[str, Listener], lines: LogLines
    ) -> int:
        """Start the process, and follow it to its end; its exit code. Raises OSError."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            send_listeners(ours, listeners)
            command = [sys.executable, "-P", *["-O"] * sys.flags.optimize, "-m", "detour", "run"]
            command += ["--config", str(config)] if config else []
            command += ["--log-format", "json", "--worker", f"{self.number}:{theirs.fileno()}", *options]
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                # The terminal's signals are the supervisor's to follow.
                start_new_session=True,
                limit=MAX_LINE,
            )
        assert process.stderr
        self.pid = process.pid
        self._channel = await Channel.on(ours, {}, self._hear)
        tasks = [
            asyncio.create_task(lines.follow(self.number, process.stderr)),
            asyncio.create_task(self._channel.listen()),
            asyncio.create_task(self._watch()),
        ]
        try:
            code = await process.wait()
            # What it said last is still on its way.
            await asyncio.wait(tasks[:2], timeout=1)
            return code
        finally:
            self.ready.clear()
            for task in tasks:
                task.cancel()
            self._channel.close()
            self._channel, self.pid = None, 0
            self.past_connections = added([self.past_connections, self.connections])
            self.connections = Connections()

    async def call(self, what: str, *arguments: Any) -> Any:
        """Raises Gone, Failed."""
        if self._channel is None or not self.ready.is_set():
            raise Gone("it is not there")
        return await self._channel.call(what, *arguments)

    def tell(self, what: str, value: Any) -> None:
        """News, for a worker that serves."""
        if self._channel is not None and self.ready.is_set():
            with contextlib.suppress(Gone):
                self._channel.tell(what, value)

    def signal(self, number: signal.Signals) -> None:
        if self.pid:
            os.kill(self.pid, number)

    def _hear(self, what: str, value: Any) -> None:
        match what:
            case "ready":
                self.served = True
                self.ready.set()
            case "connections":
                self.connections = value
        self._news(self, what, value)

    async def _watch(self) -> None:
        """Kill a process whose event loop does not turn; it is started again then."""
        await self.ready.wait()
        assert self._channel
        while True:
            await asyncio.sleep(CHECK)
            try:
                await self._channel.call("alive", patience=HUNG)
            except Gone:
                logger.error("worker %d has not answered for %g s and is killed", self.number, HUNG)
                self.signal(signal.SIGKILL)
                return
