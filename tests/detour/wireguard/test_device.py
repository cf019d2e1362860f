"""What a device is told."""

from __future__ import annotations

import ipaddress

import pytest
from pydantic import SecretStr

from detour.wireguard import device
from detour.wireguard.store import PeerEntry, new_key, public_of
from router_core.config.schema import Config
from router_core.peers import Peer, Tunnel

SERVER, OWN = new_key(), new_key()
NETWORKS = (ipaddress.ip_network("10.87.0.0/24"), ipaddress.ip_network("fd87::/64"))


def configuration(providers=(), **changes) -> str:
    fields = {"private_key": OWN, "endpoint": "box.test:51820", **changes}
    entry = PeerEntry("laptop", public_of(OWN), 2, **fields)
    tunnel = Tunnel(SecretStr(SERVER), (Peer("laptop", entry.public_key, 2),), NETWORKS)
    return device.configuration(entry, tunnel, [ipaddress.ip_address(a) for a in providers])


def test_only_the_providers_addresses_are_led_through_the_tunnel():
    found = configuration(["192.0.2.1", "192.0.2.0", "2001:db8::1", "192.0.2.1", "198.51.100.7"])

    assert found == (
        "[Interface]\n"
        f"PrivateKey = {OWN}\n"
        "Address = 10.87.0.2/32, fd87::2/128\n"
        "\n"
        "[Peer]\n"
        f"PublicKey = {public_of(SERVER)}\n"
        "AllowedIPs = 10.87.0.1/32, fd87::1/128, 192.0.2.0/31, 198.51.100.7/32, 2001:db8::1/128\n"
        "Endpoint = box.test:51820\n"
        "PersistentKeepalive = 25\n"
    )


def test_a_phone_leads_everything_and_asks_in_the_tunnel_for_names():
    found = configuration(all_traffic=True)

    assert "DNS = 10.87.0.1, fd87::1\n" in found
    assert "AllowedIPs = 0.0.0.0/0, ::/0\n" in found


def test_a_device_with_a_key_of_its_own_has_to_fill_it_in():
    assert f"PrivateKey = {device.OWN_KEY}\n" in configuration(private_key=None)


@pytest.mark.parametrize(
    "listener, written, given, expected",
    [
        ("0.0.0.0:51820", None, "box.test", "box.test:51820"),
        ("0.0.0.0:51820", None, "box.test:443", "box.test:443"),
        ("0.0.0.0:51820", "home.test:9", None, "home.test:9"),
        ("0.0.0.0:51820", "home.test", "box.test", "box.test:51820"),
        ("192.0.2.7:51820", None, None, "192.0.2.7:51820"),
        ("0.0.0.0:51820", None, "2001:db8::1", "[2001:db8::1]:51820"),
        ("0.0.0.0:51820", None, "[2001:db8::1]:9", "[2001:db8::1]:9"),
        ("[2001:db8::7]:51820", None, None, "[2001:db8::7]:51820"),
        ("127.0.0.1:51820", None, None, None),
    ],
)
def test_the_device_is_told_how_to_reach_the_server(listener, written, given, expected):
    config = Config(listen={"wireguard": listener}, wireguard={"endpoint": written})

    assert device.endpoint(config, given) == expected


@pytest.mark.parametrize("outward, expected", [("192.0.2.9", "192.0.2.9:51820"), (None, None)])
def test_without_a_name_it_is_the_address_with_which_this_machine_goes_out(monkeypatch, outward, expected):
    monkeypatch.setattr(device, "_outward", lambda: outward)

    assert device.endpoint(Config(listen={"wireguard": "0.0.0.0:51820"}), None) == expected
