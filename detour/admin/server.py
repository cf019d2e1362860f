"""The admin port: API, dashboard, metrics and health, in the event loop of the proxy."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import uvicorn

from detour.admin.app import make_app
from detour.admin.context import Context
from detour.admin.token import TokenError, ensure_token
from detour.listeners import Listener
from detour.ports import Address

__all__ = ["Admin", "TokenError", "serve_admin"]

logger = logging.getLogger(__name__)

MAX_CONNECTIONS: Final = 256
GRACE: Final = 1
"""Seconds that requests under way have when the server closes."""


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # The launcher handles them; uvicorn's own handlers would end only the admin server.
        yield


@dataclass(slots=True)
class Admin:
    """The running admin server."""

    context: Context
    _server: _Server
    _task: asyncio.Task[Any]

    async def close(self) -> None:
        """Stop listening, end live streams, and wait for the rest a moment."""
        self.context.closing.set()
        self._server.should_exit = True
        await asyncio.wait([self._task], timeout=GRACE + 5)
        self.context.close()


async def serve_admin(listener: Listener, context: Context) -> Admin:
    """Serve `context` at `listener` until `Admin.close`. Raises `detour.admin.token.TokenError`."""
    token = ensure_token(context.paths.admin_token)
    context.log.install()
    config = uvicorn.Config(
        make_app(context, token, Address(listener.host, listener.bound.port)),
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MAX_CONNECTIONS,
        backlog=MAX_CONNECTIONS,
        timeout_graceful_shutdown=GRACE,
        timeout_keep_alive=30,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(list(listener.sockets)), name="admin")
    task.add_done_callback(_report)
    await asyncio.wait(
        [task, asyncio.create_task(server.listening.wait())], return_when=asyncio.FIRST_COMPLETED
    )
    return Admin(context, server, task)


def _report(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()):
        logger.error("the admin server ended: %r", error)
