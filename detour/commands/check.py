"""``detour check``: validate a configuration without serving it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from detour.commands.options import USAGE, JsonOption, print_json

if TYPE_CHECKING:
    from router_core.config.loader import Loaded
    from router_core.config.problems import Problem


def check(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]", help="The configuration; without one, that which `detour run` would use."
        ),
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", "-c", metavar="FILE", help="The same.")] = None,
    schema: Annotated[bool, typer.Option(help="Print the JSON Schema of configurations instead.")] = False,
    json: JsonOption = False,
) -> None:
    """Say every mistake of a configuration at once, each as FILE:LINE: what and how to mend it; exit 2 if there is one."""
    from router_core.config.loader import ConfigError, load

    if schema:
        from router_core.config.reference import json_schema

        print_json(json_schema())
        return
    try:
        loaded = load(file or config)
        facts = _facts(loaded)
    except ConfigError as error:
        if json:
            print_json({"valid": False, "problems": _plain(error.problems), "warnings": []})
        else:
            for problem in error.problems:
                print(problem)
        raise typer.Exit(USAGE) from None
    if json:
        print_json({"valid": True, "problems": [], "warnings": _plain(loaded.warnings), **facts})
        return
    for warning in loaded.warnings:
        print(f"warning: {warning}")
    print(f"{loaded.path}: valid")
    for line in _summary(facts):
        print(line)


def _plain(problems: list[Problem]) -> list[dict[str, Any]]:
    return [asdict(problem) for problem in problems]


def _facts(loaded: Loaded) -> dict[str, Any]:
    """What the configuration comes to. Makes everything that serving makes, which finds the last mistakes."""
    from router_core.core import Core

    router = Core(loaded).router
    statuses = router.status()
    models = router.models()
    providers = loaded.registry.providers.values()
    return {
        "file": str(loaded.path),
        "files": [str(path) for path in loaded.files],
        "providers": {
            "enabled": [p.name for p in providers if p.enabled],
            "disabled": [p.name for p in providers if not p.enabled],
        },
        "credentials": {
            "active": [status.id for status in statuses if status.state != "inactive"],
            "inactive": {status.id: status.reason for status in statuses if status.state == "inactive"},
        },
        "models": {
            "configured": list(loaded.config.models),
            "listed": sum(entry.kind == "model" for entry in models),
        },
        "ambiguous": router.live.names.overlaps(),
    }


def _summary(facts: dict[str, Any]) -> Iterator[str]:
    providers, credentials, models = facts["providers"], facts["credentials"], facts["models"]
    if beside := facts["files"][1:]:
        folder = Path(facts["file"]).parent
        names = [
            str(p.relative_to(folder)) if p.is_relative_to(folder) else str(p) for p in map(Path, beside)
        ]
        yield f"files        {len(beside)} beside it: {_names(names)}"
    off = f", {_names(providers['disabled'])} disabled" if providers["disabled"] else ""
    yield f"providers    {len(providers['enabled'])} enabled{off}"
    yield f"credentials  {len(credentials['active'])} active: {_names(credentials['active'])}"
    if credentials["inactive"]:
        yield f"             {len(credentials['inactive'])} inactive: {_names(credentials['inactive'])}"
    yield f"models       {len(models['configured'])} configured: {_names(models['configured'])}"
    yield f"             {models['listed']} listed by providers with an active credential"
    for name, owners in facts["ambiguous"].items():
        first, *rest = owners
        yield f"ambiguous    {name}: {first}, then {_names(rest)}; write PROVIDER/{name} to mean one"


def _names(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
