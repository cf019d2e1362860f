"""The certificates that clients are shown, under an authority that is constrained to the providers' hosts."""

from __future__ import annotations

import socket
import ssl

import pytest

from tests.e2e.conftest import House


@pytest.mark.parametrize("destination", ["api.anthropic.com:443", "192.0.2.1:443", "[2001:db8::1]:443"])
def test_a_client_that_resolved_the_name_itself_is_shown_a_valid_certificate(house: House, destination):
    """As transparent redirection does, and tools behind SOCKS: only the SNI has the name."""
    host, _, port = house.detour.proxy.rpartition(":")
    with socket.create_connection((host, int(port)), 10) as plain:
        plain.sendall(f"CONNECT {destination} HTTP/1.1\r\nHost: {destination}\r\n\r\n".encode())
        assert plain.recv(4096).startswith(b"HTTP/1.1 200")
        context = ssl.create_default_context(cafile=str(house.detour.ca_file))

        with context.wrap_socket(plain, server_hostname="api.anthropic.com") as tls:
            names = dict(tls.getpeercert() or {})["subjectAltName"]

    assert names == (("DNS", "api.anthropic.com"),)
