"""``detour dashboard``: open the running instance's pages in a browser."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from detour.commands import remote
from detour.commands.options import ConfigOption, fail, load


def dashboard(
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Only print the address; it works once, within a minute.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Open the dashboard in a browser, logged in."""
    import webbrowser

    from detour import runtime
    from detour.environment import reachable
    from router_core.paths import paths

    loaded = load(config)
    answer = remote.call(loaded, "POST", "tickets")
    running = runtime.read(paths(loaded.config).runtime)
    if answer is None or running is None or running.admin is None:
        raise fail("no instance is running; start one with `detour run`")
    address = f"http://{reachable(running.admin)}{answer['path']}"
    if no_browser or not webbrowser.open(address):
        print(address)
    else:
        print("detour: the dashboard opens in your browser", file=sys.stderr)
