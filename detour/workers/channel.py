"""What supervisor and worker say to each other: calls that are answered, and news that are not.

The other end is a process of the same program and the same user, on a socket pair that nobody else can reach,
so that plain values travel as Python writes them.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import pickle
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Self

from router_core.frames import decode, encode

logger = logging.getLogger(__name__)

READ: Final = 1 << 18
PATIENCE: Final = 10.0
"""Seconds in which a call is to be answered."""


class Gone(Exception):
    """The other side does not answer, or is not there any more."""


class Failed(Exception):
    """The other side could not do it; the message is its own."""


class Channel:
    """`answers` are the calls that the other side may make; `news` hears what it tells."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        answers: Mapping[str, Callable[..., Awaitable[Any]]],
        news: Callable[[str, Any], None],
    ) -> None:
        self._reader, self._writer = reader, writer
        self._answers, self._news = answers, news
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._answering: set[asyncio.Task[None]] = set()

    @classmethod
    async def on(
        cls,
        sock: socket.socket,
        answers: Mapping[str, Callable[..., Awaitable[Any]]],
        news: Callable[[str, Any], None],
    ) -> Self:
        return cls(*await asyncio.open_unix_connection(sock=sock), answers, news)

    def tell(self, what: str, value: Any = None) -> None:
        self._send(("news", what, value))

    async def call(self, what: str, *arguments: Any, patience: float = PATIENCE) -> Any:
        """The other side's answer. Raises Gone, Failed."""
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            self._send(("call", number, what, arguments))
            async with asyncio.timeout(patience):
                return await answer
        except TimeoutError:
            raise Gone(f"no answer within {patience:g} s") from None
        finally:
            del self._waiting[number]

    async def listen(self) -> None:
        """Follow what the other side says, until it is gone."""
        pending = bytearray()
        with contextlib.suppress(OSError):
            while data := await self._reader.read(READ):
                pending += data
                for message in decode(pending):
                    self._hear(*pickle.loads(message))
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(Gone("it ended"))

    async def finish(self) -> None:
        """Close when everything is on its way."""
        with contextlib.suppress(OSError):
            await self._writer.drain()
            self._writer.close()
            await self._writer.wait_closed()

    def close(self) -> None:
        self._writer.close()

    def _send(self, message: tuple[Any, ...]) -> None:
        if self._writer.is_closing():
            raise Gone("it ended")
        self._writer.write(encode(pickle.dumps(message, pickle.HIGHEST_PROTOCOL)))

    def _hear(self, kind: str, *rest: Any) -> None:
        match kind, rest:
            case "news", (what, value):
                self._news(what, value)
            case "call", (number, what, arguments):
                task = asyncio.ensure_future(self._answer(number, what, arguments))
                self._answering.add(task)
                task.add_done_callback(self._answering.discard)
            case "answer", (number, value, error):
                if (waiting := self._waiting.get(number)) and not waiting.done():
                    if error is None:
                        waiting.set_result(value)
                    else:
                        waiting.set_exception(Failed(error))

    async def _answer(self, number: int, what: str, arguments: tuple[Any, ...]) -> None:
        value, error = None, None
        try:
            value = await self._answers[what](*arguments)
        except Exception as problem:
            logger.debug("%s failed", what, exc_info=True)
            error = str(problem) or type(problem).__name__
        with contextlib.suppress(Gone):
            self._send(("answer", number, value, error))
