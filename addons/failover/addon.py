"""Puts `FailoverLayer` in the place of mitmproxy's HTTP layer, in every mode."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import nullcontext
from typing import Any

from mitmproxy import ctx
from mitmproxy.proxy import commands, layer
from mitmproxy.proxy.layers.http import HttpLayer
from mitmproxy.proxy.server import ConnectionHandler

from addons import handlers
from addons.call import Call
from addons.failover import clients
from addons.failover.events import DeadlinePassed, HookFinished
from addons.failover.layer import FailoverLayer
from addons.failover.selfcheck import problems
from addons.handlers import handler_of, inject

logger = logging.getLogger(__name__)


class Failover:
    def __init__(self) -> None:
        self.problems = problems()
        """What is missing in this mitmproxy; if anything is, Detour serves without failover."""
        self._running: set[asyncio.Task[None]] = set()

    @property
    def installed(self) -> bool:
        return not self.problems

    def load(self, loader) -> None:
        for problem in self.problems:
            logger.warning("serving without failover: %s", problem)
        if self.installed:
            clients.install()
            handlers.install()

    def next_layer(self, nextlayer: layer.NextLayer) -> None:
        if self.problems:
            return
        if nextlayer.layer is None:
            # As a script this hook runs before mitmproxy's own decision, which is wanted first.
            ctx.master.addons.get("nextlayer").next_layer(nextlayer)
        parent, current = None, nextlayer.layer
        while current is not None and type(current) is not HttpLayer:
            parent, current = current, getattr(current, "child_layer", None)
        if current is None:
            return
        replacement = _replace(current)
        replacement.run_hook = self.run_hook
        if parent is None:
            nextlayer.layer = replacement
        else:
            parent.child_layer = replacement  # type: ignore[attr-defined]

    def run_hook(self, hook: commands.StartHook, layer: FailoverLayer) -> bool:
        """Run `hook` for a layer; True if it is through already."""
        handler = handler_of(layer.context.client)
        if start := getattr(ctx.master.addons, "start", None):
            rest = start(hook)
            if rest is None:
                return True
            task = asyncio.create_task(_watched(handler, rest))
        elif handler:  # mitmproxy's own manager
            task = asyncio.create_task(handler.handle_hook(hook))
        else:
            return True  # the client is gone, and with it everything that waits
        if task.done():
            return True
        self._running.add(task)

        def finished(task: asyncio.Task) -> None:
            self._running.discard(task)
            inject(layer.context.client, HookFinished(layer, hook))

        task.add_done_callback(finished)
        return False

    def watch(self, call: Call) -> None:
        """Let the deadlines that `call` arms reach its stream."""
        client = call.flow.client_conn
        call.on_deadline = lambda: inject(client, DeadlinePassed(call))


async def _watched(handler: ConnectionHandler | None, rest: Coroutine[Any, Any, None]) -> None:
    """Wait for the rest of a hook, for which the client's connection may be idle as long as it takes."""
    with handler.timeout_watchdog.disarm() if handler else nullcontext():
        await rest


def _replace(old: HttpLayer) -> FailoverLayer:
    layers = old.context.layers
    new = FailoverLayer(old.context, old.mode)  # appends itself to the layers
    layers.remove(new)
    layers[layers.index(old)] = new
    return new
