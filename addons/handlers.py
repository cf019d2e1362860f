"""mitmproxy's handler of a client connection: the one way to what is not in its hooks."""

from __future__ import annotations

from mitmproxy import connection, ctx
from mitmproxy.connection import ConnectionState
from mitmproxy.proxy import commands, events, mode_servers, server_hooks
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


class TellingHandler(mode_servers.ProxyConnectionHandler):
    """`ProxyConnectionHandler` that tells its layers of every connection that could not be made.

    mitmproxy expects an OSError or a connection that has a peer. A peer that resets at once can leave a socket
    without one, and then the layers would wait for ever.
    """

    async def handle_client(self) -> None:
        if self.client.peername is None:
            writer = self.transports.pop(self.client).writer
            assert writer
            writer.close()
            return
        await super().handle_client()

    async def open_connection(self, command: commands.OpenConnection) -> None:
        try:
            await super().open_connection(command)
        except Exception as error:
            if command.connection.peername is not None:  # the layers know of the connection
                raise
            was_made = command.connection.state is ConnectionState.OPEN
            await self._failed(command, "connection reset by peer" if was_made else str(error))

    async def _failed(self, command: commands.OpenConnection, why: str) -> None:
        failed = command.connection
        failed.state = ConnectionState.CLOSED
        failed.error = why
        writer = self.transports.pop(failed).writer
        if writer is not None:
            writer.close()
        self.log(f"error establishing server connection: {why}")
        data = server_hooks.ServerConnectionHookData(client=self.client, server=failed)
        await self.handle_hook(server_hooks.ServerConnectErrorHook(data))
        await self.server_event(events.OpenConnectionCompleted(command, why))


def install() -> None:
    """Let every client from now on be served by a `TellingHandler`: mitmproxy has no other way in than this name."""
    mode_servers.ProxyConnectionHandler = TellingHandler  # type: ignore[misc]
