"""What several commands take and do alike: their options, loading the configuration, printing JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterable
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
        help="Configuration file; else $DETOUR_CONFIG, ~/.config/detour/detour.yaml, or the packaged default.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]

FAILED = 1
USAGE = 2


def fail(message: str, code: int = FAILED) -> typer.Exit:
    """Say `message` on standard error; the result is to be raised."""
    print(f"detour: {message}", file=sys.stderr)
    return typer.Exit(code)


def load(path: Path | None, *, warn: bool = True) -> Loaded:
    """The configuration, or every mistake in it on standard error and exit code 2."""
    from router_core.config import loader
    from router_core.config.problems import ConfigError

    try:
        loaded = loader.load(path)
    except ConfigError as error:
        say(error.problems)
        raise fail("the configuration cannot be used", USAGE) from None
    if warn:
        say(f"warning: {problem}" for problem in loaded.warnings)
    return loaded


def say(lines: Iterable[object]) -> None:
    for line in lines:
        print(line, file=sys.stderr)


def print_json(document: Any) -> None:
    import orjson

    sys.stdout.write(orjson.dumps(document, option=orjson.OPT_INDENT_2, default=str).decode() + "\n")
