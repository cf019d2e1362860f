"""mitmproxy's handler of a client connection: the one way to what is not in its hooks."""

from __future__ import annotations

from mitmproxy import connection, ctx
from mitmproxy.proxy import events
from mitmproxy.proxy.server import ConnectionHandler
from mitmproxy.utils import asyncio_utils


def handler_of(client: connection.Client) -> ConnectionHandler | None:
    """The handler of `client`; None when it is gone."""
    return ctx.master.addons.get("proxyserver").connections.get(client.id)


def inject(client: connection.Client, event: events.Event) -> None:
    """Let `event` enter at the top of the client connection's layers, if it is still there."""
    handler = handler_of(client)
    if handler is not None:
        asyncio_utils.create_task(handler.server_event(event), name="inject event", keep_ref=True)
