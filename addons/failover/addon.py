"""Puts `FailoverLayer` in the place of mitmproxy's HTTP layer, in every mode."""

from __future__ import annotations

import logging

from mitmproxy import ctx
from mitmproxy.proxy import layer
from mitmproxy.proxy.layers.http import HttpLayer
from mitmproxy.utils import asyncio_utils

from addons.call import Call
from addons.failover.events import DeadlinePassed
from addons.failover.layer import FailoverLayer
from addons.failover.selfcheck import problems

logger = logging.getLogger(__name__)


class Failover:
    def __init__(self) -> None:
        self.problems = problems()
        """What is missing in this mitmproxy; if anything is, Detour serves without failover."""

    @property
    def installed(self) -> bool:
        return not self.problems

    def load(self, loader) -> None:
        for problem in self.problems:
            logger.warning("serving without failover: %s", problem)

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
        if parent is None:
            nextlayer.layer = replacement
        else:
            parent.child_layer = replacement  # type: ignore[attr-defined]

    def watch(self, call: Call) -> None:
        """Let the deadlines that `call` arms reach its stream."""
        connection_id = call.flow.client_conn.id

        def fire() -> None:
            handler = ctx.master.addons.get("proxyserver").connections.get(connection_id)
            if handler is not None:
                asyncio_utils.create_task(
                    handler.server_event(DeadlinePassed(call)), name="deadline passed", keep_ref=True
                )

        call.on_deadline = fire


def _replace(old: HttpLayer) -> FailoverLayer:
    layers = old.context.layers
    new = FailoverLayer(old.context, old.mode)  # appends itself to the layers
    layers.remove(new)
    layers[layers.index(old)] = new
    return new
