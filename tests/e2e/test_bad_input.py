"""Requests that are wrong: a 4xx of Detour's own in the client's format, or forwarded untouched."""

from __future__ import annotations

import json
import socket
import ssl
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import House
from tests.e2e.instance import TIMEOUT
from tests.e2e.wire import SHAPES, Http2Client, address, fresh_model, tunnel

DEEP = 200_000
BODIES: dict[str, bytes] = {
    "empty": b"",
    "not-json": b"{not json",
    "truncated": b'{"model": "m", "messages": [{"role": "user", "content": "hel',
    "array": b"[1, 2]",
    "string": b'"hello"',
    "null": b"null",
    "number-model": b'{"model": 5, "max_tokens": 1, "messages": [], "input": ""}',
    "null-model": b'{"model": null, "max_tokens": 1, "messages": [], "input": ""}',
    "object-model": b'{"model": {"a": 1}, "max_tokens": 1, "messages": [], "input": ""}',
    "empty-model": b'{"model": "", "max_tokens": 1, "messages": [], "input": ""}',
    "half-a-character": b'{"model": "m\\ud800", "max_tokens": 1, "messages": [], "input": ""}',
    "no-model": b'{"max_tokens": 1, "messages": [], "input": ""}',
    "invalid-utf8": b'{"model": "m\xff\xfe", "messages": [], "input": ""}',
    "lone-continuation": b'{"model": "m", "messages": [], "input": "\x80"}',
    "deep": b'{"model": "m", "messages": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep-unclosed": b'{"model": "m", "messages": ' + b'{"a":' * DEEP,
    "nan": b'{"model": "m", "temperature": NaN, "messages": [], "input": ""}',
    "trailing": b'{"model": "m", "messages": [], "input": ""} {"model": "n"}',
    "utf16": '{"model": "m", "messages": [], "input": ""}'.encode("utf-16"),
}
JSON_FORMATS = ("anthropic", "openai-chat", "openai-responses")


def message_of(format: str, document: Any) -> str:
    """The message of an error in `format`'s shape; fails when it is of another shape."""
    error = document["error"]
    if format == "anthropic":
        assert document["type"] == "error"
        assert isinstance(error["type"], str)
    elif format == "gemini":
        assert isinstance(error["code"], int)
        assert error["status"].isupper()
    else:
        assert {"message", "type", "code"} <= error.keys()
    return error["message"]


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("format", JSON_FORMATS)
def test_a_body_that_cannot_be_routed_is_refused_in_the_clients_format(
    house: House, format: str, name: str
) -> None:
    fake = house.fake(format)
    before = len(fake.record.requests)
    path, headers, _ = SHAPES[format].request("m")
    headers["content-type"] = "application/json"
    for http2 in (False, True):
        with house.detour.client(http2=http2) as client:
            answer = client.post(f"https://{house.host(format)}{path}", headers=headers, content=BODIES[name])
        assert answer.status_code == 400, answer.text
        assert answer.headers["x-detour-error"] == "invalid_request"
        assert answer.headers["content-type"].startswith("application/json")
        assert message_of(format, answer.json())
        assert "secret-" not in answer.text
    with httpx.Client(trust_env=False, timeout=TIMEOUT) as client:
        answer = client.post(house.detour.gateway_url + path, headers=headers, content=BODIES[name])
    assert (answer.status_code, answer.headers["x-detour-error"]) == (400, "invalid_request")
    assert message_of(format, answer.json())
    assert len(fake.record.requests) == before


@pytest.mark.parametrize("name", ["empty", "not-json", "array", "invalid-utf8", "deep", "trailing"])
def test_gemini_bodies(house: House, name: str) -> None:
    path, headers, _ = SHAPES["gemini"].request("m")
    headers["content-type"] = "application/json"
    before = len(house.gemini.record.requests)
    with house.detour.client() as client:
        answer = client.post(f"https://{house.host('gemini')}{path}", headers=headers, content=BODIES[name])
    assert (answer.status_code, answer.headers["x-detour-error"]) == (400, "invalid_request")
    assert message_of("gemini", answer.json())
    assert len(house.gemini.record.requests) == before


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", None],
)
@pytest.mark.parametrize("good", [True, False], ids=["json", "form"])
def test_a_wrong_content_type(house: House, content_type: str | None, good: bool) -> None:
    """JSON that is called something else is still JSON or is refused; what is none is refused."""
    model = fresh_model()
    path, headers, body = SHAPES["anthropic"].request(model)
    if content_type:
        headers["content-type"] = content_type
    content = json.dumps(body).encode() if good else b"model=m&messages=hello"
    with house.detour.client() as client:
        answer = client.post(f"https://api.anthropic.com{path}", headers=headers, content=content)
    if answer.status_code == 200:
        assert good
        (seen,) = [r for r in house.anthropic.record.requests if r.model == model]
        assert seen.body == content
    else:
        assert answer.status_code in (400, 415)
        assert answer.headers["x-detour-error"] == "invalid_request"
        assert message_of("anthropic", answer.json())


def test_duplicate_keys_mean_one_model_to_everybody(house: House) -> None:
    """Readers differ in which of two equal keys counts: refuse it, or send what Detour itself read."""
    first, second = fresh_model(), fresh_model()
    body = f'{{"model": "{first}", "max_tokens": 5, "model": "{second}", "messages": [{{"role": "user", "content": "x"}}]}}'
    path, headers, _ = SHAPES["anthropic"].request("m")
    headers["content-type"] = "application/json"
    with house.detour.client() as client:
        answer = client.post(f"https://api.anthropic.com{path}", headers=headers, content=body.encode())
    if answer.status_code == 400:
        assert answer.headers["x-detour-error"] == "invalid_request"
    else:
        (seen,) = [r for r in house.anthropic.record.requests if r.model in (first, second)]
        assert seen.model == second
        assert seen.body == body.encode()


def test_a_hundred_megabytes_are_too_large(house: House) -> None:
    path, headers, _ = SHAPES["anthropic"].request("m")
    headers["content-type"] = "application/json"
    before = len(house.anthropic.record.requests)
    body = b'{"model": "m", "messages": "' + b"x" * (100 << 20) + b'"}'
    with house.detour.client() as client:
        answer = client.post(f"https://api.anthropic.com{path}", headers=headers, content=body)
    assert (answer.status_code, answer.headers["x-detour-error"]) == (413, "request_too_large")
    assert message_of("anthropic", answer.json())
    assert len(house.anthropic.record.requests) == before


@pytest.mark.parametrize("length", [{"content-length": str(100 << 20)}, {}], ids=["length", "no-length"])
def test_a_hundred_megabytes_over_http2_are_too_large(house: House, length: dict[str, str]) -> None:
    path, headers, _ = SHAPES["anthropic"].request("m")
    before = len(house.anthropic.record.requests)
    with Http2Client(house.detour.proxy, "api.anthropic.com", house.detour.tls()) as client:
        stream = client.upload("POST", path, headers | length, 100 << 20)
    assert (stream.status, stream.headers["x-detour-error"]) == (413, "request_too_large")
    assert message_of("anthropic", json.loads(stream.data))
    assert len(house.anthropic.record.requests) == before


def test_a_hundred_megabytes_without_a_length_are_too_large(house: House) -> None:
    def chunks() -> Any:
        yield b'{"model": "m", "messages": "'
        for _ in range(100):
            yield b"x" * (1 << 20)

    path, headers, _ = SHAPES["anthropic"].request("m")
    with house.detour.client() as client:
        answer = client.post(f"https://api.anthropic.com{path}", headers=headers, content=chunks())
    assert (answer.status_code, answer.headers["x-detour-error"]) == (413, "request_too_large")


def test_a_large_body_within_the_limit_goes_through_byte_for_byte(house: House) -> None:
    model = fresh_model()
    path, headers, body = SHAPES["anthropic"].request(model)
    body["messages"] = [{"role": "user", "content": "y" * (20 << 20)}]
    content = json.dumps(body).encode()
    with house.detour.client() as client:
        answer = client.post(f"https://api.anthropic.com{path}", headers=headers, content=content)
    assert answer.status_code == 200
    (seen,) = [r for r in house.anthropic.record.requests if r.model == model]
    assert seen.body == content


def test_a_content_length_that_promises_too_much(house: House) -> None:
    """The client ends before its body does: nothing goes upstream, and Detour stays well."""
    before = len(house.anthropic.record.requests)
    with provider_socket(house) as tls:
        tls.sendall(head(1000) + b'{"model": "short"')
    with house.detour.client() as client:
        path, headers, body = SHAPES["anthropic"].request("after-short")
        assert client.post(f"https://api.anthropic.com{path}", headers=headers, json=body).status_code == 200
    seen = list(house.anthropic.record.requests)[before:]
    assert [r.model for r in seen] == ["after-short"]


def test_a_content_length_that_promises_too_little(house: House) -> None:
    """The body is what the length says; the rest is a broken next request, never part of this one."""
    before = len(house.anthropic.record.requests)
    body = b'{"model": "m", "messages": []}'
    with provider_socket(house) as tls:
        tls.sendall(head(len(body) - 3) + body)
        answer = read_all(tls)
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"x-detour-error: invalid_request" in answer
    assert len(house.anthropic.record.requests) == before


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: -5\r\n",
        b"Content-Length: five\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
    ],
    ids=["two-lengths", "length-and-chunked", "negative", "word", "not-chunked-last"],
)
def test_ambiguous_framing_goes_nowhere(house: House, framing: bytes) -> None:
    before = len(house.anthropic.record.requests)
    with provider_socket(house) as tls:
        tls.sendall(b"POST /v1/messages HTTP/1.1\r\nHost: api.anthropic.com\r\n" + framing + b"\r\n0\r\n\r\n")
        answer = read_all(tls)
    assert answer.startswith(b"HTTP/1.1 4") or answer == b""
    assert len(house.anthropic.record.requests) == before


def test_a_wrong_length_on_http2(house: House) -> None:
    path, headers, body = SHAPES["anthropic"].request("h2-length")
    before = len(house.anthropic.record.requests)
    with Http2Client(house.detour.proxy, "api.anthropic.com", house.detour.tls()) as client:
        client.send("POST", path, {**headers, "content-length": "5"}, json.dumps(body).encode())
        try:
            streams = client.until(lambda streams: streams[1].ended)
            assert streams[1].status is None or 400 <= streams[1].status < 500
        except ConnectionError:
            pass
    assert len(house.anthropic.record.requests) == before


@pytest.mark.parametrize("model", ["..", "../../admin", "a/../b", "a%2e%2e", "\x00", "x" * 300, ""])
def test_a_model_in_the_path_cannot_lead_elsewhere(house: House, model: str) -> None:
    before = len(house.gemini.record.requests)
    raw = f"/v1beta/models/{httpx.QueryParams({'': model}).__str__()[1:]}:generateContent"
    with httpx.Client(trust_env=False, timeout=TIMEOUT) as client:
        answer = client.post(house.detour.gateway_url + raw, json={"contents": []})
    assert 400 <= answer.status_code < 500
    for seen in list(house.gemini.record.requests)[before:]:
        assert seen.path.startswith("/v1beta/models/")
        assert ".." not in seen.path


def test_odd_headers_do_not_break_the_request(house: House) -> None:
    model = fresh_model()
    path, _, body = SHAPES["anthropic"].request(model)
    content = json.dumps(body).encode()
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: api.anthropic.com",
        "X-Latin: caf\xe9",
        "X-Empty:",
        "x-api-key: one",
        "X-API-KEY: two",
        "Connection: keep-alive, X-Hop",
        "X-Hop: gone",
        f"Content-Length: {len(content)}",
        "anthropic-version: 2023-06-01",
    ]
    with provider_socket(house) as tls:
        tls.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + content)
        tls.settimeout(TIMEOUT)
        assert tls.recv(1 << 16).startswith(b"HTTP/1.1 200")
    (seen,) = [r for r in house.anthropic.record.requests if r.model == model]
    assert [v for n, v in seen.headers if n.lower() == "x-api-key"] == ["secret-anthropic"]


def test_a_bad_first_websocket_message_is_answered(house: House) -> None:
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect

    url = house.detour.gateway_url.replace("http", "ws", 1) + "/v1/responses"
    with connect(url, proxy=None, additional_headers={"Authorization": "Bearer k"}) as websocket:
        websocket.send("{not json")
        try:
            assert "error" in websocket.recv(timeout=60)
        except ConnectionClosed as closed:
            assert closed.rcvd


def head(length: int) -> bytes:
    return (
        b"POST /v1/messages HTTP/1.1\r\nHost: api.anthropic.com\r\nx-api-key: k\r\n"
        b"Content-Type: application/json\r\nContent-Length: " + str(length).encode() + b"\r\n\r\n"
    )


def provider_socket(house: House) -> ssl.SSLSocket:
    raw = tunnel(house.detour.proxy, "api.anthropic.com:443")
    tls = house.detour.tls().wrap_socket(raw, server_hostname="api.anthropic.com")
    tls.settimeout(TIMEOUT)
    return tls


def read_all(sock: socket.socket) -> bytes:
    """Until the other side closes, or is silent for a second after it has said something."""
    data = b""
    try:
        while more := sock.recv(1 << 16):
            data += more
            sock.settimeout(1)
    except (TimeoutError, ConnectionError, ssl.SSLError):
        pass
    return data


@pytest.mark.parametrize(
    "rubbish",
    [b"\x00\x01\x02\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"A" * 70_000, b"CONNECT nowhere HTTP/1.1\r\n\r\n"],
    ids=["bytes", "version", "no-line-end", "no-port"],
)
def test_rubbish_on_the_proxy_port(house: House, rubbish: bytes) -> None:
    with socket.create_connection(address(house.detour.proxy), timeout=5) as sock:
        sock.sendall(rubbish)
        answer = read_all(sock)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
        with house.detour.client() as client:
            assert client.get("https://api.anthropic.com/v1/models").status_code == 200
