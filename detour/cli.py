"""The command line. Each command is a function in `detour.commands`."""

from __future__ import annotations

from typing import Annotated

import typer

from detour import __version__
from detour.commands import ca, credentials, usage
from detour.commands.check import check
from detour.commands.dashboard import dashboard
from detour.commands.demo import demo
from detour.commands.doctor import doctor
from detour.commands.env import env
from detour.commands.exec import exec_
from detour.commands.explain import explain
from detour.commands.models import models
from detour.commands.run import run
from detour.commands.top import top

app = typer.Typer(
    name="detour",
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


app.command()(run)
app.command()(demo)
app.command("exec", context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True})(
    exec_
)
app.command()(env)
app.command()(check)
app.command()(explain)
app.command()(models)
app.command()(doctor)
app.add_typer(credentials.app, name="credentials")
app.add_typer(ca.app, name="ca")
app.add_typer(usage.app, name="usage")
app.command()(top)
app.command()(dashboard)


def main() -> None:
    app(prog_name="detour")
