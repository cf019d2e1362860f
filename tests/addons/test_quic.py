"""The host in a QUIC client's first datagrams, made by aioquic."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection

from addons.quic import client_hello


def first_datagrams(host: str, protocols: int = 1) -> list[bytes]:
    """`protocols` ALPN names of 200 bytes each make the ClientHello need more of them."""
    names = ["h3", *(f"{number:0200}" for number in range(protocols - 1))]
    client = QuicConnection(configuration=QuicConfiguration(server_name=host, alpn_protocols=names))
    client.connect(("192.0.2.1", 443), now=0.0)
    return [data for data, _ in client.datagrams_to_send(now=0.0)]


def test_the_host_is_read():
    hello = client_hello(first_datagrams("api.anthropic.com"))

    assert hello
    assert hello.sni == "api.anthropic.com"


def test_a_hello_of_several_datagrams_is_waited_for():
    datagrams = first_datagrams("api.anthropic.com", protocols=12)
    assert len(datagrams) > 1

    assert client_hello(datagrams[:1]) is None
    for order in (datagrams, datagrams[::-1]):
        hello = client_hello(order)
        assert hello
        assert hello.sni == "api.anthropic.com"


def spoilt() -> bytes:
    (datagram,) = first_datagrams("api.anthropic.com")
    return datagram[:60] + bytes([datagram[60] ^ 1]) + datagram[61:]


@pytest.mark.parametrize(
    "datagram",
    [b"", b"\x00", b"a game's packet", b"\xc0\0\0\0\1" + bytes(1195), b"\x40" + bytes(40), spoilt()],
)
def test_anything_else_is_a_value_error(datagram):
    with pytest.raises(ValueError):
        client_hello([datagram])


def test_it_needs_no_assert():
    """Detour runs as ``python -O``."""
    program = "from tests.addons.test_quic import *; print(client_hello(first_datagrams('a.test')).sni)"
    root = Path(__file__).parents[2]
    shown = subprocess.run([sys.executable, "-O", "-c", program], cwd=root, capture_output=True, text=True)
    assert shown.stdout == "a.test\n", shown.stderr
