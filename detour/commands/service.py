"""``detour service``: Detour as a systemd service."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from detour.commands.options import fail

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Run Detour as a systemd service.")


class Unit(StrEnum):
    SERVICE = "service"
    SOCKET = "socket"
    GATEWAY_BOX = "gateway-box"


ProgramOption = Annotated[
    Path | None, typer.Option("--program", help="The detour that it runs; this one by default.")
]
ConfigFile = Annotated[Path, typer.Option("--config", help="The configuration that it reads.")]
RootOption = Annotated[Path, typer.Option("--root", help="The folder that is / for the units.")]

CONFIG = Path("/etc/detour/detour.yaml")


@app.command("print")
def print_(
    what: Annotated[Unit, typer.Argument(help="Which unit.")] = Unit.SERVICE,
    program: ProgramOption = None,
    config: ConfigFile = CONFIG,
) -> None:
    """Print a unit as it would be installed."""
    from detour import service

    print(service.unit(what.value, _program(program), config), end="")


@app.command()
def install(
    socket: Annotated[
        bool, typer.Option("--socket", help="Also the socket unit, which keeps the ports open.")
    ] = False,
    gateway_box: Annotated[
        bool, typer.Option("--gateway-box", help="Also the drop-in for transparent mode.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace units that were changed.")] = False,
    program: ProgramOption = None,
    config: ConfigFile = CONFIG,
    root: RootOption = Path("/"),
) -> None:
    """Write the units, and say what comes next. Nothing is started."""
    from detour import service

    found = _program(program)
    if wrong := service.problems(found, config):
        raise fail("\n".join(wrong))
    names = ["service", *["socket"] * socket, *["gateway-box"] * gateway_box]
    try:
        for file in service.install(names, root, found, config, force=force):
            print(f"wrote {file}")
    except service.ServiceError as error:
        raise fail(str(error)) from None
    units = "detour.socket detour.service" if socket else "detour.service"
    print(f"next: detour check {config} && systemctl daemon-reload && systemctl enable --now {units}")


@app.command()
def uninstall(root: RootOption = Path("/")) -> None:
    """Remove the units; stop and disable them before: systemctl disable --now detour.service detour.socket"""
    from detour import service

    try:
        there = service.uninstall(root)
    except service.ServiceError as error:
        raise fail(str(error)) from None
    for file in there:
        print(f"removed {file}")
    print("next: systemctl daemon-reload" if there else "there are no units")


def _program(named: Path | None) -> Path:
    from detour import service

    try:
        return named.absolute() if named else service.own_program()
    except service.ServiceError as error:
        raise fail(str(error)) from None
