"""``detour gateway``: the gateway box, whose firewall leads providers' connections to Detour."""

from __future__ import annotations

import typer

from detour.commands.gateway import peer, rules, status, up

app = typer.Typer(
    help="Lead a network's provider connections to Detour on a gateway box.",
    no_args_is_help=True,
    add_completion=False,
)

app.command()(up.up)
app.command()(rules.down)
app.command()(status.status)
app.command("print")(rules.print_)
app.add_typer(peer.app, name="peer")
