"""Exchanges as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import orjson

from detour.admin import documents
from detour.admin.context import Context
from router_core.sse import encode
from router_core.usage.activity import Started, Subscription


async def events(context: Context, subscription: Subscription) -> AsyncIterator[bytes]:
    """The stream of one listener: its events until it or the server goes away."""
    closing = asyncio.ensure_future(context.closing.wait())
    closing.add_done_callback(lambda _: subscription.close())
    try:
        # The client learns at once that it is heard, and how long to wait before it calls again.
        yield b"retry: 2000\n\n"
        async for batch in subscription.batches():
            if not batch:
                yield b": quiet\n\n"
            for event in batch:
                if isinstance(event, Started):
                    yield encode("started", orjson.dumps(documents.running(context, event.exchange)))
                else:
                    yield encode("finished", orjson.dumps(documents.finished(event.entry)))
    finally:
        closing.cancel()
        subscription.close()
