"""Coroutines on an event loop of their own, beside the one that serves.

The loop that serves starts its tasks eagerly, as mitmproxy wants it. anyio, on which httpx connects, can go
round that only for asyncio's own eager factory, which it knows by its code object (anyio 4.16,
``_backends/_asyncio.py``, ``TaskGroup.start_soon``). Under any other one its task groups fail.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.SelectorEventLoop
"""Makes the other loop; to be replaced before it is needed first."""

_starting = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


async def aside[T](coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of `coroutine`, which runs on the other loop. Cancelling this cancels it there."""
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, _other_loop()))


def _other_loop() -> asyncio.AbstractEventLoop:
    global _loop
    with _starting:
        if _loop is None:
            _loop = new_loop()
            # A daemon: an endpoint that hangs does not keep the process from ending.
            threading.Thread(target=_loop.run_forever, name="detour-refresh", daemon=True).start()
        return _loop
