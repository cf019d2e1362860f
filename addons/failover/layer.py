"""The HTTP layer of one client connection, with streams that fail over."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from typing import Final

from hyperframe.frame import GoAwayFrame
from mitmproxy.connection import Connection, ConnectionState, Server
from mitmproxy.proxy import commands, context, events, layer
from mitmproxy.proxy.layers.http import (
    DropStream,
    GetHttpConnection,
    GetHttpConnectionCompleted,
    HttpLayer,
    HTTPMode,
    ReceiveHttp,
    RegisterHttpConnection,
    RequestHeaders,
    SendHttp,
)
from mitmproxy.proxy.layers.http._http2 import Http2Client, Http2Server
from mitmproxy.proxy.layers.websocket import WebsocketLayer
from wsproto.events import CloseConnection
from wsproto.frame_protocol import CloseReason

from addons.dismantle import dismantle
from addons.failover.clients import Crowded, unprocessed
from addons.failover.events import DeadlinePassed, Draining, GetHttp1Connection, HookFinished
from addons.failover.stream import FailoverStream

logger = logging.getLogger(__name__)

JOIN: Final = 64 * 1024
"""Bytes of pieces that are sent as one; longer ones are not worth the copying."""


class FailoverLayer(HttpLayer):
    """`HttpLayer`, except that

    - streams are `FailoverStream`s;
    - a failed connection is forgotten, not remembered as an error for the client connection's lifetime;
    - an HTTP/2 upstream connection without a free stream is not waited for, another one is opened;
    - closed upstream connections are dropped, so that a client connection of days does not grow;
    - hooks run at once, without a task for each;
    - an exception ends the client's connection;
    - a recorded flow's witness sees what passes.
    """

    streams: dict[int, FailoverStream]  # type: ignore[assignment]

    def __init__(self, context, mode: HTTPMode) -> None:
        super().__init__(context, mode)
        # Clients count 1, 3, 5 (HTTP/1, HTTP/2) or 0, 4, 8 (HTTP/3); attempts count down from -1.
        self.attempt_ids = itertools.count(-1, -1)
        self.left: list[FailoverStream] = []
        """Streams that were dropped by what is being handled."""
        self.forgotten: list[layer.Layer] = []
        """Layers of upstream connections that were dropped by it, and may be at work on it themselves."""
        self.run_hook: Callable[[commands.StartHook, FailoverLayer], bool] | None = None
        """Runs a hook; False if it has to wait, and comes back as `HookFinished`. None: hooks are commands."""

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        try:
            yield from self._process(event)
            while self.left:
                self._release(self.left.pop())
            while self.forgotten:
                gone = self.forgotten.pop()
                if gone not in self.connections.values() and gone not in self.command_sources.values():
                    dismantle(gone)
        except Exception:
            # mitmproxy would log it too, and let the client wait for ever.
            logger.exception("a bug ends the connection of %s", self.context.client.peername)
            yield commands.CloseConnection(self.context.client)

    def _process(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, DeadlinePassed | HookFinished | Draining):
            yield from self._injected(event)
        elif isinstance(event, events.ConnectionEvent) and self._is_forgotten(event.connection):
            return
        elif self.run_hook is None:
            yield from super()._handle_event(event)
        else:
            yield from joined(self._run_hooks(super()._handle_event(event)))

    def _run_hooks(self, made: layer.CommandGenerator[None]) -> layer.CommandGenerator[None]:
        """Pass on the commands that are `made`, then run the hooks among them here and now.

        A task for each hook and a second way down through all layers cost more than most hooks do; only one
        that has to wait takes that way, as `HookFinished`.
        """
        assert self.run_hook
        hooks = []
        for command in made:
            if isinstance(command, commands.StartHook):
                hooks.append(command)
            else:
                yield command
        for hook in hooks:
            if self.run_hook(hook, self) and hook.blocking:
                yield from self._run_hooks(self._completed(hook))

    def _release(self, stream: FailoverStream) -> None:
        if stream.stream_id not in self.streams and stream.attempt_id not in self.streams:
            stream.release()

    def _completed(self, hook: commands.StartHook) -> layer.CommandGenerator[None]:
        return self.event_to_child(self.command_sources.pop(hook), events.HookCompleted(hook))

    def _injected(self, event: DeadlinePassed | HookFinished | Draining) -> layer.CommandGenerator[None]:
        """What enters at the top, where a CONNECT tunnel's outer layer passes it to its only stream."""
        if isinstance(event, Draining) and event.layer is self:
            yield from self._say_farewell()
            return
        if isinstance(event, HookFinished) and event.layer is self:
            if event.hook.blocking:
                yield from joined(self._run_hooks(self._completed(event.hook)))
            return
        for stream in list(self.streams.values()):
            if stream.child_layer or (isinstance(event, DeadlinePassed) and stream.call is event.call):
                yield from self.event_to_child(stream, event)
                return

    def _say_farewell(self) -> layer.CommandGenerator[None]:
        """Tell the client that the connection takes nothing more; what is under way goes on."""
        client = self.context.client
        if isinstance(self.connections.get(client), Http2Server):
            # The highest id there is: what the client sends before it has read this is still served.
            yield commands.SendData(client, GoAwayFrame(0, last_stream_id=2**31 - 1).serialize())
        for stream in list(self.streams.values()):
            if isinstance(stream.child_layer, WebsocketLayer):
                yield stream.child_layer.client_ws.send2(CloseConnection(CloseReason.GOING_AWAY))
                return

    def _is_forgotten(self, connection: Connection) -> bool:
        return connection not in self.connections and connection is not self.context.server

    def make_stream(self, stream_id: int) -> layer.CommandGenerator[None]:
        stream = FailoverStream(fork(self.context), stream_id, self)
        self.streams[stream_id] = stream
        yield from self.event_to_child(stream, events.Start())

    def event_to_child(self, child, event: events.Event) -> layer.CommandGenerator[None]:
        """Like the base class, but looks at the type of a command once; and shows witnesses what passes."""
        for command in child.handle_event(event):
            kind = type(command)
            if kind is SendHttp:
                if command.connection is self.context.client and type(child) is FailoverStream:
                    child.show_sent(command.event)
                yield from self.event_to_child(self.connections[command.connection], command.event)
            elif kind is ReceiveHttp:
                if type(command.event) is RequestHeaders:
                    yield from self.make_stream(command.event.stream_id)
                stream = self.streams.get(command.event.stream_id)
                if stream is not None:  # else it is news of a stream that is over
                    stream.show_received(command.event)
                    yield from self.event_to_child(stream, command.event)
            elif kind is commands.SendData:
                yield command
            else:
                yield from self._carry_out(command, child)

    def _carry_out(self, command: commands.Command, child) -> layer.CommandGenerator[None]:
        """The rarer commands of a child."""
        if command.blocking or isinstance(command, commands.RequestWakeup):
            self.command_sources[command] = child
        if isinstance(command, DropStream):
            if stream := self.streams.pop(command.stream_id, None):
                self.left.append(stream)
        elif isinstance(command, GetHttpConnection):
            yield from self.get_connection(command)
        elif isinstance(command, RegisterHttpConnection):
            yield from self.register_connection(command)
        elif isinstance(command, Crowded):
            yield from self._relieve(command.client)
        else:
            if isinstance(command, commands.OpenConnection):
                self.connections[command.connection] = child
            yield command

    def get_connection(self, event: GetHttpConnection, *, reuse: bool = True) -> layer.CommandGenerator[None]:
        self._forget_closed()
        if isinstance(event, GetHttp1Connection):
            yield from self._new_http1_connection(event)
            return
        if reuse:
            shared = [c for c in self.connections if event.connection_spec_matches(c) and c.alpn == b"h2"]
            open_ones = [c for c in shared if c.connected and c not in self.waiting_for_establishment]
            if open_ones:
                free = next((c for c in open_ones if not self._is_saturated(c)), None)
                if free is not None:
                    stream = self.command_sources.pop(event)
                    yield from self.event_to_child(stream, GetHttpConnectionCompleted(event, (free, None)))
                    return
                if self._wait_with_others(event, max(map(self._limit, open_ones))):
                    return
                reuse = False
        yield from super().get_connection(event, reuse=reuse)

    def _new_http1_connection(self, event: GetHttp1Connection) -> layer.CommandGenerator[None]:
        known = set(self.connections)
        for command in super().get_connection(event, reuse=False):
            for connection in self.connections.keys() - known:
                connection.alpn_offers = (b"http/1.1",)
            yield command

    def _wait_with_others(self, event: GetHttpConnection, room: int) -> bool:
        """Whether a connection is being made that will take `event` too, if it takes `room` streams."""
        for connection, waiting in self.waiting_for_establishment.items():
            if event.connection_spec_matches(connection) and len(waiting) < room:
                waiting.append(event)
                return True
        return False

    def _relieve(self, client: Http2Client) -> layer.CommandGenerator[None]:
        """Let the requests that `client` keeps back go out on other connections."""
        for stream_id in list(client.stream_queue):
            stream = self.streams.get(stream_id)
            # One that is passed through cannot be sent twice, and waits its turn.
            if stream is not None and stream.call is not None:
                client.stream_queue.pop(stream_id, None)
                yield from self.event_to_child(stream, unprocessed(stream_id, "too many streams"))

    def _limit(self, connection: Connection) -> int:
        """How many streams the peer takes at once, as far as that is known."""
        client = self._http2_client(connection)
        if client is None:
            return 1
        return client.provisional_max_concurrency or client.h2_conn.remote_settings.max_concurrent_streams

    def _is_saturated(self, connection: Connection) -> bool:
        """Whether the peer takes no further stream, by its MAX_CONCURRENT_STREAMS or a GOAWAY."""
        client = self._http2_client(connection)
        if client is None:
            return False
        if getattr(client, "draining", False):
            return True
        return bool(client.stream_queue) or client.h2_conn.open_outbound_streams >= self._limit(connection)

    def _http2_client(self, connection: Connection) -> Http2Client | None:
        child: layer.Layer | None = self.connections.get(connection)
        while child is not None and not isinstance(child, Http2Client):
            child = getattr(child, "child_layer", None)
        return child

    def unqueue(self, connection: Connection, stream_id: int) -> bool:
        """Forget a request that still waits for a free HTTP/2 stream; True if it had not been sent."""
        client = self._http2_client(connection)
        return client is not None and client.stream_queue.pop(stream_id, None) is not None

    def _forget_closed(self) -> None:
        for connection in list(self.connections):
            if (
                isinstance(connection, Server)
                and connection not in self.waiting_for_establishment
                and connection is not self.context.server
                and (connection.error or connection.state is ConnectionState.CLOSED)
            ):
                self.forgotten.append(self.connections.pop(connection))
        if self.context.server.error and not self.context.server.connected:
            self.context.server.error = None


def fork(original: context.Context) -> context.Context:
    """`Context.fork`, without the new server connection that it makes only to put another in its place."""
    forked = context.Context.__new__(context.Context)
    forked.client, forked.server = original.client, original.server
    forked.options, forked.layers = original.options, original.layers.copy()
    return forked


def joined(made: layer.CommandGenerator[None]) -> layer.CommandGenerator[None]:
    """The same commands, but what goes to one peer in a row goes as one piece of at most `JOIN` bytes.

    A head and its body are then one write, and over TLS one record.
    """
    held: commands.SendData | None = None
    for command in made:
        if type(command) is commands.SendData:
            if held and held.connection is command.connection and len(held.data) + len(command.data) <= JOIN:
                held = commands.SendData(held.connection, held.data + command.data)
                continue
            if held:
                yield held
            held = command
        else:
            if held:
                yield held
                held = None
            yield command
    if held:
        yield held
