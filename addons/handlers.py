"""mitmproxy's handler of a client connection: the one way to what is not in its hooks."""

from __future__ import annotations

import asyncio
import traceback
from typing import Final

from mitmproxy import connection, ctx
from mitmproxy.connection import ConnectionState
from mitmproxy.proxy import commands, events, mode_servers, server_hooks
from mitmproxy.proxy.server import ConnectionHandler
from mitmproxy.utils import asyncio_utils

from addons.dismantle import dismantle


def handler_of(client: connection.Client) -> ConnectionHandler | None:
    """The handler of `client`; None when it is gone."""
    return ctx.master.addons.get("proxyserver").connections.get(client.id)


def inject(client: connection.Client, event: events.Event) -> None:
    """Let `event` enter at the top of the client connection's layers, if it is still there."""
    handler = handler_of(client)
    if handler is not None:
        asyncio_utils.create_task(handler.server_event(event), name="inject event", keep_ref=True)


class TidyHandler(mode_servers.ProxyConnectionHandler):
    """`ProxyConnectionHandler`, except that

    - its layers hear of every connection that could not be made. mitmproxy expects an OSError or a connection that
      has a peer; a peer that resets at once can leave a socket without one, and they would wait for ever;
    - its layers are taken apart at its end.
    """

    async def handle_client(self) -> None:
        if self.client.peername is None:  # it has reset, and hooks expect an address
            writer = self.transports.pop(self.client).writer
            assert writer
            writer.close()
            return
        await super().handle_client()
        if dismantle(self.layer):
            self.layer = ENDED  # type: ignore[assignment]
            self.timeout_watchdog.callback = _nothing

    async def handle_connection(self, connection: connection.Connection) -> None:
        try:
            await super().handle_connection(connection)
        except asyncio.CancelledError as error:
            # mitmproxy keeps it in a variable, so that the frame and the error hold each other and all of the above.
            traceback.clear_frames(error.__traceback__)
            raise

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


class _Ended:
    """In the place of the layers, for events that come too late."""

    def handle_event(self, _event: events.Event) -> tuple[commands.Command, ...]:
        return ()


ENDED: Final = _Ended()


async def _nothing() -> None:
    pass


def install() -> None:
    """Let every client from now on be served by a `TidyHandler`: mitmproxy has no other way in than this name."""
    mode_servers.ProxyConnectionHandler = TidyHandler  # type: ignore[misc]
