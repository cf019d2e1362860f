"""What is decrypted and what is not, and what happens on a decrypted host to paths that are no surface."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator

import httpx
import pytest
from websockets.sync.client import connect

from detour.fakes import FakeUpstream, Fault
from detour.fakes.steps import Reply
from tests.clients import for_threads
from tests.e2e.conftest import House, Start
from tests.e2e.wire import SHAPES, address, fresh_model, tunnel
from tests.upstream import FakeThread

FORMATS = tuple(SHAPES)


@pytest.fixture(params=[False, True], ids=["h1", "h2"])
def client(request: pytest.FixtureRequest, house: House) -> Iterator[httpx.Client]:
    with house.detour.client(http2=request.param) as client:
        yield client


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("format", FORMATS)
def test_a_request_gets_the_configured_credential(
    house: House, client: httpx.Client, format: str, stream: bool
) -> None:
    fake = house.fake(format)
    model = fresh_model()
    path, headers, body = SHAPES[format].request(model, stream=stream, key="the-clients-own-key")
    content = json.dumps(body, indent=1).encode()
    headers |= {"content-type": "application/json", "x-custom": "kept", "cookie": "session=theirs"}
    answer = client.post(f"https://{house.host(format)}{path}", headers=headers, content=content)
    assert answer.status_code == 200
    assert "Hello " in answer.text
    assert answer.headers["x-detour-id"]

    (seen,) = [r for r in fake.record.requests if r.model == model]
    assert seen.key == f"secret-{format.partition('-')[0]}"
    assert seen.target == path
    if format == "openai-chat" and stream:
        # The one thing that is added: an OpenAI stream tells its usage only when it is asked to.
        body["stream_options"] = {"include_usage": True}
        assert seen.document == body
        assert seen.body.startswith(content.rstrip(b"\n}"))
    else:
        assert seen.body == content
    assert seen.header("x-custom") == "kept"
    assert seen.authority == f"localhost:{fake.port}"
    assert seen.connection.sni == "localhost"
    assert "the-clients-own-key" not in repr(seen.headers)
    assert seen.header("cookie") is None
    assert not any(name.lower().startswith(("x-detour", "proxy-")) for name, _ in seen.headers)


def test_every_place_of_a_client_credential_is_emptied(house: House, client: httpx.Client) -> None:
    headers = {
        "authorization": "Bearer leak-1",
        "x-api-key": "leak-2",
        "x-goog-api-key": "leak-3",
        "api-key": "leak-4",
    }
    model = fresh_model()
    path, _, body = SHAPES["gemini"].request(model)
    answer = client.post(
        f"https://{house.host('gemini')}{path}?key=leak-5&alt=json", headers=headers, json=body
    )
    assert answer.status_code == 200
    (seen,) = [r for r in house.gemini.record.requests if r.model == model]
    assert seen.key == "secret-gemini"
    assert "leak" not in seen.target + repr(seen.headers)
    assert "alt=json" in seen.target


def test_a_host_that_is_no_providers_keeps_its_own_certificate(house: House, fakes: FakeThread) -> None:
    origin = fakes.start("origin", host_names=["origin.test", "127.0.0.1"])
    for sni in ("origin.test", "127.0.0.1"):
        raw = tunnel(house.detour.proxy, f"127.0.0.1:{origin.port}")
        with fakes.ca.client_context().wrap_socket(raw, server_hostname=sni) as tls:
            certificate = tls.getpeercert()
            assert certificate
            assert certificate["issuer"] == ((("commonName", "Detour fake providers"),),)
            tls.sendall(b"GET /v1/nothing HTTP/1.1\r\nHost: origin.test\r\n\r\n")
            assert tls.recv(1 << 16).startswith(b"HTTP/1.1 404")


@pytest.mark.parametrize(
    "name", ["eu.api.anthropic.com", "xapi.anthropic.com", "api.anthropic.com.test", "anthropic.com"]
)
def test_only_exact_hosts_are_decrypted(house: House, fakes: FakeThread, name: str) -> None:
    origin = fakes.start(name, host_names=[name])
    raw = tunnel(house.detour.proxy, f"127.0.0.1:{origin.port}")
    with fakes.ca.client_context().wrap_socket(raw, server_hostname=name) as tls:
        assert tls.version()
    assert origin.record.wait_for(lambda r: bool(r.connections) and r.connections[0].sni == name)
    fakes.stop(origin)


def test_a_decrypted_host_shows_detours_certificate(house: House) -> None:
    raw = tunnel(house.detour.proxy, "api.anthropic.com:443")
    with house.detour.tls().wrap_socket(raw, server_hostname="api.anthropic.com") as tls:
        assert tls.version()


def test_bytes_that_are_no_tls_pass_a_tunnel(house: House) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        raw = tunnel(house.detour.proxy, f"127.0.0.1:{server.getsockname()[1]}")
        raw.sendall(b"\x00SSH-ish greeting\r\n")
        server.settimeout(10)
        peer, _ = server.accept()
        with peer, raw:
            peer.settimeout(10)
            assert peer.recv(100) == b"\x00SSH-ish greeting\r\n"
            peer.sendall(b"welcome")
            raw.settimeout(10)
            assert raw.recv(100) == b"welcome"


def test_other_paths_pass_to_their_own_host_unchanged(house: House, client: httpx.Client) -> None:
    page = Reply(200, (("Content-Type", "text/plain"), ("X-Own", "yes")), (b"their ", b"settings"))
    house.own.pages["POST", "/api/settings"] = page
    headers = {"authorization": "Bearer clients-own", "cookie": "session=1", "x-api-key": "clients-own-too"}
    content = b"{not json \xff"
    answer = client.post(
        f"https://localhost:{house.own.port}/api/settings?a=1&key=k", headers=headers, content=content
    )
    assert (answer.status_code, answer.content) == (200, b"their settings")
    assert answer.headers["x-own"] == "yes"
    assert not any(name.startswith("x-detour") for name in answer.headers)
    seen = house.own.record.requests[-1]
    assert (seen.method, seen.target, seen.body) == ("POST", "/api/settings?a=1&key=k", content)
    for name, value in headers.items():
        assert seen.header(name) == value
    assert seen.authority == f"localhost:{house.own.port}"


def test_a_long_passthrough_body_streams_both_ways(house: House, client: httpx.Client) -> None:
    house.own.pages["POST", "/api/upload"] = Reply(200, (), (b"x" * 5_000_000,), framing="chunked")
    body = b"y" * 5_000_000
    answer = client.post(f"https://localhost:{house.own.port}/api/upload", content=body)
    assert (answer.status_code, len(answer.content)) == (200, 5_000_000)
    assert house.own.record.requests[-1].body == body


def test_without_a_credential_the_clients_own_goes_to_its_own_host(
    house: House, client: httpx.Client
) -> None:
    model = fresh_model()
    path, headers, body = SHAPES["anthropic"].request(model, stream=True, key="clients-own-key")
    answer = client.post(f"https://localhost:{house.own.port}{path}", headers=headers, json=body)
    assert answer.status_code == 200
    assert "message_stop" in answer.text
    (seen,) = [r for r in house.own.record.requests if r.model == model]
    assert (seen.key, seen.header("x-api-key")) == ("clients-own-key", "clients-own-key")


def test_unconfigured_may_be_rejected(start: Start, house: House) -> None:
    own = {
        "format": "anthropic",
        "hosts": ["localhost"],
        "base_url": house.own.base_url("anthropic"),
    }
    detour = start(providers={"own": own}, routing={"unconfigured": "reject"})
    path, headers, body = SHAPES["anthropic"].request("rejected", key="clients-own-key")
    with detour.client() as client:
        answer = client.post(f"https://localhost:{house.own.port}{path}", headers=headers, json=body)
    assert (answer.status_code, answer.headers["x-detour-error"]) == (503, "no_credential")
    assert answer.json()["type"] == "error"
    assert "clients-own-key" not in answer.text
    assert not [r for r in house.own.record.requests if r.model == "rejected"]


def test_a_disabled_provider_answers_every_path(start: Start, house: House) -> None:
    own = {
        "format": "anthropic",
        "hosts": ["localhost"],
        "base_url": house.own.base_url("anthropic"),
        "enabled": False,
    }
    detour = start(providers={"own": own})
    before = len(house.own.record.requests)
    with detour.client() as client:
        for path in ("/v1/messages", "/api/telemetry"):
            answer = client.post(f"https://localhost:{house.own.port}{path}", json={})
            assert (answer.status_code, answer.headers["x-detour-error"]) == (503, "provider_disabled")
    assert len(house.own.record.requests) == before


def test_plain_absolute_form(house: House, fakes: FakeThread) -> None:
    """A proxy is also asked for http:// addresses, without CONNECT."""
    plain = fakes.start("plain", tls=False)
    plain.pages["GET", "/page"] = Reply(200, (), (b"plain",))
    with house.detour.client() as client:
        answer = client.get(f"http://127.0.0.1:{plain.port}/page", headers={"x-api-key": "mine"})
    assert (answer.status_code, answer.content) == (200, b"plain")
    assert plain.record.requests[-1].target == "/page"
    assert plain.record.requests[-1].header("x-api-key") == "mine"


def test_plain_absolute_form_of_a_provider_host_is_routed(house: House) -> None:
    """``http://api.anthropic.com/...`` would carry the client's key in the clear; it gets the upstream's TLS."""
    path, headers, body = SHAPES["anthropic"].request("absolute", key="clients-own-key")
    with house.detour.client() as client:
        answer = client.post(f"http://api.anthropic.com{path}", headers=headers, json=body)
    assert answer.status_code == 200
    (seen,) = [r for r in house.anthropic.record.requests if r.model == "absolute"]
    assert seen.key == "secret-anthropic"


def test_an_upstream_with_a_wrong_certificate_gets_nothing(house: House, fakes: FakeThread) -> None:
    """Passthrough verifies too: the client cannot see the origin's certificate, so Detour has to."""
    wrong = fakes.start("wrong", listener="wrong_certificate")
    with house.detour.client() as client:
        answer = client.get(f"https://localhost:{wrong.port}/api/settings", headers={"x-api-key": "mine"})
    assert answer.status_code == 502
    assert not wrong.record.requests


def test_streams_arrive_as_they_happen(house: House, client: httpx.Client) -> None:
    model = fresh_model()
    house.anthropic.script.add(Fault.gate(model, after=2), model=model)
    path, headers, body = SHAPES["anthropic"].request(model, stream=True)
    with client.stream("POST", f"https://api.anthropic.com{path}", headers=headers, json=body) as answer:
        parts = answer.iter_raw()
        seen = b""
        while b'"from "' not in seen:
            seen += next(parts)
        assert seen.count(b"event: ping") == 1
        house.anthropic.open(model)
        seen += b"".join(parts)
    assert seen.endswith(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')


def test_a_websocket_gets_the_configured_credential(house: House) -> None:
    with connect(
        "wss://api.openai.com/v1/responses",
        ssl=for_threads(house.detour.tls()),
        proxy=house.detour.proxy_url,
        additional_headers={"Authorization": "Bearer clients-own-key"},
    ) as websocket:
        websocket.send(json.dumps({"type": "response.create", "model": "over-ws", "input": "hello"}))
        events = [json.loads(websocket.recv(timeout=60))]
        while events[-1]["type"] != "response.completed":
            events.append(json.loads(websocket.recv(timeout=60)))
    assert "".join(e["delta"] for e in events if "delta" in e) == house.openai.text
    (seen,) = [r for r in house.openai.record.requests if r.model == "over-ws"]
    assert (seen.protocol, seen.key) == ("websocket", "secret-openai")
    assert "clients-own-key" not in repr(seen.headers)


def test_sni_decides_not_the_host_header(house: House, fakes: FakeThread) -> None:
    """A tunnel to a stranger cannot be turned into a provider's by what is said inside it."""
    origin = fakes.start("stranger", host_names=["stranger.test"])
    raw = tunnel(house.detour.proxy, f"127.0.0.1:{origin.port}")
    with fakes.ca.client_context().wrap_socket(raw, server_hostname="stranger.test") as tls:
        tls.sendall(b"GET /v1/models HTTP/1.1\r\nHost: api.anthropic.com\r\nanthropic-version: 1\r\n\r\n")
        tls.settimeout(10)
        assert b"401" in tls.recv(1 << 16)
    assert origin.record.requests[-1].key is None


def test_no_proxy_loop(house: House) -> None:
    """Detour asked to proxy to itself answers or closes; it does not hang."""
    with pytest.raises((httpx.HTTPError, ssl.SSLError)), house.detour.client(timeout=10) as client:
        client.get(f"http://{house.detour.proxy}/healthz").raise_for_status()


def test_a_refused_origin_is_said(house: House, fakes: FakeThread) -> None:
    closed: FakeUpstream = fakes.start("closed", listener="refuse")
    with socket.create_connection(address(house.detour.proxy), timeout=10) as sock:
        sock.sendall(f"GET http://127.0.0.1:{closed.port}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert sock.recv(100).startswith(b"HTTP/1.1 502")
