"""The rules on a real machine: in force as a whole, twice the same as once, and gone without a trace."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from detour.gateway.ruleset import REMOVAL
from tests.gateway.conftest import HOST, PORT, Box, until, without_counts
from tests.gateway.network import APART, PROVIDER

FOREIGN = """
table ip house {
	chain forward {
		type filter hook forward priority filter; policy accept;
		tcp dport 25 counter packets 0 bytes 0 drop
	}
	chain prerouting {
		type nat hook prerouting priority dstnat; policy accept;
		tcp dport 2222 dnat to 10.77.2.2:22
		iifname "origin" tcp dport 443 dnat to 10.77.1.2:443
	}
}
"""


@pytest.fixture
def down(box: Box) -> Iterator[None]:
    """Begin without the rules, and end with them."""
    rules = box.network.run("gateway", "nft", "list", "table", "inet", "detour").stdout
    box.network.run("gateway", "nft", "delete", "table", "inet", "detour")
    yield
    box.network.run("gateway", "nft", "-f", "-", input=REMOVAL + rules)


@pytest.fixture
def foreign(box: Box) -> Iterator[str]:
    """A table of the house's own; as nft lists it."""
    box.network.run("gateway", "nft", "-f", "-", input=FOREIGN)
    yield box.network.run("gateway", "nft", "-s", "list", "table", "ip", "house").stdout
    box.network.run("gateway", "nft", "delete", "table", "ip", "house")


def test_down_leaves_everything_as_it_was(box: Box, down: None, foreign: str) -> None:
    before = box.ruleset()
    assert "detour" not in before
    assert box.gateway("up").returncode == 0
    assert "table inet detour" in box.ruleset()
    assert box.network.run("gateway", "nft", "-s", "list", "table", "ip", "house").stdout == foreign
    assert box.gateway("down").returncode == 0
    assert box.ruleset() == before
    direct = box.curl("-v", "--cacert", str(box.fakes_ca), f"https://{HOST}/", "-o", "/dev/null")
    assert "issuer: CN=Detour fake providers" in direct.stderr
    assert box.gateway("down").stdout == "there were no rules\n"


def test_on_a_terminal_up_shows_the_rules_and_asks(box: Box, down: None) -> None:
    before = box.ruleset()
    ours, theirs = os.openpty()
    with os.fdopen(ours, "w") as terminal, os.fdopen(theirs) as stdin:
        terminal.write("n\n")
        terminal.flush()
        said = box.gateway("up", stdin=stdin)
    assert "table inet detour {" in said.stdout
    assert "Apply these rules? [y/N]" in said.stderr
    assert (said.returncode, said.stderr.endswith("detour: nothing was changed\n")) == (1, True)
    assert box.ruleset() == before


def test_up_twice_is_the_same_as_once(box: Box) -> None:
    box.curl("-v", f"https://{HOST}/", "-o", "/dev/null")
    before = box.ruleset()
    assert box.gateway("up").returncode == 0
    after = box.ruleset()
    assert without_counts(after) == without_counts(before)
    assert "counter forwarded {\n\t\tpackets 0" not in after


def test_print_says_what_up_applies(box: Box) -> None:
    said = box.gateway("print").stdout
    assert said.startswith(REMOVAL)
    (table,) = [t for t in box.ruleset().split("table ") if t.startswith("inet detour")]
    for line in said.removeprefix(REMOVAL).splitlines():
        rule = line.strip()
        if "daddr" in rule or rule.startswith(("type", "meta")):
            assert (
                rule.replace("priority -105", "priority dstnat - 5" if "pre" in rule else "priority -105")
                in table
            )


def test_dnsmasq_fills_the_sets_from_its_answers(box: Box) -> None:
    # The only name in this dnsmasq's lines, which Detour does not ask for.
    assert not box.addresses() & set(APART)
    box.network.run("client", "getent", "ahosts", "apart.test")
    until(lambda: box.addresses() >= set(APART), "dnsmasq's addition")


def test_a_running_instance_fills_the_sets_again(box: Box, down: None) -> None:
    """The rules are there without an address, as after a start of everything at once."""
    box.network.run("gateway", "nft", "-f", "-", input=box.gateway("print").stdout)
    assert not box.addresses() & set(PROVIDER)
    until(lambda: box.addresses() >= set(PROVIDER), "Detour's addition")


def test_status_tells_it_all(box: Box) -> None:
    box.curl("-v", f"https://{HOST}/", "-o", "/dev/null")
    document = json.loads(box.gateway("status", "--json").stdout)
    assert document["in_force"]
    assert document["listener"] == f"[::]:{PORT}"
    (found,) = [each for each in document["hosts"] if each["host"] == HOST]
    assert found == {"host": HOST, "addresses": 2, "redirected": 2, "error": ""}
    assert document["redirected"]["forwarded"] > 0
    assert document["connections"]["decrypted"] > 0
    assert {"tunnelled", "ech", "unnamed", "opaque"} <= document["connections"].keys()


@pytest.fixture
def wrapped(box: Box, tmp_path: Path) -> dict[str, str]:
    """The environment with an nft that applies what it is told and then says that it failed."""
    nft = box.network.run("gateway", "which", "nft").stdout.strip()
    wrapper = tmp_path / "nft"
    script = (
        f'#!/bin/sh\n{nft} "$@" || exit\n[ ! -e {tmp_path}/broken ] || {{ rm {tmp_path}/broken; exit 1; }}\n'
    )
    wrapper.write_text(f"{script}".replace("[ !", 'case "$*" in "-f -") ;; *) exit 0;; esac\n[ !'))
    wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "broken").touch()
    return {**box.detour.env, "PATH": f"{tmp_path}:{box.detour.env['PATH']}"}


def test_an_up_that_fails_half_way_leaves_nothing(box: Box, down: None, foreign: str, wrapped: dict) -> None:
    before = box.ruleset()
    failed = box.gateway("up", env=wrapped)
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1].startswith("detour: nft:")
    assert box.ruleset() == before


def test_a_script_that_nft_refuses_changes_nothing(box: Box, tmp_path: Path) -> None:
    before = box.ruleset()
    config = json.loads(box.detour.config.read_text())
    config["transparent"] = {"user": "99999999999"}  # more than the kernel's numbers hold
    file = tmp_path / "detour.yaml"
    file.write_text(json.dumps(config))
    refused = box.gateway("up", config=file)
    assert refused.returncode == 1
    assert without_counts(box.ruleset()) == without_counts(before)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("tcp dport { 80, 443 } redirect to :3129", "redirects TCP port 443 already, to port 3129"),
        (f"tcp dport 8888 redirect to :{PORT}", f"leads to port {PORT} too"),
    ],
)
def test_another_redirection_is_named_and_nothing_changed(box: Box, down: None, rule: str, said: str) -> None:
    chain = f"chain pre {{\ntype nat hook prerouting priority dstnat; policy accept;\n{rule}\n}}"
    box.network.run("gateway", "nft", "-f", "-", input=f"table ip squid {{\n{chain}\n}}\n")
    before = box.ruleset()
    refused = box.gateway("up")
    assert refused.returncode == 1
    assert (
        f"a rule in the chain `ip squid pre` {said}; remove it (nft delete rule ip squid pre handle"
        in refused.stderr
    )
    assert box.ruleset() == before
    assert box.gateway("up", "--force").returncode == 0
    box.network.run("gateway", "nft", "delete", "table", "ip", "squid")


def test_a_port_that_is_anothers_is_named(box: Box, tmp_path: Path) -> None:
    before = box.ruleset()
    config = json.loads(box.detour.config.read_text())
    config["listen"]["transparent"] = "0.0.0.0:9443"
    file = tmp_path / "detour.yaml"
    file.write_text(json.dumps(config))
    with box.network.listen("gateway", "0.0.0.0", 9443):
        refused = box.gateway("up", config=file)
    assert refused.returncode == 1
    assert "port 9443 belongs to " in refused.stderr
    assert f"(pid {os.getpid()})" in refused.stderr
    assert without_counts(box.ruleset()) == without_counts(before)


@pytest.mark.parametrize("command", ["up", "down", "status"])
def test_who_is_not_root_is_told_so(box: Box, command: str) -> None:
    without = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", "--ambient-caps=-net_admin"]
    refused = box.network.run(
        *("gateway", *without, sys.executable, "-m", "detour", "gateway", command),
        *("--config", str(box.detour.config)),
        env=box.detour.env,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert refused.returncode == 1
    assert "the firewall belongs to root" in refused.stderr
