"""What is told before the rules are in force."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from detour.gateway import checks, nft, start
from detour.gateway.nft import NftError, NoTable, refusal
from detour.gateway.resolve import Answer
from detour.gateway.ruleset import Held, Ruleset
from detour.ports import Address

RULES = Ruleset(
    Address("::", 8443),
    (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")),
    local=True,
    mark=1,
    uid=None,
    grace=3600.0,
)
ONLY_IPV4 = Ruleset(Address("0.0.0.0", 8443), RULES.networks, local=True, mark=1, uid=None, grace=3600.0)


def proc(folder: Path, *, ipv6: bool = True, forward4: str = "1", forward6: str = "1") -> Path:
    """A /proc with these settings."""
    for name, value in (
        ("net.ipv4.ip_forward", forward4),
        ("net.ipv6.conf.all.forwarding", forward6),
        ("net.ipv6.conf.all.disable_ipv6", "0" if ipv6 else "1"),
    ):
        file = folder.joinpath("sys", *name.split("."))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n")
    (folder / "net").mkdir()
    (folder / "net/if_inet6").touch()
    return folder


def told(rules: Ruleset, folder: Path) -> list[str]:
    found = list(checks.kernel(rules, folder))
    assert not any(problem.keeps for problem in found)
    return [problem.text.partition(";")[0].partition(",")[0] for problem in found]


def test_a_machine_that_is_ready_is_told_nothing(tmp_path: Path) -> None:
    assert told(RULES, proc(tmp_path)) == []


def test_a_machine_that_does_not_forward_is_told_how_to(tmp_path: Path) -> None:
    assert told(RULES, proc(tmp_path, forward4="0", forward6="0")) == [
        "net.ipv4.ip_forward is 0",
        "net.ipv6.conf.all.forwarding is 0",
    ]


def test_ipv6_that_is_off_is_told(tmp_path: Path) -> None:
    assert told(RULES, proc(tmp_path, ipv6=False, forward6="0")) == ["IPv6 is off on this machine"]


def test_ipv6_that_is_off_where_nothing_else_is_served_is_told(tmp_path: Path) -> None:
    only = replace(RULES, listener=Address("fd00::1", 8443))
    (said,) = checks.kernel(only, proc(tmp_path, ipv6=False))
    assert "nothing is redirected" in said.text


def test_ipv6_that_passes_by_is_told(tmp_path: Path) -> None:
    assert told(ONLY_IPV4, proc(tmp_path)) == ["connections over IPv6 are not redirected"]


def tcp(*, port: Any = 443, op: str = "==", protocol: str = "tcp") -> dict[str, Any]:
    left = {"payload": {"protocol": protocol, "field": "dport"}}
    return {"match": {"op": op, "left": left, "right": port}}


def table(*statements: dict[str, Any], family: str = "ip", name: str = "nat") -> list[dict[str, Any]]:
    rule = {"family": family, "table": name, "chain": "PREROUTING", "handle": 7, "expr": list(statements)}
    return [{"metainfo": {}}, {"rule": rule}]


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        ((tcp(), {"redirect": {"port": 3129}}), "redirects TCP port 443 already, to port 3129"),
        ((tcp(), {"redirect": None}), "redirects TCP port 443 already;"),
        ((tcp(port={"set": [80, 443]}), {"redirect": {"port": 3129}}), "redirects TCP port 443 already"),
        ((tcp(port={"range": [1, 1023]}), {"redirect": {"port": 3129}}), "redirects TCP port 443 already"),
        ((tcp(port=80, op="!="), {"redirect": {"port": 3129}}), "redirects TCP port 443 already"),
        (({"redirect": {"port": 3129}},), "redirects TCP port 443 already"),
        ((tcp(), {"dnat": {"addr": "127.0.0.1", "port": 3129}}), "redirects TCP port 443 already"),
        ((tcp(), {"tproxy": {"port": 3129}}), "redirects TCP port 443 already"),
        # what iptables-nft writes
        (
            (tcp(), {"counter": None}, {"xt": {"type": "target", "name": "REDIRECT"}}),
            "redirects TCP port 443",
        ),
        ((tcp(port=80), {"redirect": {"port": 8443}}), "leads to port 8443 too"),
    ],
)
def test_others_redirections_are_named(statements: tuple, said: str) -> None:
    (found,) = checks.conflicts(table(*statements), RULES)
    assert found.keeps
    assert f"a rule in the chain `ip nat PREROUTING` {said}" in found.text
    assert "nft delete rule ip nat PREROUTING handle 7" in found.text


@pytest.mark.parametrize(
    "statements",
    [
        (tcp(port=80), {"redirect": {"port": 3129}}),
        (tcp(port=443, op="!="), {"redirect": {"port": 3129}}),
        (tcp(protocol="udp"), {"redirect": {"port": 3129}}),
        (tcp(), {"dnat": {"addr": "10.0.0.7", "port": 443}}),
        (tcp(), {"accept": None}),
        (tcp(port={"set": [22, {"range": [5000, 6000]}]}), {"redirect": {"port": 1}}),
    ],
)
def test_what_does_not_meddle_is_not(statements: tuple) -> None:
    assert not list(checks.conflicts(table(*statements), RULES))


def test_detours_own_table_is_no_conflict() -> None:
    own = table(tcp(), {"redirect": {"port": 8443}}, family="inet", name="detour")
    assert not list(checks.conflicts(own, RULES))


def test_a_port_on_which_the_instance_listens_is_right() -> None:
    assert not list(checks.listener(RULES, "[::]:8443"))


def test_new_addresses_get_their_whole_time_and_others_keep_theirs() -> None:
    old, new = ipaddress.ip_address("192.0.2.1"), ipaddress.ip_address("192.0.2.2")
    held = Held({old: 50.0, new: 60.0}, {"local": (1, 60)})
    together = start.together(held, [Answer("a.test", frozenset({new}))])
    assert together == Held({old: 50.0, new: None}, {"local": (1, 60)})
    assert start.together(None, []) == Held()


def test_a_machine_without_nft_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name, path=None: None)
    with pytest.raises(NftError, match="install nftables"):
        nft.apply("")


def test_the_words_of_nft_are_explained() -> None:
    assert "belongs to root" in str(refusal("Operation not permitted (you must be root)\n"))
    gone = refusal("/dev/stdin:1:1-5: Error: No such file or directory; did you mean ...\nadd element\n^^^^")
    assert isinstance(gone, NoTable)
    assert str(refusal("/dev/stdin:3:1-5: Error: Value 99 out of range\nx")) == (
        "nft refused the rules: Value 99 out of range"
    )
