"""What the ends of a connection do with bytes that mitmproxy's own do not expect."""

from collections.abc import Iterator

import h2.config
import h2.connection
import pytest
from h2.errors import ErrorCodes
from h2.events import DataReceived, ResponseReceived, StreamEnded
from h2.settings import SettingCodes
from mitmproxy import http, options
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.connection import Client, ConnectionState, Server
from mitmproxy.proxy import commands, context, events
from mitmproxy.proxy.layers.http import (
    ErrorCode,
    HttpEvent,
    ReceiveHttp,
    RequestEndOfMessage,
    RequestHeaders,
    RequestTrailers,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
    ResponseTrailers,
)
from mitmproxy.test import taddons

from addons.failover.clients import (
    MAX_CHUNK_LINES,
    MAX_HEAD,
    MAX_REQUEST_LINE,
    BodilessHttp2Server,
    BoundedHttp1Server,
    Crowded,
    GracefulHttp2Client,
    PatientHttp1Client,
    Unprocessed,
)


@pytest.fixture
def ctx() -> Iterator[context.Context]:
    with taddons.context(Proxyserver()) as tctx:
        assert isinstance(tctx.options, options.Options)
        client = Client(peername=("127.0.0.1", 1), sockname=("127.0.0.1", 2), state=ConnectionState.OPEN)
        made = context.Context(client, tctx.options)
        made.server = Server(address=("upstream.test", 443))
        made.server.state = ConnectionState.OPEN
        yield made


def sent(made: list[commands.Command]) -> bytes:
    return b"".join(c.data for c in made if isinstance(c, commands.SendData))


def received(made: list[commands.Command]) -> list[HttpEvent]:
    return [c.event for c in made if isinstance(c, ReceiveHttp)]


def closes(made: list[commands.Command]) -> bool:
    return any(isinstance(c, commands.CloseConnection) for c in made)


def get() -> http.Request:
    return http.Request.make("GET", "https://upstream.test/", headers=[(b"host", b"upstream.test")])


class Peer:
    """A GracefulHttp2Client and the server that it talks to."""

    def __init__(self, ctx: context.Context, *, settled: bool = True) -> None:
        self.conn = ctx.server
        self.client = GracefulHttp2Client(ctx)
        self.server = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        )
        self.server.initiate_connection()
        self.server.receive_data(sent(list(self.client.handle_event(events.Start()))))
        if settled:
            self.push()

    def request(self, stream_id: int) -> list[commands.Command]:
        made = list(self.client.handle_event(RequestHeaders(stream_id, get(), True)))
        made += self.client.handle_event(RequestEndOfMessage(stream_id))
        self.server.receive_data(sent(made))
        return made

    def push(self, extra: bytes = b"") -> list[commands.Command]:
        data = self.server.data_to_send() + extra
        return list(self.client.handle_event(events.DataReceived(self.conn, data)))

    def answer(self, stream_id: int) -> None:
        self.server.send_headers(stream_id, [(":status", "200")], end_stream=True)


def goaway(last: int, code: int = 0) -> bytes:
    return b"\0\0\x08\x07\0\0\0\0\0" + last.to_bytes(4, "big") + code.to_bytes(4, "big")


def test_a_graceful_goaway_lets_streams_end_and_hands_back_the_rest(ctx: context.Context) -> None:
    peer = Peer(ctx)
    peer.request(-1)
    peer.request(-2)
    made = peer.push(goaway(1))
    assert [(type(e), e.stream_id) for e in received(made)] == [(Unprocessed, -2)]
    assert not closes(made)
    assert [type(e) for e in received(peer.request(-3))] == [Unprocessed]
    peer.answer(1)
    made = peer.push()
    assert isinstance(received(made)[0], ResponseHeaders)
    assert closes(made)


def test_frames_that_come_with_the_goaway_are_read(ctx: context.Context) -> None:
    peer = Peer(ctx)
    peer.request(-1)
    peer.answer(1)
    answer = peer.server.data_to_send()
    made = list(peer.client.handle_event(events.DataReceived(ctx.server, goaway(2**31 - 1) + answer)))
    assert isinstance(received(made)[0], ResponseHeaders)
    assert closes(made)


def test_a_goaway_with_an_error_ends_everything(ctx: context.Context) -> None:
    peer = Peer(ctx)
    peer.request(-1)
    made = peer.push(goaway(1, ErrorCodes.INTERNAL_ERROR))
    assert closes(made)
    assert [type(e) for e in received(made)] == [ResponseProtocolError]


@pytest.mark.parametrize("code", [ErrorCodes.REFUSED_STREAM, ErrorCodes.INTERNAL_ERROR])
def test_only_a_refused_stream_is_unprocessed(ctx: context.Context, code: ErrorCodes) -> None:
    peer = Peer(ctx)
    peer.request(-1)
    peer.server.reset_stream(1, code)
    (event,) = received(peer.push())
    assert isinstance(event, Unprocessed) is (code is ErrorCodes.REFUSED_STREAM)


def test_informational_answers_are_passed_over_wherever_they_are_cut(ctx: context.Context) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
    data = early + b"HTTP/1.1 204 No Content\r\n\r\n"
    for cut in range(len(data)):
        client = PatientHttp1Client(ctx)
        for event in (events.Start(), RequestHeaders(1, get(), True), RequestEndOfMessage(1)):
            list(client.handle_event(event))
        made: list[commands.Command] = []
        for piece in (data[:cut], data[cut:]):
            made += client.handle_event(events.DataReceived(ctx.server, piece))
        heads = [e.response.status_code for e in received(made) if isinstance(e, ResponseHeaders)]
        assert heads == [204]


def asking(ctx: context.Context) -> PatientHttp1Client:
    """A client whose request is out."""
    client = PatientHttp1Client(ctx)
    for event in (events.Start(), RequestHeaders(1, get(), True), RequestEndOfMessage(1)):
        list(client.handle_event(event))
    return client


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n5;ext=1\r\nhello\r\n0\r\n"


def test_trailers_of_an_answer_are_dropped_wherever_it_is_cut(ctx: context.Context) -> None:
    data = CHUNKED + b"x-sum: 1\r\n\r\n"
    for cut in range(len(data)):
        client = asking(ctx)
        made: list[commands.Command] = []
        for piece in (data[:cut], data[cut:]):
            made += client.handle_event(events.DataReceived(ctx.server, piece))
        assert b"".join(e.data for e in received(made) if isinstance(e, ResponseData)) == b"hello"
        assert isinstance(received(made)[-1], ResponseEndOfMessage)


def test_trailers_of_a_request_are_dropped(ctx: context.Context) -> None:
    server = BoundedHttp1Server(ctx)
    list(server.handle_event(events.Start()))
    request = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\na: b\r\n\r\n"
    made = list(server.handle_event(events.DataReceived(ctx.client, request)))
    assert isinstance(received(made)[-1], RequestEndOfMessage)


def test_trailers_from_http2_end_at_http1(ctx: context.Context) -> None:
    client = PatientHttp1Client(ctx)
    list(client.handle_event(events.Start()))
    list(client.handle_event(RequestHeaders(1, get(), False)))
    assert sent(list(client.handle_event(RequestTrailers(1, http.Headers(a="b"))))) == b""
    server = BoundedHttp1Server(ctx)
    list(server.handle_event(events.Start()))
    assert sent(list(server.handle_event(ResponseTrailers(1, http.Headers(a="b"))))) == b""


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"a: b\r\n" * (MAX_HEAD // 6)),
        (CHUNKED, b"a: b\r\n" * (MAX_CHUNK_LINES // 6 + 1)),
        (CHUNKED[:-3], b"0" * (MAX_CHUNK_LINES + 1)),
    ],
    ids=["head", "trailers", "chunk size"],
)
def test_an_answer_whose_lines_never_end_is_given_up(ctx: context.Context, begin: bytes, more: bytes) -> None:
    client = asking(ctx)
    made = list(client.handle_event(events.DataReceived(ctx.server, begin + more)))
    assert isinstance(received(made)[-1], ResponseProtocolError)
    assert closes(made)


def test_an_answer_that_ends_in_its_head_is_not_quoted(ctx: context.Context) -> None:
    client = asking(ctx)
    list(client.handle_event(events.DataReceived(ctx.server, b"HTTP/1.1 200 OK\r\nset-cookie: secret")))
    (event,) = received(list(client.handle_event(events.ConnectionClosed(ctx.server))))
    assert isinstance(event, ResponseProtocolError)
    assert event.message == "the connection ended within the answer's head"


@pytest.mark.parametrize(
    "head", [b"A" * (MAX_REQUEST_LINE + 1), b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * (MAX_HEAD // 6)]
)
def test_a_request_head_without_end_is_refused(ctx: context.Context, head: bytes) -> None:
    server = BoundedHttp1Server(ctx)
    list(server.handle_event(events.Start()))
    made = list(server.handle_event(events.DataReceived(ctx.client, head)))
    assert sent(made).startswith(b"HTTP/1.1 431 ")
    assert closes(made)


def test_an_error_answer_to_head_has_no_body(ctx: context.Context) -> None:
    server = BoundedHttp1Server(ctx)
    list(server.handle_event(events.Start()))
    list(server.handle_event(events.DataReceived(ctx.client, b"HEAD / HTTP/1.1\r\nhost: a\r\n\r\n")))
    made = list(server.handle_event(ResponseProtocolError(1, "broke", code=ErrorCode.GENERIC_SERVER_ERROR)))
    assert sent(made).startswith(b"HTTP/1.1 502 ")
    assert sent(made).endswith(b"\r\n\r\n")


def test_requests_that_a_peer_has_no_streams_for_are_reported_once_its_limit_is_known(
    ctx: context.Context,
) -> None:
    peer = Peer(ctx, settled=False)
    made = [c for stream_id in range(-1, -13, -1) for c in peer.request(stream_id)]
    assert len(peer.client.stream_queue) == 2
    assert not any(isinstance(c, Crowded) for c in made)
    peer.server.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 2})
    (crowded,) = [c for c in peer.push() if isinstance(c, Crowded)]
    assert list(crowded.client.stream_queue) == [-11, -12]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_http2_error_answer_to_head_has_no_body(ctx: context.Context, method: str) -> None:
    server = BodilessHttp2Server(ctx)
    client = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    client.initiate_connection()
    list(server.handle_event(events.Start()))
    head = [(":method", method), (":path", "/"), (":scheme", "https"), (":authority", "a")]
    client.send_headers(1, head, end_stream=True)
    list(server.handle_event(events.DataReceived(ctx.client, client.data_to_send())))

    made = list(server.handle_event(ResponseProtocolError(1, "broke", code=ErrorCode.GENERIC_SERVER_ERROR)))

    seen = client.receive_data(b"".join(c.data for c in made if isinstance(c, commands.SendData)))
    (answer,) = [e for e in seen if isinstance(e, ResponseReceived)]
    assert dict(answer.headers)[":status"] == "502"
    assert any(isinstance(e, DataReceived) for e in seen) is (method == "GET")
    assert any(isinstance(e, StreamEnded) for e in seen)
