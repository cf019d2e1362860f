"""A fake provider on loopback that speaks the real wire, fails on demand and remembers what it saw."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal, Self
from weakref import WeakKeyDictionary

from detour.fakes.call import Call, json_reply
from detour.fakes.certificates import ThrowawayCA
from detour.fakes.faults import Script
from detour.fakes.http1 import Http1Connection, reset
from detour.fakes.http2 import Http2Connection
from detour.fakes.openai_responses import unwrap
from detour.fakes.paths import WIRES, read_call
from detour.fakes.perform import Gates, Stage, perform
from detour.fakes.record import Record, SeenConnection, SeenRequest
from detour.fakes.steps import Data, End, Reply, Step, compress
from detour.fakes.websocket import WebSocketSession

type Listener = Literal["serve", "refuse", "close", "reset", "mute", "wrong_certificate", "wrong_name"]
"""``refuse``: nobody listens; ``close``, ``reset``: right after accept; ``mute``: accept, then silence;
``wrong_certificate``: an unknown authority's; ``wrong_name``: another host's."""

_BACKLOG = 4096


class FakeUpstream:
    """One listening address. Bound as soon as it is made, so that `base_url` can go into a configuration.

    `keys` are the credentials that it accepts, any when None. `pages` are answers for paths that are no
    surface; `max_streams` is how many an HTTP/2 connection allows at a time; a `lenient` one serves every format
    below any path. `sock` listens already, in the place of a socket on loopback. All of `record`, `script` and
    `open` may be used from other threads.
    """

    def __init__(
        self,
        name: str = "upstream",
        *,
        tls: bool = True,
        alpn: Sequence[str] = ("h2", "http/1.1"),
        ca: ThrowawayCA | None = None,
        host: str = "localhost",
        host_names: Iterable[str] = ("localhost", "127.0.0.1"),
        listener: Listener = "serve",
        sock: socket.socket | None = None,
        keys: Iterable[str] | None = None,
        compress: bool = True,
        max_streams: int = 1000,
        lenient: bool = False,
    ) -> None:
        self.name = name
        self.host = host
        self.text = f"Hello from {name}, one word at a time."
        self.record = Record()
        self.script = Script()
        self.pages: dict[tuple[str, str], Reply] = {}
        self._keys = None if keys is None else frozenset(keys)
        self._lenient = lenient
        self._compress = compress
        self._max_streams = max_streams
        self._listener = listener
        self._gates = Gates()
        self._sni: WeakKeyDictionary[Any, str | None] = WeakKeyDictionary()
        self._tls = self._context(ca or ThrowawayCA(), list(host_names), alpn) if tls else None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._socket = sock or (
            socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG) if listener != "refuse" else _closed()
        )

    @property
    def port(self) -> int:
        return self._socket.getsockname()[1]

    @property
    def origin(self) -> str:
        """Scheme, host and port, e.g. ``https://localhost:40123``."""
        return f"{'https' if self._tls else 'http'}://{self.host}:{self.port}"

    def base_url(self, format: str = "anthropic") -> str:
        """Where a client's base URL for `format` points: with ``/v1`` for OpenAI's formats, without for others."""
        return self.origin + ("/v1" if format.startswith("openai") else "")

    def open(self, gate: str) -> None:
        """Let the answers that wait at `gate` go on, and all that come to it later."""
        assert self._loop, "not started"
        self._loop.call_soon_threadsafe(self._gates[gate].set)

    async def start(self) -> Self:
        self._loop = asyncio.get_running_loop()
        if self._listener == "refuse":
            return self
        tls = None if self._listener in ("close", "reset", "mute") else self._tls
        self._server = await asyncio.start_server(self._accept, sock=self._socket, ssl=tls, limit=1 << 20)
        return self

    async def close(self) -> None:
        if self._server:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        self._socket.close()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    def _context(self, ca: ThrowawayCA, names: list[str], alpn: Sequence[str]) -> ssl.SSLContext:
        if self._listener == "wrong_certificate":
            ca = ThrowawayCA("Nobody trusts this")
        if self._listener == "wrong_name":
            names = ["wrong.invalid"]
        context = ca.server_context(names, alpn)
        context.sni_callback = lambda connection, name, _: self._sni.__setitem__(connection, name)
        return context

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._connections.add(task)
        seen = self.record.connection()
        # asyncio does this only where it made the listening socket itself; without it each answer waits for
        # the client's delayed acknowledgement.
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await self._serve(reader, writer, seen)
        except (ConnectionError, ssl.SSLError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            self.record.closed(seen)
            writer.close()

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: SeenConnection
    ) -> None:
        match self._listener:
            case "close":
                return
            case "reset":
                return reset(writer)
            case "mute":
                while await reader.read(1 << 16):
                    pass
                return
        tls = writer.get_extra_info("ssl_object")
        seen.sni = self._sni.get(tls) if tls else None
        seen.protocol = (tls.selected_alpn_protocol() if tls else None) or "http/1.1"
        if seen.protocol == "h2":
            await Http2Connection(reader, writer, seen, self.record, self._respond, self._max_streams).serve()
        else:
            await Http1Connection(reader, writer, seen, self.record, self._respond, self._upgrade).serve()

    async def _respond(self, request: SeenRequest, stage: Stage) -> bool:
        steps = self._steps(request)
        if self._compress and "gzip" in (request.header("accept-encoding") or ""):
            steps = list(compress(steps))
        if request.method == "HEAD":
            steps = [step for step in steps if not isinstance(step, Data)]
        return await self._perform(steps, request, stage)

    def _steps(self, request: SeenRequest) -> list[Step]:
        call = self._call(request)
        if call is None:
            return self.pages.get((request.method, request.path), _not_found(request)).steps()
        if refusal := call.wire.check(call) or self._unknown_key(request, call):
            return refusal.steps()
        reply = call.wire.answer(call)
        fault = self.script.fault(request.key, request.model)
        return fault.build(call, reply) if fault else reply.steps()

    def _call(self, request: SeenRequest) -> Call | None:
        call = read_call(
            request.method, request.target, request.headers, request.body, self.text, self._lenient
        )
        if call:
            request.key = next(iter(call.wire.keys(call)), None)
            request.model = call.model if isinstance(call.model, str) else None
        return call

    def _unknown_key(self, request: SeenRequest, call: Call) -> Reply | None:
        if self._keys is None or request.key in self._keys:
            return None
        if call.wire.name == "gemini":
            # Google answers 400 to a wrong API key, not 401.
            return call.wire.error(call, 400, "API key not valid. Please pass a valid API key.")
        return call.wire.error(call, 401, None)

    async def _upgrade(self, request: SeenRequest, http: Http1Connection) -> None:
        if refusal := self._handshake_refusal(request):
            await http.answer(request, lambda request, stage: self._perform(refusal, request, stage))
            return

        async def turn(message: str, stage: Stage) -> bool:
            return await self._perform(self._turn_steps(request, message), request, stage)

        await WebSocketSession(http, request, self.record, turn).serve(http.unread)

    def _handshake_refusal(self, request: SeenRequest) -> list[Step] | None:
        call = self._call(request)
        if call is None:
            return _not_found(request).steps()
        if not request.key:
            return call.wire.error(call, 401, None).steps()
        if refusal := self._unknown_key(request, call):
            return refusal.steps()
        fault = self.script.fault(request.key, None, "handshake")
        return fault.build(call, call.wire.answer(call)) if fault else None

    def _turn_steps(self, request: SeenRequest, message: str) -> list[Step]:
        call = self._call(request)
        assert call
        document = unwrap(message)
        call = replace(call, document=document, stream=True, model=(document or {}).get("model"))
        if refusal := call.wire.check(call):
            error = {"type": "error", "status": refusal.status, **json.loads(refusal.parts[0])}
            return [Data(b"data: " + json.dumps(error).encode()), End()]
        request.model = call.model
        reply = call.wire.answer(call)
        fault = self.script.fault(request.key, request.model, "turn")
        return fault.build(call, reply) if fault else reply.steps()

    async def _perform(self, steps: list[Step], request: SeenRequest, stage: Stage) -> bool:
        return await perform(steps, _Counting(stage, request, self.record), self._gates)


class _Counting:
    """A stage that counts the bytes of body which left."""

    def __init__(self, stage: Stage, request: SeenRequest, record: Record) -> None:
        self._stage = stage
        self._request = request
        self._record = record
        self.head, self.end, self.break_off = stage.head, stage.end, stage.break_off

    async def data(self, data: bytes) -> None:
        await self._stage.data(data)
        self._record.sent(self._request, len(data))


def _closed() -> socket.socket:
    """A bound socket that does not listen: connecting is refused, and nobody else gets the port."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock


def _not_found(request: SeenRequest) -> Reply:
    message = f"Invalid URL ({request.method} {request.path})"
    return json_reply(404, {"error": {"message": message, "type": "invalid_request_error", "code": None}})


__all__ = ["WIRES", "FakeUpstream", "Listener"]
