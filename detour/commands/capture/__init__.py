"""``detour capture``: look at what went over the wire, and play it again."""

from __future__ import annotations

import typer

from detour.commands.capture import compare, exchange, listing, mode, replay, running, show

app = typer.Typer(
    help="Show, compare, export and replay what was recorded.", no_args_is_help=True, add_completion=False
)

app.command("list")(listing.list_)
app.command()(show.show)
app.command()(compare.diff)
app.command()(replay.replay)
app.command()(exchange.export)
app.command("import")(exchange.import_)
app.command()(listing.tail)
app.command()(listing.prune)
app.command()(mode.mode)
app.command(context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True})(running.run)
