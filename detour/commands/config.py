"""``detour config``: the same setup on several machines."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from detour.commands.options import USAGE, ConfigOption, fail, load

app = typer.Typer(
    help="Carry the configuration to another machine in one encrypted file.",
    no_args_is_help=True,
    add_completion=False,
)

PassphraseOption = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        metavar="FILE",
        help="Where the passphrase stands; else $DETOUR_PASSPHRASE, else it is asked for.",
    ),
]


@app.command("export")
def export_(
    file: Annotated[Path, typer.Argument(help="Where to write it.")],
    secrets: Annotated[
        bool, typer.Option("--secrets", help="Take the secrets behind env: and file: along.")
    ] = False,
    passphrase_file: PassphraseOption = None,
    config: ConfigOption = None,
) -> None:
    """Write the configuration and the providers beside it, encrypted."""
    from detour.files import write_atomic
    from detour.transfer import TransferError, collect, seal

    try:
        bundle = collect(load(config), secrets=secrets)
        write_atomic(file.absolute(), seal(bundle, _passphrase(passphrase_file, new=True)))
    except TransferError as error:
        raise fail(str(error)) from None
    except OSError as error:
        raise fail(f"{file}: {error.strerror}") from None
    carried = f"{len(bundle.files)} files" + (
        f" and {len(bundle.secrets)} secrets" if secrets else ", no secrets"
    )
    print(f"{file}: {carried}")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="What `detour config export` wrote.")],
    to: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where to; ~/.config/detour without.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be written.")] = False,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Put an exported configuration in place. What is there already is kept beside it."""
    from detour.transfer import TransferError, check, placed, unseal
    from router_core.config.loader import user_folder
    from router_core.config.problems import ConfigError

    folder = (to or user_folder(os.environ)).absolute()
    try:
        files = placed(unseal(file.read_bytes(), _passphrase(passphrase_file)))
        with tempfile.TemporaryDirectory(dir=_parent(folder), prefix=".detour-import-") as name:
            made = Path(name) / "new"
            made.mkdir(mode=0o700)
            check(files, made)
            if not dry_run:
                _replace(made, folder)
    except TransferError as error:
        raise fail(str(error)) from None
    except ConfigError as error:
        print(error, file=sys.stderr)
        raise fail("the configuration in the file cannot be used here", USAGE) from None
    except OSError as error:
        raise fail(f"{error.filename or file}: {error.strerror}") from None
    for path in sorted(files):
        print(folder / path)


def _parent(folder: Path) -> Path:
    folder.parent.mkdir(parents=True, exist_ok=True)
    return folder.parent


def _replace(made: Path, folder: Path) -> None:
    if folder.exists():
        kept = folder.with_name(f"{folder.name}.before-{time.strftime('%Y%m%dT%H%M%S')}")
        folder.rename(kept)
        print(f"detour: what was there is kept in {kept}", file=sys.stderr)
    shutil.move(made, folder)


def _passphrase(file: Path | None, *, new: bool = False) -> str:
    if file is not None:
        try:
            text = file.read_text().strip("\r\n")
        except (OSError, UnicodeDecodeError):
            raise fail(f"{file} cannot be read") from None
    else:
        text = os.environ.get("DETOUR_PASSPHRASE", "")
        if not text and sys.stdin.isatty():
            text = typer.prompt("Passphrase", hide_input=True, confirmation_prompt=new)
    if not text:
        raise fail(
            "there is no passphrase; set DETOUR_PASSPHRASE or name a file with --passphrase-file", USAGE
        )
    return text
