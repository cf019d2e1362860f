"""``detour gateway up|down|print``: the firewall rules and dnsmasq's lines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from detour.commands.options import USAGE, ConfigOption, JsonOption, fail, load, print_json

if TYPE_CHECKING:
    from detour.gateway.ruleset import Ruleset
    from router_core.config.loader import Loaded


def print_(
    dnsmasq: Annotated[
        bool, typer.Option("--dnsmasq", help="Print the lines for dnsmasq instead of the rules.")
    ] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Print the rules that `up` applies, as a script for `nft -f`."""
    from detour.gateway.dnsmasq import lines
    from detour.gateway.hosts import redirected

    loaded = load(config)
    rules = wanted(loaded)
    text = (
        "\n".join(lines(redirected(loaded.config, loaded.registry), rules.families)) + "\n"
        if dnsmasq
        else rules.render()
    )
    if json:
        print_json({"dnsmasq" if dnsmasq else "rules": text})
    else:
        print(text, end="")


def down(
    json: JsonOption = False,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", metavar="FILE", help="Not needed; as for `up`.")
    ] = None,
) -> None:
    """Remove the rules. Connections that are redirected already stay until they end."""
    from detour.gateway import nft

    try:
        found = nft.held() is not None
        nft.remove()
    except nft.NftError as error:
        raise fail(str(error)) from None
    if json:
        print_json({"removed": found})
    else:
        print("the rules are removed" if found else "there were no rules")


def wanted(loaded: Loaded) -> Ruleset:
    """The rules for the configuration; without transparent mode the command ends."""
    from detour.gateway.ruleset import RulesetError, ruleset

    try:
        return ruleset(loaded.config)
    except RulesetError as error:
        raise fail(str(error), USAGE) from None
