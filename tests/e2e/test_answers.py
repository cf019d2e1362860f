"""Answers of every shape come through whole: compressed, large, informational, hop-by-hop, byte for byte."""

from __future__ import annotations

import itertools
import json
import socket
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from detour.fakes import Fault
from detour.fakes.call import Call
from detour.fakes.steps import Data, End, Head, Reply, Reset, Step
from tests.e2e.conftest import House
from tests.e2e.test_bad_input import provider_socket
from tests.e2e.wire import SHAPES, address, fresh_model


@pytest.fixture(params=[False, True], ids=["h1", "h2"])
def client(request: pytest.FixtureRequest, house: House) -> Iterator[httpx.Client]:
    with house.detour.client(http2=request.param) as client:
        yield client


def ask(
    house: House, client: httpx.Client, fault: Fault, *, stream: bool, format: str = "anthropic"
) -> httpx.Response:
    model = fresh_model()
    house.fake(format).script.add(fault, model=model)
    path, headers, body = SHAPES[format].request(model, stream=stream)
    return client.post(f"https://{house.host(format)}{path}", headers=headers, json=body)


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("format", SHAPES)
def test_an_upstream_that_compresses_unasked(
    house: House, client: httpx.Client, format: str, stream: bool
) -> None:
    answer = ask(house, client, Fault.compressed(), stream=stream, format=format)
    assert answer.status_code == 200
    assert "Hello " in answer.text
    assert '"time."' in answer.text or house.fake(format).text in answer.text


@pytest.mark.parametrize("wants_stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("format", SHAPES)
def test_an_answer_is_what_its_bytes_are(house: House, format: str, wants_stream: bool) -> None:
    """Upstreams send streams and bodies under any name, or the one where the other was asked for."""
    media = (None, "", "text/plain", "application/octet-stream", "application/json", "text/event-stream")
    with house.detour.client() as client:
        for sends_stream, name in itertools.product((False, True), media):
            fault = called(name, sends_stream)
            answer = ask(house, client, fault, stream=wants_stream, format=format)
            assert answer.status_code == 200, (sends_stream, name, answer.text)
            told = answer.headers["content-type"].partition(";")[0]
            assert told == ("text/event-stream" if wants_stream else "application/json")
            if not wants_stream:
                assert house.fake(format).text in answer.text and answer.json()
                assert int(answer.headers["content-length"]) == len(answer.content)
            else:
                assert ('"time."' if sends_stream else house.fake(format).text) in answer.text
                assert "data: {" in answer.text


def called(media: str | None, stream: bool) -> Fault:
    """A good answer called `media`, as a stream that begins with a comment, or as one body, whatever was asked for."""

    def build(call: Call, reply: Reply) -> list[Step]:
        parts = call.wire.answer(replace(call, stream=stream, query={"alt": "sse"})).parts
        parts = (b": one moment\n\n", *parts) if stream else parts
        headers = () if media is None else (("content-type", media),)
        return [Head(200, headers), *(Data(part) for part in parts), End()]

    return Fault("called", build)


def test_a_large_json_answer(house: House, client: httpx.Client) -> None:
    size = 8 << 20
    answer = ask(house, client, Fault.big_body(size), stream=False)
    assert answer.status_code == 200
    assert len(answer.json()["content"][0]["text"]) > size - 20


def test_a_large_stream(house: House, client: httpx.Client) -> None:
    answer = ask(house, client, Fault.big_body(200_000), stream=True)
    assert answer.content.endswith(b'data: {"type":"message_stop"}\n\n')
    assert answer.text.count("event: content_block_delta") > 10_000


def test_odd_event_streams_keep_their_bytes(house: House, client: httpx.Client) -> None:
    """Comments, CR and CRLF line ends, a byte order mark, ids, several data lines, no blank line at the end."""
    content = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,\ndata: "delta":{"type":"text_delta","text":"\xc3\xbc"}}\n\n'
    parts = (
        b"\xef\xbb\xbf: hello\n\n",
        b'event: message_start\r\ndata: {"type":"message_start","message":{}}   \r\n\r\n',
        content[:100],
        content[100:],
        b"id: 7\rretry: 10\revent: ping\rdata: {}\r\r",
        b'event: message_stop\ndata: {"type":"message_stop"}',
    )
    answer = ask(house, client, Fault.raw_answer(200, "text/event-stream", *parts), stream=True)
    assert answer.content == b"".join(parts)


def test_a_stream_that_promises_a_length_may_break_off(house: House, client: httpx.Client) -> None:
    """It still ends in good order: with an error event, on a connection that serves on."""

    def broken(call: Call, reply: Reply) -> list[Step]:
        claimed = sum(map(len, reply.parts))
        head = Head(200, (("content-type", "text/event-stream"),), "length", claimed)
        return [head, *map(Data, reply.parts[:5]), Reset()]

    answer = ask(house, client, Fault("promised", broken), stream=True)
    assert "Hello " in answer.text
    assert answer.text.rpartition("event: ")[2].startswith("error\n")
    assert "content-length" not in answer.headers
    assert "Hello " in ask(house, client, Fault.text("Hello again"), stream=True).text


def test_answers_that_are_no_json_pass(house: House, client: httpx.Client) -> None:
    page = b"<html><h1>Sorry</h1></html>"
    answer = ask(house, client, Fault.raw_answer(418, "text/html", page, framing="length"), stream=False)
    assert (answer.status_code, answer.content) == (418, page)
    assert answer.headers["content-type"] == "text/html"


def test_headers_of_the_upstream_reach_the_client(house: House, client: httpx.Client) -> None:
    limits = [("anthropic-ratelimit-requests-remaining", "7"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]
    answer = ask(house, client, Fault.status(413, limits), stream=False)
    assert answer.headers["anthropic-ratelimit-requests-remaining"] == "7"
    assert answer.headers["request-id"].startswith("req_")


def test_gemini_without_alt_sse_streams_too(house: House, client: httpx.Client) -> None:
    model = fresh_model()
    house.gemini.script.add(Fault.gate(model), model=model)
    _, headers, body = SHAPES["gemini"].request(model)
    url = f"https://{house.host('gemini')}/v1beta/models/{model}:streamGenerateContent"
    with client.stream("POST", url, headers=headers, json=body) as answer:
        parts = answer.iter_raw()
        seen = b""
        while b"Hello " not in seen:
            seen += next(parts)
        house.gemini.open(model)
        seen += b"".join(parts)
    chunks = json.loads(seen)
    text = "".join(c["candidates"][0]["content"]["parts"][0]["text"] for c in chunks)
    assert text == house.gemini.text


def test_an_event_cut_in_the_middle_of_a_character(house: House, client: httpx.Client) -> None:
    def cut(call: Call, reply: Reply) -> list[Step]:
        whole = b"".join(reply.parts).replace(b"Hello ", "Grüß Gött 🦌 ".encode())
        return [reply.head(), *(Data(whole[i : i + 3]) for i in range(0, len(whole), 3)), End()]

    answer = ask(house, client, Fault("cut", cut), stream=True)
    assert "Grüß Gött 🦌 " in answer.text
    assert answer.content.endswith(b'data: {"type":"message_stop"}\n\n')


def test_expect_100_continue(house: House) -> None:
    model = fresh_model()
    path, headers, body = SHAPES["anthropic"].request(model)
    content = json.dumps(body).encode()
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: api.anthropic.com",
        f"Content-Length: {len(content)}",
        "Expect: 100-continue",
    ]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    with provider_socket(house) as tls:
        tls.sendall("\r\n".join([*lines, "", ""]).encode())
        assert tls.recv(1 << 16).startswith(b"HTTP/1.1 100")
        tls.sendall(content)
        assert tls.recv(1 << 16).startswith(b"HTTP/1.1 200")


def test_two_requests_in_one_write_are_answered_in_order(house: House) -> None:
    first, second = fresh_model(), fresh_model()
    house.anthropic.script.add(Fault.slow_first_byte(0.2), model=first)
    requests = b""
    for model in (first, second):
        path, headers, body = SHAPES["anthropic"].request(model)
        content = json.dumps(body).encode()
        lines = [f"POST {path} HTTP/1.1", "Host: api.anthropic.com", f"Content-Length: {len(content)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        requests += "\r\n".join([*lines, "", ""]).encode() + content
    with provider_socket(house) as tls:
        tls.sendall(requests)
        answer = b""
        while second.encode() not in answer and (more := tls.recv(1 << 16)):
            answer += more
    assert answer.count(b"HTTP/1.1 200") == 2
    assert answer.index(first.encode()) < answer.index(second.encode())


def test_an_http10_client_of_the_gateway(house: House) -> None:
    path, headers, body = SHAPES["anthropic"].request("claude-sonnet-4-5-20250929", stream=True)
    content = json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.0", f"Content-Length: {len(content)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    with socket.create_connection(address(house.detour.gateway), timeout=20) as sock:
        sock.sendall("\r\n".join([*lines, "", ""]).encode() + content)
        answer = b""
        while part := sock.recv(1 << 16):
            answer += part
    head, _, content = answer.partition(b"\r\n\r\n")
    assert b" 200 " in head.splitlines()[0]
    assert b"chunked" not in head.lower()
    assert content.startswith(b"event: message_start") and content.endswith(
        b'data: {"type":"message_stop"}\n\n'
    )


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
def test_any_method_passes_on_other_paths(house: House, client: httpx.Client, method: str) -> None:
    answer = client.request(method, f"https://localhost:{house.own.port}/api/anything")
    assert answer.status_code == 404
    seen = house.own.record.requests[-1]
    assert (seen.method, seen.path) == (method, "/api/anything")


def test_compression_of_other_paths_is_the_clients_affair(house: House, client: httpx.Client) -> None:
    house.own.pages["GET", "/api/zipped"] = Reply(200, (("Content-Type", "text/plain"),), (b"zipped " * 100,))
    answer = client.get(f"https://localhost:{house.own.port}/api/zipped")
    assert answer.text == "zipped " * 100
    assert house.own.record.requests[-1].header("accept-encoding") == client.headers["accept-encoding"]
    assert answer.headers["content-encoding"] == "gzip"


def test_passthrough_streams_as_it_happens(house: House, client: httpx.Client) -> None:
    """The client's own request to its own host is no less live than a routed one."""
    model = fresh_model()
    house.own.script.add(Fault.gate(model), model=model)
    path, headers, body = SHAPES["anthropic"].request(model, stream=True)
    with client.stream(
        "POST", f"https://localhost:{house.own.port}{path}", headers=headers, json=body
    ) as answer:
        lines = answer.iter_lines()
        assert any('"Hello "' in line for line in lines)
        house.own.open(model)
        assert any("message_stop" in line for line in lines)


def test_an_error_of_a_passed_through_request_is_the_clients(house: House, client: httpx.Client) -> None:
    """With the client's own credential there is nobody else to ask: its 429 and its 401 are its own."""
    for status in (401, 429, 529):
        model = fresh_model()
        house.own.script.add(Fault.status(status, [("retry-after", "3")]), model=model)
        path, headers, body = SHAPES["anthropic"].request(model, stream=True)
        for _ in range(2):
            answer = client.post(f"https://localhost:{house.own.port}{path}", headers=headers, json=body)
            assert (answer.status_code, answer.headers["retry-after"]) == (status, "3")
            assert answer.json()["request_id"]
        assert len([r for r in house.own.record.requests if r.model == model]) == 2
