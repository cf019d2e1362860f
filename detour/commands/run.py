"""``detour run``: serve."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from detour.commands.options import ConfigOption


def run(
    config: ConfigOption = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that share the listening ports.")] = 1,
    log_format: Annotated[
        Literal["auto", "human", "json"],
        typer.Option(help="Lines for people or JSON; auto is human on a terminal and JSON elsewhere."),
    ] = "auto",
) -> None:
    """Serve the proxy, the gateway and the admin address until interrupted."""
    from detour.launcher import serve

    raise typer.Exit(serve(config, workers, log_format))
