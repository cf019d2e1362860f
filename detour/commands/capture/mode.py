"""``detour capture mode``: what a running instance records, looked at and switched."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from detour.commands import remote
from detour.commands.options import USAGE, ConfigOption, JsonOption, fail, load, print_json

MODES = ("off", "errors", "all")


def mode(
    mode: Annotated[
        str | None, typer.Argument(metavar="[off|errors|all]", help="Without it, say what is recorded.")
    ] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Switch what the running instance records, until it restarts; capture.mode in the configuration is for good."""
    if mode is not None and mode not in MODES:
        raise fail(f"there is no mode {mode!r}; there are {', '.join(MODES)}", USAGE)
    loaded = load(config)
    answer = (
        remote.call(loaded, "POST", "recording", mode) if mode else remote.call(loaded, "GET", "recording")
    )
    if answer is None:
        if mode:
            raise fail("no instance is running; set capture.mode in the configuration")
        answer = {"mode": loaded.config.capture.mode, "counters": None}
    if json:
        print_json(answer)
        return
    print(answer["mode"])
    if counters := answer["counters"]:
        said = ", ".join(
            f"{counters[name]} {name}" for name in ("recorded", "discarded", "dropped", "pruned")
        )
        print(f"since the start: {said}", file=sys.stderr)
        if counters["problem"]:
            print(f"dropped because: {counters['problem']}", file=sys.stderr)
