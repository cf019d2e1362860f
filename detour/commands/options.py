"""What several commands take and do alike: their options, loading the configuration, printing JSON."""

from __future__ import annotations

import json as _json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from router_core.config.loader import Loaded

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="Configuration file, or its folder; else $DETOUR_CONFIG, ~/.config/detour/detour.yaml, or the packaged default.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]

FAILED = 1
USAGE = 2


def fail(message: str, code: int = FAILED) -> typer.Exit:
    """Say `message` on standard error; the result is to be raised."""
    print(f"detour: {message}", file=sys.stderr)
    return typer.Exit(code)


def hands_down(context: typer.Context) -> bool:
    """Whether a command of this group is asked for; it gets the options that stand before its name.

    Without that ``detour ca --config FILE rotate`` would take another configuration.
    """
    name = context.invoked_subcommand
    if name is None:
        return False
    command = context.command.get_command(context, name)  # type: ignore[attr-defined]
    known = {parameter.name for parameter in command.params}
    given = {}
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name is None or source is None or source.name != "COMMANDLINE":
            continue
        if parameter.name not in known:
            raise fail(f"{parameter.opts[0]} is no option of {context.command_path} {name}", USAGE)
        given[parameter.name] = context.params[parameter.name]
    context.default_map = {name: given}
    return True


def load(path: Path | None) -> Loaded:
    """The configuration, or every mistake in it on standard error and exit code 2.

    Its warnings are for `detour check` and `detour run` to say.
    """
    from router_core.config import loader
    from router_core.config.problems import ConfigError

    try:
        return loader.load(path)
    except ConfigError as error:
        print(error, file=sys.stderr)
        raise fail("the configuration cannot be used", USAGE) from None


def print_columns(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """`rows` below `head`, each column as wide as its widest entry; the last one runs on."""
    table = [head, *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(head) - 1)]
    for row in table:
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)]
        print("  ".join([*cells, row[-1]]).rstrip())


def print_json(document: Any) -> None:
    import orjson

    try:
        text = orjson.dumps(document, option=orjson.OPT_INDENT_2, default=str).decode()
    except TypeError:
        # Half a surrogate pair, which JSON can spell and UTF-8 cannot.
        text = _json.dumps(document, indent=2, default=str)
    sys.stdout.write(text + "\n")
