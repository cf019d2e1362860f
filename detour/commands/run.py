"""``detour run``: serve."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Literal

import typer

from detour.commands.options import ConfigOption


def run(
    config: ConfigOption = None,
    log_format: Annotated[
        Literal["human", "json"], typer.Option(help="How log lines are written.")
    ] = "human",
    drain: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="How long requests may go on after SIGTERM, as 30s; 0 ends at once."
        ),
    ] = None,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace", help="Take the place of the instance that runs, without refusing a connection."
        ),
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="Processes that serve on the same ports; as listen.workers."),
    ] = None,
    worker: Annotated[str | None, typer.Option(hidden=True)] = None,
    private_to: Annotated[int | None, typer.Option(hidden=True)] = None,
    local: Annotated[bool, typer.Option(hidden=True)] = False,
    capture_run: Annotated[str | None, typer.Option(hidden=True)] = None,
    capture_host: Annotated[list[str] | None, typer.Option(hidden=True)] = None,
) -> None:
    """Serve the proxy, the gateway and the admin address until interrupted."""
    _optimised()
    from detour.capture_run import CaptureRun
    from detour.launcher import Place, Run, serve

    recorded = CaptureRun(capture_run, tuple(capture_host or ())) if capture_run else None
    place = Place(*map(int, worker.split(":"))) if worker else None
    how = Run(private_to, recorded, _duration(drain), replace, workers, place, local)
    raise typer.Exit(serve(config, log_format, how))


def _duration(text: str | None) -> float | None:
    from router_core.config.units import parse_duration

    try:
        return None if text is None else parse_duration(0 if text == "0" else text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--drain") from None


def _optimised() -> None:
    """Go on as ``python -O``, once: mitmproxy then leaves out checks of its own types at every message and
    event, which cost a tenth of its time. The process keeps its number. DETOUR_DEBUG=1 keeps the checks."""
    if not sys.flags.optimize and not os.environ.get("DETOUR_DEBUG"):
        os.execv(sys.executable, [sys.executable, "-O", *sys.orig_argv[1:]])
