"""The HTTP/1.1 side of a fake provider (RFC 9112), over h11."""

from __future__ import annotations

import asyncio
import http.client
import socket
import struct
from collections.abc import Callable, Coroutine
from typing import Any

import h11

from detour.fakes.record import Record, SeenConnection, SeenRequest
from detour.fakes.steps import Close, Goaway, Head, Raw, Reset, WebSocketClose

type Respond = Callable[[SeenRequest, Any], Coroutine[Any, Any, bool]]
"""Answers a request on a stage; True when the answer came to its proper end."""

_READ = 1 << 16
_HEADERS = 1 << 20
"""Largest request head that is accepted."""


class Http1Connection:
    """One connection: requests in turn, each answered while the socket is watched for the client's end."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        seen: SeenConnection,
        record: Record,
        respond: Respond,
        upgrade: Callable[[SeenRequest, Http1Connection], Coroutine[Any, Any, None]],
    ) -> None:
        self.reader = reader
        self.writer = writer
        self._seen = seen
        self._record = record
        self._respond = respond
        self._upgrade = upgrade
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=_HEADERS)
        self._until_eof = False

    async def serve(self) -> None:
        while request := await self._receive():
            if (request.header("upgrade") or "").lower() == "websocket":
                request.protocol = "websocket"
                return await self._upgrade(request, self)
            if not await self.answer(request) or self._until_eof:
                return
            if self._h11.our_state is not h11.DONE or self._h11.their_state is not h11.DONE:
                return
            self._h11.start_next_cycle()

    @property
    def unread(self) -> bytes:
        """What was read beyond the last request."""
        return self._h11.trailing_data[0]

    async def answer(self, request: SeenRequest, respond: Respond | None = None) -> bool:
        """Answer `request`, unless the client goes away first."""
        self._record.turn(request, "answering")
        answering = asyncio.ensure_future((respond or self._respond)(request, self))
        watching = asyncio.ensure_future(self._gone())
        await asyncio.wait({answering, watching}, return_when=asyncio.FIRST_COMPLETED)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        if not answering.done():
            answering.cancel()
        try:
            complete = await answering
        except (asyncio.CancelledError, ConnectionError):
            self._record.turn(request, "cancelled")
            return False
        self._record.turn(request, "answered" if complete else "failed")
        return complete

    async def head(self, head: Head) -> None:
        self._until_eof = head.framing == "eof"
        if self._until_eof:
            # h11 knows no body until the connection's end for an HTTP/1.1 client; it would chunk it.
            lines = [f"HTTP/1.1 {head.status} {_phrase(head.status)}", "Connection: close"]
            lines += [f"{name}: {value}" for name, value in head.headers]
            await self._send("\r\n".join([*lines, "", ""]).encode("latin-1"))
            return
        length = ("Content-Length", str(head.length or 0))
        framing = length if head.framing == "length" else ("Transfer-Encoding", "chunked")
        response = h11.Response(
            status_code=head.status, headers=[*head.headers, framing], reason=_phrase(head.status)
        )
        await self._send(self._h11.send(response))

    async def data(self, data: bytes) -> None:
        await self._send(data if self._until_eof else self._h11.send(h11.Data(data=data)))

    async def end(self) -> None:
        if self._until_eof:
            self.writer.close()
        else:
            await self._send(self._h11.send(h11.EndOfMessage()))

    async def break_off(self, step: Raw | Reset | Goaway | Close | WebSocketClose) -> None:
        match step:
            case Raw(data):
                await self._send(data)
            case Reset():
                reset(self.writer)
            case Goaway() if self._h11.our_state is h11.SEND_BODY:
                """The announcement that no further request is taken: after this answer, that is."""
            case _:
                self.writer.close()

    async def _send(self, data: bytes | None) -> None:
        if data:
            self.writer.write(data)
            await self.writer.drain()

    async def _gone(self) -> None:
        """Returns when the client has closed; what it sends before is kept for the next request."""
        while data := await self.reader.read(_READ):
            self._h11.receive_data(data)

    async def _receive(self) -> SeenRequest | None:
        request: SeenRequest | None = None
        body: list[bytes] = []
        while True:
            match event := self._h11.next_event():
                case h11.Request():
                    request = self._seen_request(event)
                case h11.Data(data=data):
                    body.append(bytes(data))
                case h11.EndOfMessage() if request:
                    request.body = b"".join(body)
                    self._record.request(request)
                    return request
                case h11.PAUSED if request:
                    return request
                case h11.NEED_DATA:
                    if self._h11.they_are_waiting_for_100_continue:
                        await self._send(
                            self._h11.send(h11.InformationalResponse(status_code=100, headers=[]))
                        )
                    data = await self.reader.read(_READ)
                    if not data and request:
                        # Cut off inside its body: it counts as seen, never as answered.
                        request.body = b"".join(body)
                        self._record.request(request)
                        self._record.turn(request, "cancelled")
                    if not data:
                        return None
                    self._h11.receive_data(data)
                case _:
                    return None

    def _seen_request(self, event: h11.Request) -> SeenRequest:
        headers = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in event.headers.raw_items()]
        host = next((v for n, v in headers if n.lower() == "host"), None)
        target = event.target.decode("latin-1")
        return SeenRequest(event.method.decode(), target, headers, host, "http/1.1", self._seen)


def _phrase(status: int) -> str:
    return http.client.responses.get(status, "")


def reset(writer: asyncio.StreamWriter) -> None:
    """Close so that the other side sees a TCP RST (SO_LINGER of 0), not an orderly end."""
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
