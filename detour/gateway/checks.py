"""What keeps the rules from working, or is worth saying before they are in force."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from detour.gateway.ruleset import TABLE, Ruleset
from router_core import processes

FORWARDING: Final = {4: "net.ipv4.ip_forward", 6: "net.ipv6.conf.all.forwarding"}
HTTPS: Final = 443


@dataclass(frozen=True, slots=True)
class Problem:
    """Something to tell; one that `keeps` is a reason not to apply the rules."""

    text: str
    keeps: bool = True


def listener(rules: Ruleset, running: str | None) -> Iterator[Problem]:
    """Whether redirected connections would come to Detour. `running` is where its instance listens."""
    address = rules.listener
    if running == str(address):
        return
    holder = processes.listener(address.port)
    if holder is None:
        text = (
            f"nothing listens on {address} yet: until `detour run` does, connections to providers are refused"
        )
        yield Problem(text, keeps=False)
    else:
        text = (
            f"port {address.port} belongs to {holder}, not to a Detour with this configuration; "
            "stop it, name its configuration with --config, or choose another port for listen.transparent"
        )
        yield Problem(text)


def kernel(rules: Ruleset, proc: Path = Path("/proc")) -> Iterator[Problem]:
    """Settings of the kernel. They are told and not changed: they belong to the whole machine."""
    ipv6 = (proc / "net/if_inet6").exists() and _sysctl(proc, "net.ipv6.conf.all.disable_ipv6") != "1"
    if 6 in rules.families and not ipv6:
        rest = "only IPv4" if 4 in rules.families else "nothing"
        yield Problem(
            f"IPv6 is off on this machine, so {rest} is redirected; listen on 0.0.0.0 for IPv4",
            keeps=False,
        )
    for version in rules.forwarding:
        name = FORWARDING[version]
        if _sysctl(proc, name) == "0" and (version == 4 or ipv6):
            yield Problem(
                f"{name} is 0, so this machine forwards no IPv{version}; run `sysctl -w {name}=1`, "
                "and write it into /etc/sysctl.d/ for good",
                keeps=False,
            )
    if 6 not in rules.families and ipv6:
        yield Problem(
            "connections over IPv6 are not redirected; listen on [::] for both, and add networks of IPv6",
            keeps=False,
        )


def _sysctl(proc: Path, name: str) -> str | None:
    try:
        return proc.joinpath("sys", *name.split(".")).read_text().strip()
    except OSError:
        return None


def conflicts(tables: list[dict[str, Any]], rules: Ruleset) -> Iterator[Problem]:
    """Rules of others that redirect HTTPS, or lead other traffic to Detour's port.

    `tables` is nft's JSON for everything. A port that is forwarded to another machine is none of them.
    """
    for rule in (entry["rule"] for entry in tables if "rule" in entry):
        if f"{rule['family']} {rule['table']}" == TABLE:
            continue
        target = _redirection(rule["expr"])
        if target is None:
            continue
        if target == rules.listener.port:
            what = f"leads to port {target} too"
        elif _takes(rule["expr"], HTTPS):
            what = f"redirects TCP port {HTTPS} already{f', to port {target}' if target else ''}"
        else:
            continue
        place = f"{rule['family']} {rule['table']} {rule['chain']}"
        yield Problem(
            f"a rule in the chain `{place}` {what}; "
            f"remove it (nft delete rule {place} handle {rule['handle']}), or add --force to go before it"
        )


def _redirection(statements: list[dict[str, Any]]) -> int | None:
    """The port of this machine that the rule leads to, 0 for the same one; None if it does not."""
    for statement in statements:
        for kind, value in statement.items():
            if kind in ("redirect", "tproxy"):
                return _port(value)
            if kind == "dnat" and isinstance(value, dict) and value.get("addr") in ("127.0.0.1", "::1"):
                return _port(value)
            if kind == "xt" and isinstance(value, dict) and value.get("name") in ("REDIRECT", "TPROXY"):
                return 0
    return None


def _port(value: object) -> int:
    port = value.get("port") if isinstance(value, dict) else None
    return port if isinstance(port, int) else 0


def _takes(statements: list[dict[str, Any]], port: int) -> bool:
    """Whether the rule's matches let TCP to `port` through, as far as it says anything of ports."""
    for match in (s["match"] for s in statements if "match" in s):
        payload = match["left"].get("payload", {}) if isinstance(match["left"], dict) else {}
        if payload.get("field") == "dport":
            if payload.get("protocol") == "udp":
                return False
            if (match["op"] in ("==", "in")) != _holds(match["right"], port):
                return False
    return True


def _holds(right: object, port: int) -> bool:
    match right:
        case int():
            return right == port
        case {"set": list(members)}:
            return any(_holds(member, port) for member in members)
        case {"range": [int(first), int(last)]}:
            return first <= port <= last
        case _:
            return True  # a named set, whose members are not looked at
