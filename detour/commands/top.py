"""``detour top``: what the running instance does right now, kept up to date in the terminal."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from detour.commands import remote
from detour.commands.options import ConfigOption, JsonOption, fail, load, print_json

SHOWN = 200
"""Finished exchanges that are looked at."""


def top(
    interval: Annotated[float, typer.Option(min=0.2, max=60, help="Seconds between two looks.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Look once and end.")] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Watch running exchanges, tokens per second, and the credentials with their reset times. Ctrl-C ends it."""
    loaded = load(config)

    def look() -> dict[str, Any]:
        state = remote.call(loaded, "GET", "state")
        if state is None:
            raise fail("no instance is running; start one with `detour run`")
        exchanges = remote.call(loaded, "GET", "exchanges", limit=SHOWN)
        credentials = remote.call(loaded, "GET", "credentials")["credentials"]
        return {"state": state, "credentials": credentials, **exchanges}

    if json:
        print_json(look())
        return
    from rich.live import Live

    from detour.commands.screen import screen
    from detour.commands.tables import console

    out = console()
    if once or not out.is_terminal:
        out.print(screen(look(), time.time(), out.width, 1000))
        return
    try:
        with Live(console=out, screen=True, auto_refresh=False) as live:
            while True:
                live.update(screen(look(), time.time(), out.width, out.height), refresh=True)
                time.sleep(interval)
    except KeyboardInterrupt:
        return
