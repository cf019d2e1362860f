"""``detour credentials``: the state of each credential, whether it works, and an end to its cooldowns."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from detour.commands import remote
from detour.commands.options import (
    FAILED,
    ConfigOption,
    JsonOption,
    fail,
    hands_down,
    load,
    print_columns,
    print_json,
)

app = typer.Typer(
    help="Show the state of each credential, try it, or end its cooldowns.", add_completion=False
)


@app.callback(invoke_without_command=True)
def credentials(context: typer.Context, config: ConfigOption = None, json: JsonOption = False) -> None:
    if not hands_down(context):
        list_(config, json)


@app.command("list")
def list_(config: ConfigOption = None, json: JsonOption = False) -> None:
    """List the credentials with their state and the time at which each is back.

    Live state comes from the running instance; without one, only what the configuration says is known.
    """
    loaded = load(config)
    answer = remote.call(loaded, "GET", "credentials")
    if answer is None:
        from router_core.core import Core

        found = [status.to_dict() for status in Core(loaded).router.status()]
    else:
        found = answer["credentials"]
    if json:
        print_json(found)
        return
    now = time.time()
    print_columns(
        ("ID", "PROVIDER", "STATE", "SINCE", "BACK IN", "PRIORITY", "WHY"),
        [row for status in found for row in _rows(status, now)],
    )
    if answer is None:
        print("detour: no instance is running, so what is cooling is not known", file=sys.stderr)


def _rows(status: dict[str, Any], now: float) -> list[tuple[str, ...]]:
    """A credential, and below it its cooling models, its quota windows and how it last failed."""
    since, until = status["since"], status["until"]
    first = (status["id"], status["provider"], status["state"], _ago(since, now), _back(until, now))
    rows: list[tuple[str, ...]] = [(*first, str(status["priority"]), status["reason"])]
    for model in status["models"]:
        times = _ago(model["since"], now), _back(model["until"], now)
        rows.append(
            ("", model["model"] or "no model", model["state"], *times, "", model["reason"] or model["kind"])
        )
    for window in status["windows"]:
        rows.append(
            ("", f"window {window['name']}", f"{window['used']:.0%}", "", _back(window["reset"], now), "", "")
        )
    if status["last_error"]:
        rows.append(("", "last error", "", _ago(status["last_error_at"], now), "", "", status["last_error"]))
    return rows


def _back(until: float | None, now: float) -> str:
    from router_core.routing.status import describe

    return describe(until - now) if until and until > now else "-"


def _ago(since: float | None, now: float) -> str:
    from router_core.routing.status import describe

    return f"{describe(now - since)} ago" if since else "-"


@app.command()
def test(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Which; all active ones without.")
    ] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Ask each provider for its list of models with the credential: costs nothing and shows whether it is accepted.

    Exit 1 if one is refused or cannot be tried.
    """
    from detour.probe import probe_all

    loaded = load(config)
    known = [credential.id for credential in loaded.config.credentials]
    if unknown := [name for name in ids or () if name not in known]:
        raise fail(f"no credential has the id {unknown[0]!r}; there are: {', '.join(known)}")
    results = asyncio.run(probe_all(loaded, ids))
    if json:
        print_json([result.to_dict() for result in results])
    elif results:
        print_columns(
            ("ID", "PROVIDER", "RESULT", "WHAT"), [(r.id, r.provider, r.result, r.what) for r in results]
        )
    else:
        print("No credential is active. detour credentials says what each one lacks.")
    if any(result.result == "failed" for result in results):
        raise typer.Exit(FAILED)


@app.command()
def disable(
    id: Annotated[str, typer.Argument(metavar="ID")], config: ConfigOption = None, json: JsonOption = False
) -> None:
    """Take a credential out of use in the running instance, until `enable`, also over restarts."""
    _switch("disable", id, config, json)


@app.command()
def enable(
    id: Annotated[str, typer.Argument(metavar="ID")], config: ConfigOption = None, json: JsonOption = False
) -> None:
    """Put a credential back into use that `disable` or the dashboard took out."""
    _switch("enable", id, config, json)


def _switch(action: str, id: str, config: Path | None, json: bool) -> None:
    answer = remote.call(load(config), "POST", "credentials", id, action)
    if answer is None:
        raise fail("no instance is running; `enabled: false` of the credential leaves it out from the start")
    if json:
        print_json(answer)
    else:
        print(f"{id} is {answer['state']}")


@app.command()
def reset(
    id: Annotated[str, typer.Argument(metavar="ID")], config: ConfigOption = None, json: JsonOption = False
) -> None:
    """End all cooldowns of a credential in the running instance."""
    answer = remote.call(load(config), "POST", "credentials", id, "reset")
    if answer is None:
        raise fail("no instance is running, so nothing is cooling")
    if json:
        print_json(answer)
    else:
        print(f"{id} is ready")
