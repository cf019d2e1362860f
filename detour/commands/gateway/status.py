"""``detour gateway status``: whether the rules are in force, and what they do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from detour.commands import remote
from detour.commands.gateway.rules import wanted
from detour.commands.options import ConfigOption, JsonOption, fail, load, print_columns, print_json

if TYPE_CHECKING:
    from detour.gateway.ruleset import Held, Ruleset
    from router_core.config.loader import Loaded

COUNTED = {
    "forwarded": "connections of the network were redirected",
    "local": "connections of this machine were redirected",
    "quic": "packets of QUIC were rejected",
}


def status(config: ConfigOption = None, json: JsonOption = False) -> None:
    """Show whether the rules are in force, the addresses of each host, and what was counted."""
    from detour.gateway import nft

    loaded = load(config)
    rules = wanted(loaded)
    try:
        held = nft.held()
    except nft.NftError as error:
        raise fail(str(error)) from None
    answer = remote.call(loaded, "GET", "state")
    document = {
        "in_force": held is not None,
        "listener": str(rules.listener),
        "addresses": len(held.addresses) if held else 0,
        "hosts": _hosts(loaded, rules, held),
        "redirected": {name: packets for name, (packets, _) in held.counters.items()} if held else None,
        "connections": answer["connections"] if answer else None,
    }
    if json:
        print_json(document)
    else:
        _print(document)


def _hosts(loaded: Loaded, rules: Ruleset, held: Held | None) -> list[dict[str, Any]]:
    """Each host with the number of addresses that it has now, and how many of those are redirected."""
    from detour.gateway.hosts import redirected
    from detour.gateway.resolve import ResolveError, ask, make_resolver

    hosts = redirected(loaded.config, loaded.registry)
    try:
        answers = asyncio.run(ask(make_resolver(), hosts, rules.families))
    except ResolveError as error:
        return [{"host": host, "addresses": 0, "redirected": 0, "error": str(error)} for host in hosts]
    known = held.addresses.keys() if held else set()
    return [
        {
            "host": answer.host,
            "addresses": len(answer.addresses),
            "redirected": len(answer.addresses & known),
            "error": answer.error if not answer.addresses else "",
        }
        for answer in answers
    ]


def _print(document: dict[str, Any]) -> None:
    if document["in_force"]:
        print(f"the rules are in force and lead to {document['listener']}")
        for name, what in COUNTED.items():
            print(f"{document['redirected'].get(name, 0):>8}  {what}")
        print(f"{document['addresses']:>8}  addresses are redirected")
    else:
        print("the rules are not in force; run `detour gateway up`")
    if counted := document["connections"]:
        print("the running instance took:")
        for name, number in counted.items():
            print(f"{number:>8}  {name}")
    else:
        print("no instance is running")
    rows = [
        (each["host"], str(each["addresses"]), str(each["redirected"]), each["error"])
        for each in document["hosts"]
    ]
    print_columns(("HOST", "ADDRESSES", "REDIRECTED", "NOTE"), rows)
