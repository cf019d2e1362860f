"""OpenAI's Responses over a WebSocket (RFC 6455), as Codex uses it, over wsproto."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Message, Ping, Request, TextMessage
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from detour.fakes.http1 import Http1Connection, reset
from detour.fakes.openai_responses import messages
from detour.fakes.record import Record, SeenRequest
from detour.fakes.steps import Close, Goaway, Head, Raw, Reset, WebSocketClose

type Turn = Callable[[str, Any], Coroutine[Any, Any, bool]]
"""Answers one text message on a stage."""

_READ = 1 << 16
_TURNS = 64
"""Messages of a client that wait for their turn at most."""


class WebSocketSession:
    """An accepted WebSocket: text messages answered one after the other."""

    def __init__(self, http: Http1Connection, request: SeenRequest, record: Record, turn: Turn) -> None:
        self._reader = http.reader
        self._writer = http.writer
        self._request = request
        self._record = record
        self._turn = turn
        self._ws = WSConnection(ConnectionType.SERVER)
        self._waiting: asyncio.Queue[str] = asyncio.Queue(_TURNS)
        self._text: list[str] = []

    async def serve(self, already_read: bytes) -> None:
        headers = [(n.encode("latin-1"), v.encode("latin-1")) for n, v in self._request.headers]
        self._ws.initiate_upgrade_connection(headers, self._request.target)
        self._record.turn(self._request, "answering")
        answering = asyncio.ensure_future(self._answer())
        try:
            data: bytes | None = already_read or None
            while await self._handle(data):
                if answering.done():
                    break
                if not (data := await self._reader.read(_READ)):
                    break
        except (RemoteProtocolError, LocalProtocolError, ConnectionError):
            pass
        finally:
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)
            if self._request.state == "answering":
                self._record.turn(self._request, "cancelled")

    async def _handle(self, data: bytes | None) -> bool:
        """False when the client has closed."""
        if data:
            self._ws.receive_data(data)
        for event in self._ws.events():
            match event:
                case Request():
                    await self._send(AcceptConnection())
                case TextMessage(data=text, message_finished=finished):
                    self._text.append(text)
                    if finished:
                        message, self._text = "".join(self._text), []
                        self._request.messages.append(message)
                        await self._waiting.put(message)
                case Ping():
                    await self._send(event.response())
                case CloseConnection():
                    self._record.turn(self._request, "answered")
                    await self._send(event.response())
                    return False
                case Message():
                    await self._send(CloseConnection(code=1003, reason="binary messages are not supported"))
                    return False
        return True

    async def _answer(self) -> None:
        try:
            while await self._turn(await self._waiting.get(), self):
                pass
        except ConnectionError:
            return
        self._record.turn(self._request, "failed")

    async def head(self, head: Head) -> None:
        """A turn has no head of its own."""

    async def data(self, data: bytes) -> None:
        for message in messages((data,)):
            await self._send(TextMessage(data=message.decode()))

    async def end(self) -> None:
        """The last event of a turn is its end."""

    async def break_off(self, step: Raw | Reset | Goaway | Close | WebSocketClose) -> None:
        match step:
            case Raw(data):
                self._writer.write(data)
                await self._writer.drain()
            case Reset():
                reset(self._writer)
            case WebSocketClose(code, reason):
                await self._send(CloseConnection(code=code, reason=reason))
            case _:
                self._writer.close()

    async def _send(self, event: Any) -> None:
        self._writer.write(self._ws.send(event))
        await self._writer.drain()
