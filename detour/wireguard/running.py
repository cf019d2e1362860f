"""Keeps the tunnel of a running instance in step with the file of its peers."""

from __future__ import annotations

import asyncio
import logging

from addons.listening import Proxyserver
from detour.wireguard.store import PeerError, Store
from router_core.config.watch import watch
from router_core.core import Core

logger = logging.getLogger(__name__)


class RunningTunnel:
    """`start` follows the file until `stop`."""

    def __init__(self, core: Core, store: Store, server: Proxyserver) -> None:
        self.core = core
        self.store = store
        self.server = server
        self._watching: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._watching = asyncio.create_task(watch(lambda: [self.store.peers_file], self.changed))

    async def stop(self) -> None:
        if self._watching:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def changed(self) -> None:
        """Serve the peers that are in the file now; the tunnel is opened anew, so connections in it end."""
        try:
            tunnel = await asyncio.to_thread(self.store.tunnel, self.core.config.wireguard)
        except PeerError as error:
            logger.error("%s; the peers that were known go on", error)
            return
        before = {peer.name for peer in self.core.tunnel.peers} if self.core.tunnel else set()
        now = {peer.name for peer in tunnel.peers}
        self.core.tunnel = tunnel
        await self.server.serve_tunnel(tunnel)
        logger.info(
            "WireGuard peers: %d; new: %s; gone: %s",
            len(now),
            ", ".join(sorted(now - before)) or "none",
            ", ".join(sorted(before - now)) or "none",
        )
