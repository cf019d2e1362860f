"""What the service manager hears: sd_notify(3), as datagrams to the socket that it names.

Without a service manager nothing is sent. The variables are taken out of the environment, so that no child
speaks in this process's name.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import MutableMapping

logger = logging.getLogger(__name__)


class Notifier:
    def __init__(self, environ: MutableMapping[str, str] = os.environ) -> None:
        self._address = environ.pop("NOTIFY_SOCKET", "")
        for_whom = environ.pop("WATCHDOG_PID", "")
        microseconds = environ.pop("WATCHDOG_USEC", "")
        self.watchdog: float | None = None
        """Seconds within which the service manager wants to hear from a process that is well; None: never."""
        if microseconds.isdecimal() and int(microseconds) and for_whom in ("", str(os.getpid())):
            self.watchdog = int(microseconds) / 1e6

    def ready(self, status: str) -> None:
        self._tell("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        # Type=notify-reload wants to know which READY=1 belongs to this.
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str) -> None:
        self._tell("STOPPING=1", f"STATUS={status}")

    def status(self, status: str) -> None:
        self._tell(f"STATUS={status}")

    async def watch(self) -> None:
        """Say at half the wanted interval that the event loop still turns. Runs until it is cancelled."""
        while self.watchdog:
            self._tell("WATCHDOG=1")
            await asyncio.sleep(self.watchdog / 2)

    def _tell(self, *lines: str) -> None:
        if not self._address.startswith(("/", "@")):
            return
        # A leading @ is the abstract namespace.
        address = self._address.replace("@", "\0", 1) if self._address[0] == "@" else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                # A full queue must not hold the event loop up.
                sock.setblocking(False)
                sock.sendto("\n".join(lines).encode(), address)
        except OSError as error:
            logger.debug("the service manager does not hear: %s", error)
