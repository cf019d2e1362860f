"""The command line: which command stands in which module of `detour.commands`.

A command's module is imported when the command is asked for, so that none slows the others down.
"""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from detour import __version__

COMMANDS: Final = {
    "run": "run:run",
    "demo": "demo:demo",
    "exec": "exec:exec_",
    "env": "env:env",
    "check": "check:check",
    "explain": "explain:explain",
    "models": "models:models",
    "credentials": "credentials:app",
    "doctor": "doctor:doctor",
    "health": "health:health",
    "ca": "ca:app",
    "gateway": "gateway:app",
    "service": "service:app",
    "setup": "setup:setup",
    "capture": "capture:app",
    "usage": "usage:app",
    "top": "top:top",
    "dashboard": "dashboard:dashboard",
    "config": "config:app",
}
"""In the order of the help. A name leads to a function, or to a Typer app with commands of its own."""

OTHERS: Final = {"allow_interspersed_args": False, "ignore_unknown_options": True}
"""For a command that runs another program: what follows its name is that program's."""
SETTINGS: Final[dict[str, dict[str, Any]]] = {"exec": OTHERS}


class Commands(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        found = getattr(import_module(f"detour.commands.{module}"), attribute)
        if isinstance(found, typer.Typer):
            command: Any = typer.main.get_command(found)
        else:
            alone = typer.Typer(add_completion=False)
            alone.command(cmd_name, context_settings=SETTINGS.get(cmd_name))(found)
            command = typer.main.get_command(alone)
        command.name = cmd_name
        return command


app = typer.Typer(
    name="detour",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"detour {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Route the traffic of AI command-line tools to the credentials you choose."""
