"""Devices behind the box's WireGuard tunnel, which they enter with wireguard-go and the real wg-quick."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection

from tests.e2e.wire import fresh_model
from tests.gateway.conftest import HOST, KEYS, Box, until
from tests.gateway.network import GATEWAY, NAMES, ORIGIN, PLAIN, PROVIDER
from tests.gateway.test_transparent import asked

OWN = ("10.87.0.1", "fd87:de70:a1::1")
"""Detour's addresses in the tunnel."""
LINK_LOCAL = "169.254.169.254"


@dataclass(frozen=True, slots=True)
class Device:
    box: Box
    machine: str
    name: str
    configuration: str

    def curl(self, *args: str) -> subprocess.CompletedProcess:
        return self.box.curl(*args, machine=self.machine)


def detour(box: Box, *command: str) -> subprocess.CompletedProcess:
    done = box.gateway("peer", *command)
    assert done.returncode == 0, done.stderr
    return done


def said(box: Box, words: str) -> None:
    until(lambda: words in box.detour.log.read_text(), words)


@contextmanager
def device(box: Box, machine: str, name: str, *options: str) -> Iterator[Device]:
    """`machine` with the tunnel up, as its user would bring it up with the configuration that was printed."""
    text = detour(box, "add", name, "--endpoint", GATEWAY[0], *options).stdout
    said(box, f"new: {name}")
    file = box.detour.folder / f"d{os.getpid() % 10_000}{name[:3]}.conf"  # its name is the interface's
    # Nothing here has a resolver to be told of another server.
    file.write_text(re.sub(r"^DNS = .*\n", "", text, flags=re.MULTILINE))
    file.chmod(0o600)
    env = {**os.environ, "WG_QUICK_USERSPACE_IMPLEMENTATION": "wireguard-go"}
    box.network.run(machine, "wg-quick", "up", str(file), env=env)
    try:
        yield Device(box, machine, name, text)
    finally:
        box.network.run(machine, "wg-quick", "down", str(file), env=env)


@pytest.fixture(scope="module", autouse=True)
def programs() -> None:
    for program in ("wg-quick", "wireguard-go"):
        if shutil.which(program) is None:
            pytest.skip(f"needs the program {program}")
    if not Path("/dev/net/tun").exists():
        pytest.skip("needs /dev/net/tun")


@pytest.fixture(scope="module")
def laptop(box: Box, programs: None) -> Iterator[Device]:
    """From outside the box's network, with only providers in the tunnel."""
    with device(box, "plain", "laptop") as found:
        yield found


@pytest.fixture(scope="module")
def phone(box: Box, laptop: Device) -> Iterator[Device]:
    """From the box's network, with everything in the tunnel."""
    with device(box, "client", "phone", "--all-traffic") as found:
        yield found


@pytest.mark.parametrize("version", ["-4", "-6"])
def test_each_devices_requests_are_routed_under_its_name(
    box: Box, laptop: Device, phone: Device, version: str
) -> None:
    for one in (laptop, phone):
        model = fresh_model()
        answer = one.curl(version, *asked(model))
        assert answer.returncode == 0, answer.stderr
        assert json.loads(answer.stdout)["content"][0]["text"] == box.provider.text
        (seen,) = [r for r in box.provider.record.requests if r.model == model]
        assert seen.key == KEYS["KEY_FIRST"]
        assert client_of(box, model) == one.name


def client_of(box: Box, model: str) -> str:
    """By which name the exchange about `model` is known."""
    token = (box.detour.folder / "data" / "admin-token").read_text().strip()
    with box.network.inside("gateway"), httpx.Client(trust_env=False) as http:
        answer = http.get(
            f"http://{box.detour.admin}/api/v1/exchanges", headers={"authorization": f"Bearer {token}"}
        )
    (exchange,) = [e for e in answer.json()["finished"] if e["asked"] == model]
    return exchange["client"]


def test_only_providers_go_through_the_tunnel_unless_everything_is_asked_for(
    laptop: Device, phone: Device
) -> None:
    allowed = re.search(r"^AllowedIPs = (.*)$", laptop.configuration, re.MULTILINE)
    assert allowed
    assert set(allowed[1].split(", ")) == {
        *(f"{a}/{128 if ':' in a else 32}" for a in (*OWN, *PROVIDER)),
    }
    assert "DNS" not in laptop.configuration
    assert "AllowedIPs = 0.0.0.0/0, ::/0\n" in phone.configuration
    assert f"DNS = {', '.join(OWN)}\n" in phone.configuration


@pytest.mark.parametrize("version", ["-4", "-6"])
def test_other_hosts_pass_with_their_own_certificate(box: Box, phone: Device, version: str) -> None:
    before = box.counted("tunnelled")
    answer = phone.curl("-v", version, "--cacert", str(box.fakes_ca), "https://origin.test/nothing")
    assert "issuer: CN=Detour fake providers" in answer.stderr
    assert box.counted("tunnelled") == before + 1


def test_what_is_no_tls_passes_as_it_is(box: Box, phone: Device) -> None:
    with (
        box.network.listen("plain", PLAIN, 22) as server,
        box.network.connect("client", PLAIN, 22) as client,
    ):
        server.settimeout(30)
        peer, _ = server.accept()
        with peer:
            peer.sendall(b"SSH-2.0-server\r\n")  # it speaks first
            client.settimeout(30)
            assert client.recv(100) == b"SSH-2.0-server\r\n"
            client.sendall(b"SSH-2.0-client\r\n")
            peer.settimeout(30)
            assert peer.recv(100) == b"SSH-2.0-client\r\n"


def ask_dns(box: Box, server: str, name: str, kind: int) -> bytes:
    """The answer of `server` to a question of the phone."""
    labels = b"".join(len(part).to_bytes() + part.encode() for part in name.split("."))
    question = (
        b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + labels + b"\0" + kind.to_bytes(2) + b"\0\1"
    )
    with box.network.inside("client"):
        client = socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM)
    with client:
        client.settimeout(30)
        client.sendto(question, (server, 53))
        return client.recv(4096)


@pytest.mark.parametrize("server", OWN)
def test_dns_is_answered_in_the_tunnel(box: Box, phone: Device, server: str) -> None:
    for kind, family, address in ((1, socket.AF_INET, ORIGIN[0]), (28, socket.AF_INET6, ORIGIN[1])):
        assert socket.inet_pton(family, address) in ask_dns(box, server, "origin.test", kind)
    assert socket.inet_aton(OWN[0]) in ask_dns(box, server, "mitm.it", 1)
    # Whoever asks how to reach a provider by QUIC, or with a hidden name, is told that there is nothing.
    assert ask_dns(box, server, HOST, 65)[3:12] == b"\x80\0\1\0\0\0\0\0\0"


def test_dns_of_another_server_passes(box: Box, phone: Device) -> None:
    assert socket.inet_aton(NAMES["origin.test"][0]) in ask_dns(box, ORIGIN[0], "origin.test", 1)


def test_the_certificate_is_handed_out_in_the_tunnel(box: Box, laptop: Device, phone: Device) -> None:
    for one in (laptop, phone):
        assert one.curl(f"http://{OWN[0]}/ca.pem").stdout == box.detour.ca_file.read_text()
    resolved = phone.curl("--resolve", f"mitm.it:80:{OWN[0]}", "http://mitm.it/ca.pem")
    assert resolved.stdout == box.detour.ca_file.read_text()


def quic_hello(host: str) -> list[bytes]:
    """The datagrams with which a QUIC client begins."""
    client = QuicConnection(configuration=QuicConfiguration(server_name=host, alpn_protocols=["h3"]))
    client.connect(("192.0.2.1", 443), now=0.0)
    return [data for data, _ in client.datagrams_to_send(now=0.0)]


def test_quic_to_providers_is_dropped_and_other_quic_passes(box: Box, phone: Device) -> None:
    before = box.counted("quic")
    with box.network.inside("origin"):
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind((ORIGIN[0], 443))
    with box.network.inside("client"):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with server, client:
        server.settimeout(30)
        for datagram in quic_hello(HOST):
            client.sendto(datagram, (ORIGIN[0], 443))
        until(lambda: box.counted("quic") == before + 1, "the drop")
        with box.network.inside("client"):
            other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with other:
            sent = quic_hello("origin.test")
            for datagram in sent:
                other.sendto(datagram, (ORIGIN[0], 443))
            received, peer = server.recvfrom(4096)
            # The first that comes is of the other host: nothing of the provider's went on.
            assert received == sent[0]
            server.sendto(b"an answer", peer)
            other.settimeout(30)
            assert other.recv(4096) == b"an answer"


def test_a_device_does_not_reach_what_is_only_for_the_box_itself(box: Box, phone: Device) -> None:
    before = box.counted("refused")
    answer = phone.curl("--max-time", "10", f"http://{LINK_LOCAL}/latest/meta-data")
    assert answer.returncode != 0
    assert box.counted("refused") > before


def test_a_device_that_is_removed_stays_out_and_the_others_come_back(
    box: Box, laptop: Device, phone: Device
) -> None:
    with device(box, "origin", "tablet") as tablet:
        assert tablet.curl(*asked(fresh_model())).returncode == 0
        listed = json.loads(detour(box, "list", "--json").stdout)["peers"]
        assert [peer["name"] for peer in listed] == ["laptop", "phone", "tablet"]
        assert [peer["traffic"] for peer in listed] == ["providers", "all", "providers"]

        detour(box, "remove", "tablet")
        said(box, "gone: tablet")

        assert tablet.curl("--max-time", "5", *asked(fresh_model())).returncode != 0
        until(
            lambda: phone.curl("--max-time", "20", *asked(fresh_model())).returncode == 0,
            "the phone's return",
        )
        until(
            lambda: laptop.curl("--max-time", "20", *asked(fresh_model())).returncode == 0,
            "the laptop's return",
        )


def test_the_keys_are_for_their_owner_alone_and_in_no_log(box: Box, laptop: Device) -> None:
    folder = box.detour.folder / "data" / "wireguard"
    assert {oct(file.stat().st_mode & 0o777) for file in folder.glob("[!.]*")} == {"0o600"}
    key = re.search(r"PrivateKey = (\S+)", laptop.configuration)
    assert key
    assert key[1] not in box.detour.log.read_text()
    shown = detour(box, "show", "laptop").stdout
    assert shown == laptop.configuration
