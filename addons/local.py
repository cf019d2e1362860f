"""Captures the connections of one command and its children by process, where the kernel lets eBPF do that.

mitmproxy's own mode starts well also where it cannot capture; here a connection of Detour's own proves first
that it can.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path
from typing import Final

import mitmproxy_rs
from mitmproxy.proxy import layer, mode_servers, mode_specs
from mitmproxy.proxy.layers import modes

logger = logging.getLogger(__name__)

MAX_PROCESSES: Final = 16
"""The kernel's program compares with twenty at most."""
LOOK: Final = 0.1
"""Seconds between two looks at which children there are."""
PROOF: Final = ("192.0.2.1", 9)
"""An address that nobody has (RFC 5737)."""
PATIENCE: Final = 10.0
"""Seconds for the proof."""
PROVER: Final = f"""
import contextlib, socket
while True:
    with contextlib.suppress(OSError):
        socket.create_connection({PROOF}, 0.3).close()
"""
"""It takes the redirector a moment to follow an order, and it says nothing about it."""


class CaptureError(OSError):
    """The kernel does not capture; the message says what it may want."""


class ProcessMode(mode_specs.LocalMode):
    """Written ``process:PID``."""


class ProcessInstance(mode_servers.ServerInstance[ProcessMode]):
    listen_addrs = ()
    _redirector: mitmproxy_rs.local.LocalRedirector | None = None
    _following: asyncio.Task[None] | None = None
    _proved: asyncio.Event | None = None

    @property
    def is_running(self) -> bool:
        return self._redirector is not None

    def make_top_layer(self, context) -> layer.Layer:
        return modes.TransparentProxy(context)

    async def _start(self) -> None:
        self._proved = asyncio.Event()
        try:
            self._redirector = await mitmproxy_rs.local.start_local_redirector(self._take, self._take)
            await self._prove(self._redirector, self._proved)
        except (RuntimeError, TimeoutError, BrokenPipeError) as error:
            await self._stop()
            what = str(error).partition("\n")[0] or "a connection of its own was not captured"
            raise CaptureError(
                f"this kernel does not let Detour capture by process: {what}. A container has to be privileged and share "
                "the host's network and cgroups; leave out --local to use the proxy variables"
            ) from None
        self._following = asyncio.create_task(self._follow(int(self.mode.data)))

    async def _stop(self) -> None:
        if self._following:
            self._following.cancel()
            self._following = None
        redirector, self._redirector = self._redirector, None
        if redirector:
            redirector.close()

    async def _take(self, stream: mitmproxy_rs.Stream) -> None:
        if stream.get_extra_info("sockname", None) == PROOF:
            if self._proved:
                self._proved.set()
            stream.close()
            return
        await self.handle_stream(stream)

    async def _prove(self, redirector: mitmproxy_rs.local.LocalRedirector, proved: asyncio.Event) -> None:
        """Raises TimeoutError if a connection is not captured."""
        prover = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-c",
            PROVER,
            stdin=asyncio.subprocess.DEVNULL,
        )
        try:
            self._intercept(redirector, [prover.pid])
            await asyncio.wait_for(proved.wait(), PATIENCE)
        finally:
            if prover.returncode is None:
                prover.kill()
            await prover.wait()

    async def _follow(self, pid: int) -> None:
        """Capture the process and the children that it has from time to time."""
        known: list[int] = []
        while self._redirector:
            found = family(pid)[:MAX_PROCESSES]
            if found != known:
                self._intercept(self._redirector, found)
                known = found
            await asyncio.sleep(LOOK)

    def _intercept(self, redirector: mitmproxy_rs.local.LocalRedirector, pids: list[int]) -> None:
        redirector.set_intercept(",".join([*map(str, pids), f"!{os.getpid()}"]))


def family(pid: int) -> list[int]:
    """`pid`, then its children and theirs."""
    found = [pid]
    for each in found:
        try:
            for thread in Path(f"/proc/{each}/task").iterdir():
                found += map(int, (thread / "children").read_text().split())
        except OSError:
            continue  # it ended
    return found
