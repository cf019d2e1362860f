"""A worker's end of its supervisor: what it tells, and what it does when it is asked."""

from __future__ import annotations

import asyncio
import os
import pickle
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from detour.admin import documents
from detour.admin.context import Context
from detour.admin.sight import Sight, sight_of
from detour.listeners import Listener, on
from detour.workers.channel import Channel, Gone
from router_core.connections import Connections
from router_core.core import Core
from router_core.refusals import Client, Refusal
from router_core.usage.activity import Started
from router_core.usage.entry import Entry

type Known = tuple[tuple[list[Refusal], list[Client]], tuple[dict[str, float], list[tuple[str, str]]]]
"""Who refuses the certificate, and who shows wrong keys; see `router_core.refusals` and `router_core.attempts`."""

TELL: Final = 0.25
"""Seconds between two messages about finished exchanges."""
PRICED: Final = 2.0
"""Seconds that an entry may wait for its price, which another process finds out."""
MAX_SOCKETS: Final = 64


def send_listeners(sock: socket.socket, listeners: dict[str, Listener]) -> None:
    """To a worker that is not even running yet. Raises OSError."""
    sockets = [
        (listener.name, listener.host, each) for listener in listeners.values() for each in listener.sockets
    ]
    names = [(name, host) for name, host, _ in sockets]
    without = {name: each for name, each in listeners.items() if not each.sockets}
    socket.send_fds(sock, [pickle.dumps((names, without))], [each.fileno() for _, _, each in sockets])


def receive_listeners(sock: socket.socket) -> dict[str, Listener]:
    """What the supervisor has sent. Raises OSError, EOFError."""
    data, handles, _, _ = socket.recv_fds(sock, 1 << 16, MAX_SOCKETS)
    if not data:
        raise EOFError
    names, listeners = pickle.loads(data)
    for (name, host), handle in zip(names, handles, strict=True):
        before = listeners[name].sockets if name in listeners else ()
        listeners[name] = on(name, host, (*before, socket.socket(fileno=handle)))
    return listeners


class Worker:
    """Speaks with the supervisor on `sock`. `gone` is called when the supervisor is not there any more."""

    def __init__(
        self, core: Core, gone: Callable[[], None], close_tunnel: Callable[[], Awaitable[None]]
    ) -> None:
        self.core = core
        self._close_tunnel = close_tunnel
        # What is chosen on the admin port holds here too.
        self.context = Context(core)
        self._gone = gone
        self._channel: Channel | None = None
        self._finished: list[tuple[float, Entry]] = []
        self._counted = Connections()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, sock: socket.socket) -> None:
        self._channel = await Channel.on(
            sock,
            {
                "look": self._look,
                "models": self.context.models,
                "reset": self.context.reset,
                "switch": self.context.switch,
                "forget_refusals": self.context.forget_refusals,
                "record": self.context.record,
                "reload": self._reload,
                "keep": self.core.store.keep,
                "supersede": self._supersede,
                "watch": self._watch,
                "alive": self._alive,
                "known": self._known,
                "learn": self._learn,
            },
            self._hear,
        )
        self.core.refusals.told = lambda *news: self._tell_news("others", ("refusals", news))
        self.core.attempts.told = lambda *news: self._tell_news("others", ("attempts", news))
        self.core.activity.counters.append(lambda entry: self._finished.append((time.monotonic(), entry)))
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._tell_finished())]
        self._channel.tell("ready", os.getpid())

    async def stop(self) -> None:
        """Tell what has not been told yet; the last thing that this process does."""
        for task in self._tasks:
            task.cancel()
        self._tell([entry for _, entry in self._finished])
        self._tell_news("connections", self.core.connections)
        if self._channel:
            await self._channel.finish()

    async def _listen(self) -> None:
        assert self._channel
        await self._channel.listen()
        self._gone()

    async def _tell_finished(self) -> None:
        while True:
            await asyncio.sleep(TELL)
            late = time.monotonic() - PRICED
            ready = [entry for at, entry in self._finished if entry.cost_source or at < late]
            if ready:
                told = {entry.id for entry in ready}
                self._finished = [one for one in self._finished if one[1].id not in told]
                self._tell(ready)
            if (counted := replace(self.core.connections)) != self._counted:
                self._counted = counted
                self._tell_news("connections", counted)

    def _tell(self, entries: list[Entry]) -> None:
        if entries:
            self._tell_news("finished", entries)

    def _tell_news(self, what: str, value: object) -> None:
        if self._channel:
            with suppress(Gone):
                self._channel.tell(what, value)

    def _hear(self, what: str, value: tuple[str, tuple[Any, ...]]) -> None:
        """News of the workers beside this one: who refuses the certificate, and who shows wrong keys."""
        about, news = value
        if about == "refusals":
            self.core.refusals.hear(*news)
        else:
            self.core.attempts.hear(*news)

    async def _alive(self) -> None:
        """That this is answered is all there is to know."""

    async def _known(self) -> Known:
        return self.core.refusals.known(), self.core.attempts.known()

    async def _learn(self, known: Known) -> None:
        """What a worker knows that has been there for longer."""
        refusals, attempts = known
        self.core.refusals.learn(*refusals)
        self.core.attempts.learn(*attempts)

    async def _look(self) -> Sight:
        return sight_of(self.core)

    async def _reload(self) -> None:
        await self.context.reload()

    async def _supersede(self) -> None:
        self.core.superseded = True
        await self._close_tunnel()

    async def _watch(self) -> None:
        """Tell of each exchange that begins, from now on."""
        subscription = self.core.activity.subscribe()
        if subscription is None or len(self._tasks) > 2:
            return

        async def tell_begun() -> None:
            async for batch in subscription.batches():
                begun = [
                    documents.running(self.core.activity, event.exchange)
                    for event in batch
                    if isinstance(event, Started)
                ]
                if begun:
                    self._tell_news("begun", begun)

        self._tasks.append(asyncio.create_task(tell_begun()))
