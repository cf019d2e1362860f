"""The rules as text, against whole tables that were checked with nft itself."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from pathlib import Path

import pytest

from detour.gateway.dnsmasq import lines
from detour.gateway.hosts import may_be_redirected, redirected
from detour.gateway.ruleset import Held, Ruleset, RulesetError, addition, ruleset
from router_core.config.loader import parse

FOLDER = Path(__file__).parent
BOX = """
version: 1
listen: {transparent: "[::]:8443"}
access: {networks: [10.0.0.0/8, 192.168.1.7, "fd00::/8"]}
transparent: {user: "990"}
"""
GOLDEN = {
    "both-families": BOX,
    "one-address": """
version: 1
listen: {transparent: "192.168.1.1:3129"}
access: {networks: [192.168.1.0/24]}
transparent: {local: false, grace: 2h}
""",
    "this-machine": """
version: 1
listen: {transparent: "localhost:8443"}
""",
}


def rules_of(text: str) -> Ruleset:
    found = parse(text.encode(), FOLDER / "detour.yaml", {"PATH": "", "HOME": "/nonexistent"})
    return ruleset(found.config)


@pytest.mark.parametrize("name", GOLDEN)
def test_the_rules_are_the_golden_ones(name: str) -> None:
    assert rules_of(GOLDEN[name]).render() == (FOLDER / f"{name}.nft").read_text()


def test_what_the_table_held_is_carried_over() -> None:
    v4, v6 = ipaddress.ip_address("192.0.2.9"), ipaddress.ip_address("2001:db8::9")
    held = Held({v6: None, v4: 3599.7, ipaddress.ip_address("192.0.2.1"): None}, {"local": (3, 180)})
    text = rules_of(BOX).render(held)
    assert "elements = { 192.0.2.1, 192.0.2.9 expires 3599s }" in text
    assert "elements = { 2001:db8::9 }" in text
    assert "counter local {\n\t\tpackets 3 bytes 180\n" in text


def test_a_shorter_grace_holds_for_what_is_carried_over_too() -> None:
    text = rules_of(GOLDEN["one-address"]).render(Held({ipaddress.ip_address("192.0.2.1"): 80_000.0}))
    assert "elements = { 192.0.2.1 expires 7200s }" in text


def test_addresses_of_a_family_that_is_not_served_are_left_out() -> None:
    text = rules_of(GOLDEN["one-address"]).render(Held({ipaddress.ip_address("2001:db8::9"): None}))
    assert "2001:db8::9" not in text
    assert "ip6" not in text


def test_a_network_without_addresses_of_a_family_redirects_none_of_it() -> None:
    rules = replace(rules_of(BOX), networks=(ipaddress.ip_network("10.0.0.0/8"),))
    assert rules.families == (4, 6)
    assert rules.forwarding == (4,)


def test_an_unknown_user_is_named() -> None:
    with pytest.raises(RulesetError, match="no user 'nobody-of-that-name' here"):
        rules_of(BOX.replace('"990"', "nobody-of-that-name"))


def test_without_a_listener_there_are_no_rules() -> None:
    with pytest.raises(RulesetError, match=r"add listen: \{transparent:"):
        rules_of("version: 1\n")


def test_an_address_is_added_with_its_whole_time() -> None:
    assert addition([ipaddress.ip_address("192.0.2.1")]).split("\n") == [
        "add element inet detour providers4 { 192.0.2.1 }",
        "delete element inet detour providers4 { 192.0.2.1 }",
        "add element inet detour providers4 { 192.0.2.1 }",
        "",
    ]


def test_dnsmasq_gets_a_line_for_each_host_that_is_decrypted() -> None:
    text = """
version: 1
providers: {own: {format: openai-chat, base_url: "https://gpu.test/v1", hosts: [gpu.test, localhost, 192.0.2.1]}}
capture: {hosts: [seen.test]}
"""
    found = parse(text.encode(), FOLDER / "detour.yaml", {"PATH": "", "HOME": "/nonexistent"})
    hosts = redirected(found.config, found.registry)
    assert {"gpu.test", "seen.test", "api.anthropic.com"} <= set(hosts)
    assert not {"localhost", "192.0.2.1"} & set(hosts)
    assert lines(["gpu.test"], (4, 6)) == [
        "nftset=/gpu.test/4#inet#detour#providers4,6#inet#detour#providers6"
    ]
    assert lines(["gpu.test"], (4,)) == ["nftset=/gpu.test/4#inet#detour#providers4"]


@pytest.mark.parametrize("text", ["127.0.0.1", "0.0.0.0", "::", "::1", "224.0.0.1", "fe80::1", "169.254.0.1"])
def test_addresses_that_are_no_other_machines_are_never_redirected(text: str) -> None:
    assert not may_be_redirected(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", ["192.0.2.1", "10.1.2.3", "2001:db8::1", "fd00::1"])
def test_addresses_of_other_machines_may_be(text: str) -> None:
    assert may_be_redirected(ipaddress.ip_address(text))
