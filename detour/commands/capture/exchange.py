"""``detour capture export`` and ``import``: records as other tools write and read them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Final

import orjson
import typer

from detour import __version__
from detour.commands.capture.place import Captures, SideOption, captures, credential_variable, hop_of
from detour.commands.options import USAGE, ConfigOption, JsonOption, fail, print_json
from router_core.capture import export as exports, har, har_reader
from router_core.capture.fixture import pytest_file
from router_core.capture.portable import Unportable
from router_core.capture.reader import NotARecord, read
from router_core.capture.recognise import recognise
from router_core.capture.record import Record
from router_core.capture.save import save

FORMATS: Final = ("curl", "httpie", "httpx", "raw", "pytest", "har", "mitm")
SEVERAL: Final = ("har", "mitm")
"""Formats of which one file holds many exchanges."""


def export(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Records, as for show.")],
    format: Annotated[
        str, typer.Option("--format", "-f", metavar="FORMAT", help=f"{', '.join(FORMATS)}.")
    ] = "curl",
    side: SideOption = None,
    attempts: Annotated[bool, typer.Option("--attempts", help="har, mitm: also what went upstream.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Else standard output.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Write records as commands, programs or archives. Credentials become environment variables."""
    if format not in FORMATS:
        raise fail(f"--format: there is no {format!r}; there are {', '.join(FORMATS)}", USAGE)
    place = captures(config)
    records = [place.record(id) for id in ids]
    if len(records) > 1 and format not in SEVERAL:
        raise fail(f"{format} holds one exchange; export several as har or mitm", USAGE)
    try:
        written = _write(place, records, format, side, attempts)
    except Unportable as error:
        raise fail(str(error)) from None
    data = written if isinstance(written, bytes) else written.encode("utf-8", "surrogateescape")
    if output is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        with os.fdopen(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(data)
    except OSError as error:
        raise fail(f"{output}: {error.strerror}") from None


def _write(
    place: Captures, records: list[Record], format: str, side: str | None, attempts: bool
) -> str | bytes:
    if format == "har":
        document = har.archive(records, __version__, attempts)
        return orjson.dumps(document, option=orjson.OPT_INDENT_2)
    if format == "mitm":
        from addons.flowfile import write_flows

        return write_flows(records, attempts)
    record = records[0]
    hop = hop_of(record, side)
    variable = credential_variable(place.loaded, hop, record)
    if format == "pytest":
        status = hop.response.status if hop.response else "no answer"
        return pytest_file(
            hop, variable, f"{record.opening.method} {record.opening.url} -> {status}, record {record.id}."
        )
    return exports.FORMATS[format](hop, variable)


def import_(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="HAR, mitmproxy flow files, or records.")
    ],
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Bring exchanges of other tools in. Their secrets are replaced before anything is written."""
    place = captures(config)
    redactor = place.redactor()
    imported: list[str] = []
    failed = False
    for file in files:
        try:
            records, problems = _read(file)
        except (NotARecord, har_reader.NotHar, ValueError) as error:
            failed = True
            print(f"detour: {file}: {str(error).removeprefix(f'{file}: ')}", file=sys.stderr)
            continue
        except OSError as error:
            failed = True
            print(f"detour: {file}: {error.strerror}", file=sys.stderr)
            continue
        for problem in problems:
            print(f"skipped {file}: {problem}", file=sys.stderr)
        for record in records:
            recognise(record, place.loaded.registry)
            try:
                save(record, place.folders, redactor)
            except (OSError, ValueError) as error:
                raise fail(str(error)) from None
            imported.append(record.id)
    if json:
        print_json(imported)
    else:
        print(*imported, sep="\n", end="\n" if imported else "")
    if failed:
        raise typer.Exit(1)


def _read(file: Path) -> tuple[list[Record], list[str]]:
    """The exchanges in a file of any known kind, and what could not be read."""
    with file.open("rb") as opened:
        head = opened.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()
    if not head:
        raise ValueError("the file is empty")
    if head.startswith(b'{"format":"detour-capture"'):
        return [read(file)], []
    if head.startswith(b"{"):
        return har_reader.read(file.read_bytes())
    from addons.flowfile import read_flows

    return read_flows(file)
