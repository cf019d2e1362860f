"""Exchanges as server-sent events."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from detour.admin import documents
from detour.admin.context import Context
from router_core.sse import encode
from router_core.usage.activity import Finished, Started, Subscription, Told
from router_core.usage.entry import Entry

PROGRESS: Final = 1.0
"""Seconds between two reports on what is under way."""
MAX_PROGRESS: Final = 200
"""Exchanges in one report, the latest."""
PRICED: Final = 60.0
"""Seconds for which the cost of a finished exchange is waited for; the ledger's writer finds it in less than one
where it gets its turn."""
MAX_WAITING: Final = 1000
"""Exchanges whose cost is waited for."""
QUIET: Final = 15.0
"""Seconds after which a comment shows that the connection is alive."""


class LiveResponse(Response):
    """The events of one listener, until it or the server goes away.

    Starlette's own streaming answer runs in an anyio task group, which does not work with the eager tasks
    that mitmproxy needs.
    """

    media_type = "text/event-stream"

    def __init__(self, context: Context, subscription: Subscription) -> None:
        super().__init__()
        del self.headers["content-length"]
        self._context = context
        self._subscription = subscription

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        watching = asyncio.create_task(self._until_gone(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async for piece in events(self._context, self._subscription):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            watching.cancel()
            self._subscription.close()

    async def _until_gone(self, receive: Receive) -> None:
        closing = asyncio.create_task(self._context.closing.wait())
        gone = asyncio.create_task(_disconnected(receive))
        try:
            await asyncio.wait([closing, gone], return_when=asyncio.FIRST_COMPLETED)
        finally:
            closing.cancel()
            gone.cancel()
            self._subscription.close()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def events(context: Context, subscription: Subscription) -> AsyncIterator[bytes]:
    """The stream's bytes: one event for each exchange that starts, is over, or has got its cost after that, one a
    second for all that are under way, comments while it is quiet."""
    # The client learns at once that it is heard, and how long to wait before it calls again.
    yield b"retry: 2000\n\n"
    told = said = time.monotonic()
    waiting: deque[tuple[float, Entry]] = deque(maxlen=MAX_WAITING)
    async for batch in subscription.batches(heartbeat=PROGRESS):
        pieces = []
        now = time.monotonic()
        if now - told >= PROGRESS and (running := (await context.look()).running):
            told = now
            pieces.append(encode("progress", orjson.dumps(running[-MAX_PROGRESS:])))
        for event in batch:
            match event:
                case Started(exchange):
                    document = documents.running(context.activity, exchange)
                    pieces.append(encode("started", orjson.dumps(document)))
                case Told(document):
                    pieces.append(encode("started", orjson.dumps(document)))
                case Finished(entry):
                    pieces.append(encode("finished", orjson.dumps(documents.finished(entry))))
                    if not entry.cost_source:
                        waiting.append((now, entry))
        for at, entry in [waiting.popleft() for _ in range(len(waiting))]:
            if entry.cost_source:
                pieces.append(encode("priced", orjson.dumps(documents.finished(entry))))
            elif now - at < PRICED:
                waiting.append((at, entry))
        if not pieces and now - said >= QUIET:
            pieces.append(b": quiet\n\n")
        if pieces:
            said = now
            yield b"".join(pieces)
