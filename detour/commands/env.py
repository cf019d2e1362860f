"""``detour env``: the variables for ``eval``."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Literal

import typer

from detour.commands.options import USAGE, ConfigOption, JsonOption, fail, load, print_json


def env(
    config: ConfigOption = None,
    shell: Annotated[Literal["sh", "fish", "powershell"], typer.Option(help="Whose syntax to print.")] = "sh",
    json: JsonOption = False,
) -> None:
    """Print the variables that lead tools through Detour: eval "$(detour env)"."""
    from detour import runtime
    from detour.ca import CAError, ensure_ca
    from detour.environment import assignments, client_key, variables
    from router_core.config.secrets import SecretError
    from router_core.paths import paths

    loaded = load(config)
    running = runtime.read(paths(loaded.config).runtime)
    proxy = (running and running.proxy) or loaded.config.listen.proxy
    if not proxy:
        raise fail(
            "listen.proxy is null, so there is no proxy to lead tools through; give it an address", USAGE
        )
    try:
        ca = ensure_ca(loaded.config, loaded.registry)
        key = client_key(loaded.config)
    except (CAError, SecretError) as error:
        raise fail(str(error)) from None
    found = variables(proxy, ca, os.environ, key)
    if json:
        print_json(found)
    else:
        sys.stdout.write(assignments(found, shell))
