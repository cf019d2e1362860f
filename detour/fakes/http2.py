"""The HTTP/2 side of a fake provider (RFC 9113), over h2."""

from __future__ import annotations

import asyncio

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from detour.fakes.http1 import Respond
from detour.fakes.record import Record, SeenConnection, SeenRequest
from detour.fakes.steps import Close, Goaway, Head, Raw, Reset, WebSocketClose

_READ = 1 << 16
_WINDOW = 1 << 24
"""Bytes that a client may send before it has to wait for us."""


class Http2Connection:
    """One connection: each stream answered by a task of its own."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        seen: SeenConnection,
        record: Record,
        respond: Respond,
        max_streams: int,
    ) -> None:
        self._max_streams = max_streams
        self._reader = reader
        self.writer = writer
        self._seen = seen
        self._record = record
        self._respond = respond
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding=None)
        )
        self.window_opened = asyncio.Condition()
        self._requests: dict[int, SeenRequest] = {}
        self._bodies: dict[int, list[bytes]] = {}
        self._answers: dict[int, asyncio.Task[None]] = {}

    async def serve(self) -> None:
        self.h2.initiate_connection()
        self.h2.update_settings(
            {
                h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: self._max_streams,
                h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW,
            }
        )
        self.h2.increment_flow_control_window(_WINDOW)
        await self.flush()
        try:
            while data := await self._reader.read(_READ):
                for event in self.h2.receive_data(data):
                    await self._handle(event)
                await self.flush()
        except h2.exceptions.ProtocolError:
            await self.flush()
        finally:
            for task in self._answers.values():
                task.cancel()
            await asyncio.gather(*self._answers.values(), return_exceptions=True)
            for request in self._requests.values():
                if request.state in ("receiving", "answering"):
                    self._record.turn(request, "cancelled")

    async def flush(self) -> None:
        if data := self.h2.data_to_send():
            self.writer.write(data)
            await self.writer.drain()

    async def _handle(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived(stream_id=int(stream), headers=headers):
                self._requests[stream] = self._seen_request(
                    stream, [(n.decode("latin-1"), v.decode("latin-1")) for n, v in headers or []]
                )
                self._bodies[stream] = []
            case h2.events.DataReceived(stream_id=int(stream), data=data, flow_controlled_length=length):
                self._bodies[stream].append(data or b"")
                self.h2.acknowledge_received_data(length or 0, stream)
            case h2.events.StreamEnded(stream_id=int(stream)):
                request = self._requests[stream]
                request.body = b"".join(self._bodies.pop(stream))
                self._record.request(request)
                self._answers[stream] = asyncio.ensure_future(self._answer(request))
            case h2.events.StreamReset(stream_id=int(stream)):
                if task := self._answers.get(stream):
                    task.cancel()
                elif unfinished := self._requests.get(stream):
                    self._record.turn(unfinished, "cancelled")
                await self._wake()
            case h2.events.WindowUpdated() | h2.events.RemoteSettingsChanged():
                await self._wake()

    async def _wake(self) -> None:
        async with self.window_opened:
            self.window_opened.notify_all()

    async def _answer(self, request: SeenRequest) -> None:
        self._record.turn(request, "answering")
        try:
            complete = await self._respond(request, _Stream(self, request.stream))
            self._record.turn(request, "answered" if complete else "failed")
        except (asyncio.CancelledError, ConnectionError, h2.exceptions.ProtocolError):
            self._record.turn(request, "cancelled")
        finally:
            self._answers.pop(request.stream, None)
            self._requests.pop(request.stream, None)

    def _seen_request(self, stream: int, headers: list[tuple[str, str]]) -> SeenRequest:
        pseudo = {n: v for n, v in headers if n.startswith(":")}
        plain = [(n, v) for n, v in headers if not n.startswith(":")]
        authority = pseudo.get(":authority")
        return SeenRequest(pseudo[":method"], pseudo[":path"], plain, authority, "h2", self._seen, stream)


class _Stream:
    """The stage of one HTTP/2 stream."""

    def __init__(self, connection: Http2Connection, id: int) -> None:
        self._connection = connection
        self._id = id
        self._begun = False

    async def head(self, head: Head) -> None:
        length = [("content-length", str(head.length or 0))] if head.framing == "length" else []
        headers = [(":status", str(head.status)), *((n.lower(), v) for n, v in head.headers), *length]
        self._begun = True
        self._connection.h2.send_headers(self._id, headers)
        await self._connection.flush()

    async def data(self, data: bytes) -> None:
        h2 = self._connection.h2
        while data:
            async with self._connection.window_opened:
                while not (room := min(h2.local_flow_control_window(self._id), h2.max_outbound_frame_size)):
                    await self._connection.window_opened.wait()
            h2.send_data(self._id, data[:room])
            data = data[room:]
            await self._connection.flush()

    async def end(self) -> None:
        self._connection.h2.end_stream(self._id)
        await self._connection.flush()

    async def break_off(self, step: Raw | Reset | Goaway | Close | WebSocketClose) -> None:
        match step:
            case Raw(data):
                self._connection.writer.write(data)
            case Reset(code):
                self._connection.h2.reset_stream(self._id, code)
                await self._connection.flush()
            case Goaway(code):
                # Written by hand: h2 refuses to send anything more once it has sent a GOAWAY itself.
                last = self._id if self._begun else max(self._id - 2, 0)
                self._connection.writer.write(goaway_frame(last, code))
            case _:
                self._connection.writer.close()


def goaway_frame(last_stream: int, code: int) -> bytes:
    """RFC 9113 section 6.8."""
    payload = last_stream.to_bytes(4) + code.to_bytes(4)
    return len(payload).to_bytes(3) + b"\x07\x00" + bytes(4) + payload
