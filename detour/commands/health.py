"""``detour health``: whether the running instance serves, for what asks again and again."""

from __future__ import annotations

import http.client
import json as json_module

import typer

from detour.commands.options import ConfigOption, JsonOption, fail, load, print_json

TIMEOUT = 5.0
"""Seconds."""


def health(config: ConfigOption = None, json: JsonOption = False) -> None:
    """Exit 0 if the running instance serves, else 1: for container health checks, and for scripts that wait."""
    from detour import runtime
    from detour.environment import reachable
    from router_core.paths import paths

    running = runtime.read(paths(load(config).config).runtime)
    if running is None:
        raise fail("no instance is running")
    listener, path = (running.admin, "/readyz") if running.admin else (running.gateway, "/healthz")
    if listener is None:
        raise fail("the running instance has neither listen.admin nor listen.gateway, which could be asked")
    connection = http.client.HTTPConnection(reachable(listener), timeout=TIMEOUT)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        found = json_module.loads(answer.read())
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise fail(
            f"the running instance (pid {running.pid}) does not answer on {listener}: {error}"
        ) from None
    well = answer.status == 200 and found.get("status") != "draining"
    if json:
        print_json({"serves": well, **found})
    else:
        print("serves" if well else "is ending")
    if not well:
        raise typer.Exit(1)
