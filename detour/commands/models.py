"""``detour models``: what can be asked for."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from detour.commands.options import ConfigOption, JsonOption, load, print_columns, print_json


def models(
    provider: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only what this provider serves.")
    ] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """List the names that a client can ask for, and who serves each."""
    from router_core.core import Core

    router = Core(load(config)).router
    entries = [
        entry for entry in router.models(provider=provider) if provider is None or provider in entry.providers
    ]
    if json:
        print_json([asdict(entry) for entry in entries])
        return
    if not entries:
        print("Nothing can be listed: no credential is active. detour check says what each one lacks.")
        return
    print_columns(
        ("MODEL", "SERVED BY", "KIND", "CONTEXT", "OUTPUT"),
        [
            (
                entry.id,
                ", ".join(entry.providers) or "-",
                entry.kind,
                _tokens(entry.info.context_length if entry.info else None),
                _tokens(entry.info.max_output_tokens if entry.info else None),
            )
            for entry in entries
        ],
    )


def _tokens(count: int | None) -> str:
    return f"{count:,}" if count else "-"
