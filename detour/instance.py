"""One process that serves: the routing core, mitmproxy's master with Detour's addons, and the admin server."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from addons.listening import Proxyserver
from addons.master import LeanMaster
from addons.options import Options
from addons.peers import PeersResolver
from addons.suite import Suite
from detour.authority import RunningAuthority
from detour.ca import CAPaths
from detour.capture_run import CaptureRun
from detour.listeners import MODES, Listener
from detour.telemetry import start as start_telemetry
from detour.wireguard.running import RunningTunnel
from detour.wireguard.store import PeerError, Store
from router_core.capture.setup import make_recorder
from router_core.config.loader import Loaded
from router_core.config.schema import Config
from router_core.config.secrets import SecretError
from router_core.core import Core
from router_core.paths import paths
from router_core.usage.address import LedgerError
from router_core.usage.pump import LedgerPump
from router_core.usage.setup import make_ledger

GC_THRESHOLDS: Final = (1_000, 20, 50)
"""A request frees what it needed when it is over, see `FailoverStream.release`. What it cannot free, such as an
exception with its traceback, is best collected while it is still in the processor's cache."""


BUDGETS_WAIT: Final = 10.0
"""Seconds that a start waits to hear what budgets have used. A database that fails is not waited for."""

logger = logging.getLogger(__name__)


class StartError(Exception):
    """The instance cannot serve; the message names the reason."""


class Serving(Protocol):
    """What serves, in this process or in others."""

    @property
    def config(self) -> Config: ...

    @property
    def serving(self) -> asyncio.Future[None]:
        """Ends when it cannot serve any more."""

    @property
    def drain(self) -> Callable[[float], Awaitable[int]]:
        """Lets everything that is under way come to its end within so many seconds; how much is left."""

    async def keep(self) -> None:
        """Keeps its state for another instance."""

    async def supersede(self) -> None:
        """Another instance has taken its place."""

    async def read_again(self) -> bool:
        """Reads the configuration again; whether that went well."""


@dataclass(frozen=True, slots=True)
class Instance:
    """Serves in this process."""

    core: Core
    serving: asyncio.Task[None]
    """Ends when the master does."""
    drain: Callable[[float], Awaitable[int]]
    """Lets everything that is under way come to its end within so many seconds; how many connections are left."""
    close_tunnel: Callable[[], Awaitable[None]]
    close_admin: Callable[[], Awaitable[None]] | None = None

    @property
    def config(self) -> Config:
        return self.core.config

    async def keep(self) -> None:
        await self.core.store.keep()

    async def supersede(self) -> None:
        self.core.superseded = True
        # Its port cannot be handed over; devices connect again to the other one.
        await self.close_tunnel()
        if self.close_admin:
            await self.close_admin()

    async def read_again(self) -> bool:
        return await self.core.read_again()


async def start(
    stack: AsyncExitStack,
    loaded: Loaded,
    listeners: dict[str, Listener],
    ca: CAPaths,
    recorded: CaptureRun | None = None,
    worker: int = 1,
) -> Instance:
    """Serve `listeners` until `stack` is closed. Raises StartError; what was begun by then ends with `stack`.

    `worker` is the number of this process among those that serve together.
    """
    core = await _core(stack, loaded, recorded, worker)
    master, serving = await _master(stack, core, listeners, ca)
    close_admin = None
    if "admin" in listeners:
        from detour.admin.context import Context
        from detour.admin.server import TokenError, serve_admin

        try:
            admin = await serve_admin(listeners["admin"], Context(core))
        except TokenError as error:
            raise StartError(str(error)) from None
        close_admin = admin.close
        stack.push_async_callback(close_admin)
    if "transparent" in listeners and worker == 1 and core.config.transparent.addresses == "resolve":
        _keep_addresses(stack, core)
    # What is here now stays: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    return Instance(
        core, serving, master.addons.get("drain").run, master.proxyserver.close_tunnel, close_admin
    )


def _keep_addresses(stack: AsyncExitStack, core: Core) -> None:
    """Keep the providers' addresses in a gateway box's rules."""
    from detour.gateway import refresh
    from detour.gateway.ruleset import ruleset

    if task := refresh.start(core, ruleset(core.config).families):
        stack.callback(task.cancel)


async def _core(stack: AsyncExitStack, loaded: Loaded, recorded: CaptureRun | None, worker: int) -> Core:
    where = paths(loaded.config)
    core = Core(loaded, where.state, worker)
    if recorded:
        core.amend = recorded.apply
    core.recorder = make_recorder(loaded, recorded.label if recorded else None)
    try:
        ledger = core.activity.ledger = make_ledger(loaded.config, where.data)
    except LedgerError as error:
        raise StartError(str(error)) from None
    if telemetry := start_telemetry():
        core.activity.watchers.append(telemetry.finished)
        stack.push_async_callback(asyncio.to_thread, telemetry.close)
    if ledger:
        ledger.start()
        stack.push_async_callback(asyncio.to_thread, ledger.close)
    stack.push_async_callback(asyncio.to_thread, core.recorder.close)
    try:
        await core.start()
    except SecretError as error:
        raise StartError(f"access.keys: {error}") from None
    stack.push_async_callback(core.stop)
    core.recorder.know(core.secrets())
    if ledger and ledger.budgets.bind:
        await _know_budgets(ledger)
    return core


async def _know_budgets(ledger: LedgerPump) -> None:
    """Wait until the ledger has said what was used before this start, which would be free otherwise."""
    end = time.monotonic() + BUDGETS_WAIT
    while not ledger.budgets.known:
        if ledger.status().state in ("waiting", "refused") or time.monotonic() > end:
            logger.warning("the ledger does not answer; until it does, budgets count from nothing")
            return
        await asyncio.sleep(0.02)


async def _master(
    stack: AsyncExitStack, core: Core, listeners: dict[str, Listener], ca: CAPaths
) -> tuple[LeanMaster, asyncio.Task[None]]:
    """The master and its task, once it listens."""
    served = {name: listener for name, listener in listeners.items() if name in MODES}
    sockets = {listener.mode: listener.sockets for listener in served.values()}
    server = Proxyserver(sockets, core.config.limits.backlog)
    own: list[object] = [Suite(core)]
    if "wireguard" in served:
        store = Store(paths(core.config).data)
        try:
            core.tunnel = server.tunnel = await asyncio.to_thread(store.tunnel, core.config.wireguard)
        except PeerError as error:
            raise StartError(str(error)) from None
        own.append(PeersResolver(core))
    master = LeanMaster(Options(), *own, server=server)
    configure(master, core.config, list(sockets), ca)
    serving = asyncio.create_task(master.run())

    async def end() -> None:
        master.shutdown()
        await asyncio.wait([serving])

    stack.push_async_callback(end)
    up = asyncio.create_task(master.serving.wait())
    await asyncio.wait([up, serving], return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        up.cancel()
        try:
            await serving
        except OSError as error:
            raise StartError(str(error)) from None
    authority = RunningAuthority(core, ca, master.certificates)
    authority.start()
    stack.push_async_callback(authority.stop)
    if "wireguard" in served:
        tunnel = RunningTunnel(core, store, server)
        tunnel.start()
        stack.push_async_callback(tunnel.stop)
    return master, serving


def configure(master: LeanMaster, config: Config, modes: list[str], ca: CAPaths) -> None:
    """mitmproxy's options for `config`."""
    quiet = max(config.upstream.first_byte_timeout, config.upstream.idle_timeout)
    master.options.update(
        mode=modes,
        confdir=str(ca.confdir),
        connection_strategy="lazy",
        upstream_cert=False,
        # A stream may be as quiet as our own time limits allow, which are the ones that count.
        tcp_timeout=int(max(600, quiet + 60)),
        ssl_verify_upstream_trusted_ca=str(Path(config.upstream.ca_bundle).expanduser())
        if config.upstream.ca_bundle
        else None,
    )
