"""What clients behind the box see: providers through Detour, everything else as if there were no box."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Final

import pytest

from detour.fakes import Fault
from detour.gateway.ruleset import REMOVAL
from tests.e2e.wire import SHAPES, fresh_model
from tests.gateway.conftest import HOST, KEYS, PORT, Box
from tests.gateway.hello import client_hello
from tests.gateway.network import GATEWAY, ORIGIN, OUTSIDER, PLAIN, PROVIDER, TIMEOUT

SERVER_HELLO: Final = b"\x16\x02"
"""A record's type, and that of the message in it."""

VERSIONS: Final = pytest.mark.parametrize("version", ["-4", "-6"])


def asked(model: str, *, stream: bool = False) -> list[str]:
    """curl's arguments for a request to the provider."""
    path, headers, body = SHAPES["anthropic"].request(model, stream=stream, key="the-clients-own-key")
    args = [f"https://{HOST}{path}", "--json", json.dumps(body)]
    for name, value in headers.items():
        args += ["-H", f"{name}: {value}"]
    return args


@VERSIONS
def test_a_client_without_any_setting_reaches_the_provider_with_the_credential_swapped(
    box: Box, version: str
) -> None:
    model = fresh_model()
    answer = box.curl(version, "-v", *asked(model))
    assert json.loads(answer.stdout)["content"][0]["text"] == box.provider.text
    assert "HTTP/2 200" in answer.stderr
    assert "issuer: CN=Detour" in answer.stderr
    (seen,) = [r for r in box.provider.record.requests if r.model == model]
    assert seen.key == KEYS["KEY_FIRST"]
    assert "the-clients-own-key" not in repr(seen.headers)
    assert seen.connection.sni == HOST


def test_the_box_itself_is_a_client_too(box: Box) -> None:
    model = fresh_model()
    for version in ("-4", "-6"):
        answer = box.curl(version, *asked(model), machine="gateway")
        assert answer.returncode == 0, answer.stderr
    assert [r.key for r in box.provider.record.requests if r.model == model] == [KEYS["KEY_FIRST"]] * 2


@VERSIONS
def test_a_stream_arrives_as_it_happens(box: Box, version: str) -> None:
    model = fresh_model()
    box.provider.script.add(Fault.gate(model), model=model)
    command = ["curl", "-sN", version, "--noproxy", "*", "--cacert", str(box.detour.ca_file)]
    curl = subprocess.Popen(
        [*box.network.within("client"), *command, *asked(model, stream=True)], stdout=subprocess.PIPE
    )
    with curl:
        assert curl.stdout
        begun = b""
        while b"content_block_delta" not in begun:
            begun += curl.stdout.read1()
        (seen,) = [r for r in box.provider.record.requests if r.model == model]
        assert seen.state == "answering"
        box.provider.open(model)
        assert b"message_stop" in curl.stdout.read()
    assert curl.returncode == 0


def test_a_failover_is_not_seen(box: Box) -> None:
    model = fresh_model()
    box.provider.script.add(Fault.status(529), key=KEYS["KEY_FIRST"], model=model)
    answer = box.curl("-w", "%{http_code}", *asked(model, stream=True))
    assert answer.stdout.endswith("200")
    assert "message_stop" in answer.stdout
    assert [r.key for r in box.provider.record.requests if r.model == model] == list(KEYS.values())


PROGRAM: Final = """
import json, sys, httpx
path, headers, body = json.load(sys.stdin)
answer = httpx.post(path, headers=headers, json=body, timeout=60)
print(answer.status_code, answer.text)
"""


def test_a_python_program_reaches_it_too(box: Box) -> None:
    model = fresh_model()
    path, headers, body = SHAPES["anthropic"].request(model)
    env = {**box.detour.env, "SSL_CERT_FILE": str(box.detour.ca_file)}
    said = box.network.run(
        *("client", sys.executable, "-c", PROGRAM),
        input=json.dumps([f"https://{HOST}{path}", headers, body]),
        env=env,
    )
    assert said.stdout.startswith("200")
    assert box.provider.text in said.stdout


@VERSIONS
def test_another_host_is_untouched_and_never_enters_detour(box: Box, version: str) -> None:
    before = {name: box.counted(name) for name in ("decrypted", "tunnelled", "opaque")}
    answer = box.curl(version, "-v", "--cacert", str(box.fakes_ca), "https://origin.test/", "-o", "/dev/null")
    assert "issuer: CN=Detour fake providers" in answer.stderr
    assert {name: box.counted(name) for name in before} == before


@VERSIONS
def test_another_host_at_the_providers_address_is_tunnelled(box: Box, version: str) -> None:
    before = box.counted("tunnelled")
    answer = box.curl(version, "-v", "--cacert", str(box.fakes_ca), "https://beside.test/", "-o", "/dev/null")
    assert "issuer: CN=Detour fake providers" in answer.stderr
    assert box.counted("tunnelled") == before + 1


@pytest.mark.parametrize("address", PROVIDER)
def test_tls_without_a_name_is_tunnelled(box: Box, address: str) -> None:
    before = box.counted("unnamed")
    with box.network.connect("client", address, 443) as sock:
        sock.sendall(client_hello(None))
        assert sock.recv(9)[:6:5] == SERVER_HELLO
    assert box.counted("unnamed") == before + 1


@pytest.mark.parametrize("address", PROVIDER)
def test_an_encrypted_name_is_tunnelled(box: Box, address: str) -> None:
    before = box.counted("ech")
    with box.network.connect("client", address, 443) as sock:
        sock.sendall(client_hello("public-name.test", ech=True))
        assert sock.recv(9)[:6:5] == SERVER_HELLO
    assert box.counted("ech") == before + 1


def test_a_random_ech_extension_beside_the_providers_name_hides_nothing(box: Box) -> None:
    before = box.counted("decrypted")
    with box.network.connect("client", PROVIDER[0], 443) as sock:
        # In pieces, as networks may deliver it.
        hello = client_hello(HOST, ech=True)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in (hello[:1], hello[1:200], hello[200:]):
            sock.sendall(piece)
            time.sleep(0.02)
        assert sock.recv(9)[:6:5] == SERVER_HELLO
    assert box.counted("decrypted") == before + 1


@pytest.fixture
def plain(box: Box) -> Iterator[socket.socket]:
    """A server at a redirected address that speaks no TLS."""
    element = f"element inet detour providers4 {{ {PLAIN} }}"
    box.network.run("gateway", "nft", "add", element)
    with box.network.listen("plain", PLAIN, 443) as server:
        server.settimeout(TIMEOUT)
        yield server
    box.network.run("gateway", "nft", "delete", element)


@pytest.mark.parametrize(
    "first", [b"SSH-2.0-client\r\n", b"GET / HTTP/1.1\r\nHost: api.anthropic.com\r\n\r\n"]
)
def test_what_is_no_tls_is_tunnelled(box: Box, plain: socket.socket, first: bytes) -> None:
    before = box.counted("opaque")
    with box.network.connect("client", PLAIN, 443) as client:
        client.sendall(first)
        with plain.accept()[0] as server:
            server.settimeout(TIMEOUT)
            assert server.recv(4096) == first
            server.sendall(b"welcome")
            assert client.recv(4096) == b"welcome"
            client.shutdown(socket.SHUT_WR)
            assert server.recv(4096) == b""
    assert box.counted("opaque") == before + 1


def test_a_server_may_speak_first(box: Box, plain: socket.socket) -> None:
    with box.network.connect("client", PLAIN, 443) as client, plain.accept()[0] as server:
        server.sendall(b"220 at your service\r\n")
        assert client.recv(4096) == b"220 at your service\r\n"


def test_what_only_begins_like_tls_is_tunnelled(box: Box, plain: socket.socket) -> None:
    first = b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\xff"
    with box.network.connect("client", PLAIN, 443) as client:
        client.sendall(first)
        with plain.accept()[0] as server:
            server.settimeout(TIMEOUT)
            assert server.recv(4096) == first


def test_a_host_header_that_lies_gets_no_credential(box: Box) -> None:
    model = fresh_model()
    box.curl("-H", "Host: api.openai.com", *asked(model))
    (seen,) = [r for r in box.provider.record.requests if r.model == model]
    assert seen.key == "the-clients-own-key"
    assert seen.authority == "api.openai.com"


def test_a_host_header_of_a_provider_on_another_connection_gets_none_either(box: Box) -> None:
    model = fresh_model()
    url = f"https://beside.test{SHAPES['anthropic'].path}"
    box.curl(*asked(model)[1:], "--cacert", str(box.fakes_ca), "-H", f"Host: {HOST}", url)
    (seen,) = [r for r in box.provider.record.requests if r.model == model]
    assert seen.key == "the-clients-own-key"


@pytest.mark.parametrize("address", GATEWAY)
def test_a_connection_to_the_listener_itself_is_cut(box: Box, address: str) -> None:
    before = box.counted("looped")
    with box.network.connect("client", address, PORT) as sock:
        assert is_cut(sock)
    assert box.counted("looped") == before + 1


def test_detours_own_connection_is_not_led_in_a_circle(box: Box) -> None:
    """A table that was written by hand, and leaves nobody out."""
    rules = box.network.run("gateway", "nft", "list", "table", "inet", "detour").stdout
    before = box.counted("looped")
    box.network.run("gateway", "nft", "flush", "chain", "inet", "detour", "output")
    for matched in ("ip daddr @providers4", "ip6 daddr @providers6"):
        rule = f"{matched} tcp dport 443 redirect to :{PORT}"
        box.network.run("gateway", "nft", "add", "rule", "inet", "detour", "output", rule)
    try:
        answer = box.curl("-4", "-w", "%{http_code}", *asked(fresh_model()))
        assert answer.stdout.endswith("502")
        assert box.counted("looped") > before
    finally:
        box.network.run("gateway", "nft", "-f", "-", input=REMOVAL + rules)


def test_clients_from_elsewhere_are_left_alone_and_cut_at_the_listener(box: Box) -> None:
    with (
        box.network.connect("client", PROVIDER[0], 443, OUTSIDER) as sock,
        ssl.create_default_context(cafile=str(box.fakes_ca)).wrap_socket(sock, server_hostname=HOST) as tls,
    ):
        assert tls.getpeercert()
    before = box.counted("refused")
    with box.network.connect("client", "172.31.77.1", PORT, OUTSIDER) as sock:
        assert is_cut(sock)
    assert box.counted("refused") == before + 1
    deadline = time.monotonic() + 30
    while f"{OUTSIDER} is cut off" not in box.detour.log.read_text():  # written by a thread of its own
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("number", [0, 1], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("machine", ["client", "gateway"])
def test_quic_is_rejected_at_once_and_only_that_of_providers(box: Box, machine: str, number: int) -> None:
    family = (socket.AF_INET, socket.AF_INET6)[number]
    with box.network.inside(machine):
        away, other = (socket.socket(family, socket.SOCK_DGRAM) for _ in range(2))
    with box.network.inside("origin"):
        server = socket.socket(family, socket.SOCK_DGRAM)
    with away, other, server:
        away.settimeout(TIMEOUT)
        away.connect((PROVIDER[number], 443))
        # The answer to the first packet comes with the next call; on the machine itself with this one.
        with pytest.raises((ConnectionRefusedError, PermissionError)):
            away.send(b"quic")
            away.recv(1)
        server.bind((ORIGIN[number], 443))
        server.settimeout(TIMEOUT)
        other.sendto(b"quic", (ORIGIN[number], 443))
        assert server.recv(16) == b"quic"


def is_cut(sock: socket.socket) -> bool:
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True
