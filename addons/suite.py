"""Detour's addons, in their order."""

from __future__ import annotations

import asyncio
from pathlib import Path

from mitmproxy import ctx, exceptions

from addons.access import Access
from addons.capture import Capture
from addons.drain import Drain
from addons.failover.addon import Failover
from addons.forget import Forget
from addons.gateway import Gateway
from addons.intercept import Intercept
from addons.magic_host import MagicHost
from addons.peers import Peers
from addons.refusals import Refusals
from addons.relay import Relay
from addons.route import Route
from addons.transparent import Transparent
from addons.upstream import Upstream
from addons.usage import Usage
from addons.websocket import Websocket
from router_core.capture.recorder import Recorder
from router_core.capture.setup import make_recorder
from router_core.config.loader import ConfigError, load
from router_core.core import Core


class Suite:
    """What `mitmdump -s addons/detour.py` loads, and the launcher with a `Core` of its own."""

    name = "detour"

    def __init__(self, core: Core | None = None) -> None:
        self.core = core
        self.addons: list[object] = [] if core is None else chain(core)
        self._recorder: Recorder | None = None
        """That of a core that was made here."""

    def load(self, loader) -> None:
        loader.add_option(
            "detour_config", str, "", "Detour's configuration file; without one, its usual places."
        )

    def configure(self, updated: set[str]) -> None:
        if self.core is None and "detour_config" in updated:
            try:
                loaded = load(Path(ctx.options.detour_config) if ctx.options.detour_config else None)
            except ConfigError as e:
                raise exceptions.OptionsError("\n".join(str(p) for p in e.problems)) from e
            self.core = Core(loaded)
            self._recorder = self.core.recorder = make_recorder(loaded)
            # Only a script's master has somebody looking at flows.
            from addons.contentview import Contentview

            for addon in (*chain(self.core), Contentview()):
                self.addons.append(addon)
                ctx.master.addons.register(addon)

    async def running(self) -> None:
        assert self.core
        # An eager connection would go to the client's own destination before anybody could redirect it, and
        # the upstream's certificate has no say in ours.
        ctx.options.update(connection_strategy="lazy", upstream_cert=False, stream_large_bodies=None)
        await self.core.start()
        if self._recorder:
            self._recorder.know(self.core.secrets())

    async def done(self) -> None:
        if self.core:
            await self.core.stop()
        if self._recorder:
            await asyncio.to_thread(self._recorder.close)


def chain(core: Core) -> list[object]:
    """The certificate for everybody, then access: nothing of a client that may not come in reaches the others."""
    access, failover, upstream = Access(core), Failover(), Upstream(core)
    route = Route(core, access, failover)
    return [
        MagicHost(),
        access,
        Peers(core),
        Transparent(core),
        Intercept(core),
        Refusals(core),
        upstream,
        failover,
        Gateway(core),
        route,
        Usage(core),
        Relay(core),
        Websocket(core),
        Capture(core),
        Forget(),
        Drain(core),
    ]
