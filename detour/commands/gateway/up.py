"""``detour gateway up``: put the rules in force."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from detour.commands.gateway.rules import wanted
from detour.commands.options import ConfigOption, JsonOption, fail, load, print_json

if TYPE_CHECKING:
    from detour.gateway.resolve import Answer
    from router_core.config.loader import Loaded


def up(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Apply without asking.")] = False,
    force: Annotated[
        bool, typer.Option(help="Go before rules of others that redirect the same connections.")
    ] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Lead providers' connections to Detour: show the rules, and apply them as one. Twice is the same as once."""
    from detour import runtime
    from detour.gateway import nft, start
    from detour.gateway.resolve import without_address
    from router_core.paths import paths

    loaded = load(config)
    rules = wanted(loaded)
    running = runtime.read(paths(loaded.config).runtime)
    try:
        if not nft.may_change():
            raise nft.NftError(
                "the firewall belongs to root; run `sudo detour gateway up`, with the same --config"
            )
        problems, held = start.look(rules, running.transparent if running else None, force=force)
    except nft.NftError as error:
        raise fail(str(error)) from None
    if reasons := [problem.text for problem in problems if problem.keeps]:
        raise fail("\ndetour: ".join([*reasons, "nothing was changed"]))
    answers = _addresses(loaded, rules.families)
    notes = [problem.text for problem in problems]
    notes += [f"no address yet of {line}" for line in without_address(answers)]
    script = rules.render(start.together(held, answers))
    if not json:
        print(script, end="")
    for note in notes:
        print(f"detour: {note}", file=sys.stderr)
    if not yes and sys.stdin.isatty() and not typer.confirm("Apply these rules?", err=True):
        raise fail("nothing was changed")
    try:
        start.put_in_force(script, held)
    except nft.NftError as error:
        raise fail(str(error)) from None
    if json:
        hosts = {answer.host: sorted(map(str, answer.addresses)) for answer in answers}
        print_json({"applied": True, "rules": script, "addresses": hosts, "notes": notes})
    else:
        print("detour: the rules are in force; `detour gateway down` removes them", file=sys.stderr)


def _addresses(loaded: Loaded, families: tuple[int, ...]) -> list[Answer]:
    """The first addresses, also where dnsmasq finds them: what is in its cache it puts nowhere."""
    from detour.gateway.hosts import redirected
    from detour.gateway.resolve import ResolveError, ask, make_resolver

    try:
        resolver = make_resolver()
    except ResolveError as error:
        if loaded.config.transparent.addresses == "dnsmasq":
            return []
        raise fail(f"{error}; nothing was changed") from None
    return asyncio.run(ask(resolver, redirected(loaded.config, loaded.registry), families))
