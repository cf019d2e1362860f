"""What a redirected connection is, by its first bytes."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given, strategies as st

from addons.transparent import MAX_HELLO, looks_like_tls, original_destination
from tests.gateway.hello import client_hello

HELLO = client_hello("api.anthropic.com")


def test_a_whole_hello_is_tls() -> None:
    assert looks_like_tls(HELLO) is True
    assert looks_like_tls(HELLO + b"\x17\x03\x03early data") is True
    assert looks_like_tls(client_hello(None)) is True
    assert looks_like_tls(client_hello("public.test", ech=True)) is True


@given(st.integers(1, len(HELLO) - 1))
def test_a_part_of_a_hello_may_become_one(size: int) -> None:
    assert looks_like_tls(HELLO[:size]) is None


def test_a_hello_in_many_records_is_tls() -> None:
    message, pieces = HELLO[5:], b""
    for at in range(0, len(message), 100):
        piece = message[at : at + 100]
        pieces += HELLO[:3] + len(piece).to_bytes(2) + piece
    assert looks_like_tls(pieces) is True
    assert looks_like_tls(pieces[:-1]) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"G",
        b"\x16G",
        b"GET / HTTP/1.1\r\n",
        b"SSH-2.0-OpenSSH\r\n",
        b"\x16\x03\x09" + HELLO[3:],
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00",
        HELLO[:5] + b"\x01\x00\x00\x01\xff" + HELLO[10:],
        b"\x16\x03\x01\x40\x00\x01\xff\xff\xff" + b"\0" * MAX_HELLO,
    ],
)
def test_anything_else_is_not(data: bytes) -> None:
    assert looks_like_tls(data) is False


@given(st.binary(max_size=600), st.integers(0, len(HELLO)))
def test_it_never_fails(noise: bytes, at: int) -> None:
    assert looks_like_tls(noise) in (True, False, None)
    assert looks_like_tls(HELLO[:at] + noise + HELLO[at:]) in (True, False, None)


def test_a_connection_that_nobody_redirected_goes_to_the_listener_itself() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()),
        server.accept()[0] as accepted,
    ):
        assert original_destination(accepted) == server.getsockname()
