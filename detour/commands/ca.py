"""``detour ca``: the certificate authority that tools have to trust."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from detour.commands.options import ConfigOption, JsonOption, fail, hands_down, load, print_json

if TYPE_CHECKING:
    from detour.ca import CAPaths


class Store(StrEnum):
    SYSTEM = "system"
    NSS = "nss"
    JAVA = "java"


app = typer.Typer(
    help="Show, export and renew the certificate authority that tools have to trust.", add_completion=False
)


def _ensure(config: Path | None) -> CAPaths:
    from detour.ca import CAError, ensure_ca

    loaded = load(config)
    try:
        return ensure_ca(loaded.config, loaded.registry)
    except CAError as error:
        raise fail(str(error)) from None


@app.callback(invoke_without_command=True)
def default(context: typer.Context, config: ConfigOption = None, json: JsonOption = False) -> None:
    if not hands_down(context):
        show(config, json)


@app.command()
def show(config: ConfigOption = None, json: JsonOption = False) -> None:
    """Show the authority: its name, fingerprint, validity and the hosts it may sign for."""
    from detour.ca import describe

    found = _ensure(config)
    facts: dict[str, Any] = describe(found)
    if json:
        print_json(facts)
        return
    for name, value in facts.items():
        if isinstance(value, list):
            value = "\n            ".join(value)
        print(f"{name:<12}{'any' if value is None else value}")


@app.command()
def path(config: ConfigOption = None) -> None:
    """Print the path of the certificate (never of the key)."""
    print(_ensure(config).cert_pem)


@app.command()
def create(config: ConfigOption = None) -> None:
    """Make the authority if there is none, and issue it again if it no longer fits the configuration."""
    print(_ensure(config).cert_pem)


@app.command()
def export(
    file: Annotated[Path | None, typer.Argument(help="Where to write it; standard output without.")] = None,
    der: Annotated[bool, typer.Option(help="Binary DER instead of PEM.")] = False,
    config: ConfigOption = None,
) -> None:
    """Write the certificate, for a device or a store that is to trust it."""
    import ssl

    content = _ensure(config).cert_pem.read_bytes()
    if der:
        content = ssl.PEM_cert_to_DER_cert(content.decode())
    if file is None:
        sys.stdout.buffer.write(content)
        return
    try:
        file.write_bytes(content)
    except OSError as error:
        raise fail(f"{file}: {error.strerror}") from None


StoresArgument = Annotated[
    list[Store] | None,
    typer.Argument(
        metavar="[system|nss|java]...", help="Which stores; the system's without. nss is Firefox's."
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", "-n", help="Only show the commands.")]


@app.command()
def install(stores: StoresArgument = None, dry_run: DryRun = False, config: ConfigOption = None) -> None:
    """Have stores of this machine trust the authority. Tools under `detour exec` need no store."""
    _change(stores, dry_run, config, install=True)


@app.command()
def uninstall(stores: StoresArgument = None, dry_run: DryRun = False, config: ConfigOption = None) -> None:
    """Take the authority out of stores again."""
    _change(stores, dry_run, config, install=False)


def _change(stores: list[Store] | None, dry_run: bool, config: Path | None, *, install: bool) -> None:
    from shlex import join

    from detour.ca import authority
    from detour.trust import Machine, TrustError, run

    found = authority(_ensure(config))
    for store in stores or [Store.SYSTEM]:
        try:
            commands = Machine().plan(store.value, found, install=install)
            if dry_run:
                print("\n".join(map(join, commands)))
            elif store is Store.SYSTEM and os.geteuid() != 0:
                todo = "\n".join(f"  sudo {join(command)}" for command in commands)
                raise fail(f"the system's store belongs to root; run\n{todo}")
            else:
                run(commands)
                print(f"{store}: {found.name} is {'trusted' if install else 'no longer trusted'}")
        except TrustError as error:
            raise fail(f"{store}: {error}") from None


@app.command()
def rotate(config: ConfigOption = None) -> None:
    """Make a new authority with a new key. Whatever trusted the earlier one has to be told anew."""
    from detour import runtime
    from detour.ca import CAError, rotate as renew
    from router_core.paths import paths

    loaded = load(config)
    try:
        found = renew(loaded.config, loaded.registry)
    except CAError as error:
        raise fail(str(error)) from None
    print(found.cert_pem)
    if running := runtime.read(paths(loaded.config).runtime):
        print(
            f"detour: the running instance (pid {running.pid}) takes it up by itself; start tools again that run",
            file=sys.stderr,
        )
