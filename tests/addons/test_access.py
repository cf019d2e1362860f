"""Which clients may come, by where they come from."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from mitmproxy import connection
from mitmproxy.proxy.mode_specs import ProxyMode

from addons.access import Access
from router_core.config.schema import Config
from router_core.connections import Connections


def access(*networks: str | dict[str, str]) -> Access:
    core: Any = SimpleNamespace(
        config=Config.model_validate({"access": {"networks": networks}}), connections=Connections()
    )
    return Access(core)


def admitted(access: Access, address: str, mode: str = "transparent") -> bool:
    client = connection.Client(
        peername=(address, 1), sockname=("10.0.0.1", 2), proxy_mode=ProxyMode.parse(mode)
    )
    access.client_connected(client)
    return client.error is None


@pytest.mark.parametrize("mode", ["transparent", "regular", "reverse:http://gateway.invalid"])
def test_only_the_networks_are_let_in(mode: str) -> None:
    only = access("192.0.2.0/24", "2001:db8::/32")
    for address in ("192.0.2.7", "::ffff:192.0.2.7", "2001:db8::7", "127.0.0.1", "::1"):
        assert admitted(only, address, mode), address
    for address in ("198.51.100.7", "::ffff:198.51.100.7", "2001:db9::7", "fe80::7%lo"):
        assert not admitted(only, address, mode), address
    assert only.core.connections.refused == 4


def test_clients_have_the_name_of_the_smallest_network_that_they_come_from() -> None:
    only = access(
        {"network": "192.0.2.0/24", "name": "house"},
        {"network": "192.0.2.64/26", "name": "kids"},
        {"network": "2001:db8::/32", "name": "house"},
        "198.51.100.0/24",
    )
    found = {}
    for address in (
        "192.0.2.7",
        "192.0.2.70",
        "::ffff:192.0.2.70",
        "2001:db8::7",
        "198.51.100.7",
        "127.0.0.1",
    ):
        client = connection.Client(
            peername=(address, 1), sockname=("10.0.0.1", 2), proxy_mode=ProxyMode.parse("transparent")
        )
        only.client_connected(client)
        found[address] = only.network_name(client)
    assert list(found.values()) == ["house", "kids", "kids", "house", None, None]


def test_without_networks_everybody_is() -> None:
    assert admitted(access(), "198.51.100.7", "regular")


def test_clients_that_a_key_of_wireguard_let_in_are_not_asked_again() -> None:
    assert admitted(access("192.0.2.0/24"), "10.0.0.9", "wireguard")


def test_a_client_that_goes_on_trying_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    only = access("192.0.2.0/24")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert not admitted(only, "198.51.100.7")
    assert caplog.text.count("198.51.100.7 is cut off") == 1
