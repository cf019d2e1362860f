"""Where the records are, and what the commands on them have in common."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from detour.commands.options import fail, load
from router_core.capture.folder import Folders, NoSuchRecord, find, redaction_key
from router_core.capture.reader import NotARecord, read
from router_core.capture.record import Hop, Record
from router_core.capture.redaction import Redactor
from router_core.capture.setup import credential_headers
from router_core.config.loader import Loaded
from router_core.config.schema import SecretRef
from router_core.config.secrets import SecretError, resolve_now
from router_core.paths import paths

IdArgument = Annotated[
    str, typer.Argument(metavar="ID", help="A record's id or the beginning of it, a file, or `last`.")
]
SideOption = Annotated[
    str | None,
    typer.Option(
        "--side",
        metavar="SIDE",
        help="client (as the tool sent it), upstream (as it went out), or a number: that attempt.",
    ),
]


@dataclass(frozen=True, slots=True)
class Captures:
    loaded: Loaded
    folders: Folders
    key_file: Path

    def record(self, name: str) -> Record:
        """The record called `name`, or the command's end."""
        try:
            return read(find(self.folders, name))
        except (NoSuchRecord, NotARecord) as error:
            raise fail(str(error)) from None
        except OSError as error:
            raise fail(f"{error.filename}: {error.strerror}") from None

    def redactor(self) -> Redactor:
        """For what is brought into the folders now. Secrets that cannot be had now are not known by value."""
        capture = self.loaded.config.capture
        headers = credential_headers(self.loaded.registry)
        try:
            redactor = Redactor(redaction_key(self.key_file), capture.redact, capture.redact_names, headers)
        except OSError as error:
            raise fail(str(error)) from None
        for credential in self.loaded.config.credentials:
            if credential.api_key and credential.api_key.kind != "command":
                redactor.know(_value(credential.api_key))
        return redactor


def captures(config: Path | None) -> Captures:
    loaded = load(config)
    where = paths(loaded.config)
    return Captures(loaded, where.captures, where.capture_key)


def hop_of(record: Record, side: str | None) -> Hop:
    """The hop that ``--side`` names; without it the last attempt, or the client's where there was none."""
    if side is None:
        return record.upstream or record.client
    if side == "client":
        return record.client
    if side == "upstream" and record.upstream:
        return record.upstream
    for hop in record.attempts:
        if side == str(hop.number):
            return hop
    sides = ["client", *(["upstream"] if record.attempts else []), *(str(h.number) for h in record.attempts)]
    raise fail(f"the record has no side {side!r}; it has {', '.join(sides)}")


def credential_variable(loaded: Loaded, hop: Hop, record: Record) -> str:
    """The environment variable that holds the credential of a request, by the configuration or by custom."""
    provider = hop.about.get("provider") or record.opening.provider
    wanted = hop.about.get("credential")
    found = [c for c in loaded.config.credentials if c.api_key and c.api_key.kind == "env"]
    for credential in (*(c for c in found if c.id == wanted), *(c for c in found if c.provider == provider)):
        assert credential.api_key
        return credential.api_key.name
    name = "".join(c if c.isalnum() else "_" for c in (provider or "").upper())
    return f"{name}_API_KEY" if name else "API_KEY"


def console(stderr: bool = False) -> Console:
    """Colours on a terminal; what is piped is not folded to a width that nobody has."""
    if (sys.stderr if stderr else sys.stdout).isatty():
        return Console(stderr=stderr, highlight=False)
    return Console(stderr=stderr, highlight=False, width=10_000, soft_wrap=True)


def _value(reference: SecretRef) -> list[str]:
    try:
        return [resolve_now(reference).get_secret_value()]
    except SecretError:
        return []
