"""``detour capture run``: record one command line, and say what it talked to."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from detour import private
from detour.commands.capture.place import Captures, captures, console
from detour.commands.capture.rows import size
from detour.commands.exec import find_program
from detour.commands.options import ConfigOption, JsonOption, fail, print_json
from router_core.capture import discover, folder
from router_core.capture.folder import Folders, Unreadable
from router_core.capture.reader import NotARecord, Summary, read
from router_core.capture.record import Record

SETTLE = 5.0
"""Seconds that the last exchanges get to end after the command has ended."""
WRITE = 30.0
"""Seconds in which their records are complete, on a disk that is not dead."""


def run(
    command: Annotated[
        list[str], typer.Argument(metavar="-- CMD [ARG]...", help="The command and its arguments.")
    ],
    host: Annotated[
        list[str] | None,
        typer.Option(
            "--host", metavar="HOST", help="Also look into what goes to this host; may be repeated."
        ),
    ] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Run CMD with everything it says to AI providers recorded, then print what it talked to.

    The report goes to standard error, with --json to standard output. CMD's exit code is its own.
    """
    place = captures(config)
    program = find_program(command[0])
    label = secrets.token_hex(4)
    instance, environment = _instance(place, label, tuple(h.lower().rstrip(".") for h in host or ()))
    began = time.time()
    code = _wait(program, command, environment)
    # It ends when everything is written.
    instance.end(SETTLE)
    records = list(_records(_written(place, label, began)))
    # CMD may have left its last line without an end.
    print(file=sys.stdout if json else sys.stderr)
    if json:
        print_json(_values(command, code, records))
    else:
        _report(records, host or [])
    raise typer.Exit(code)


def _instance(place: Captures, label: str, hosts: tuple[str, ...]) -> tuple[private.Private, dict[str, str]]:
    """A private instance for CMD, and the variables that lead to it."""
    from detour.ca import CAError, ensure_ca
    from detour.capture_run import CaptureRun
    from detour.environment import client_key, variables
    from router_core.config.secrets import SecretError
    from router_core.paths import paths

    loaded = CaptureRun(label, hosts).apply(place.loaded)
    options = ["--capture-run", label, *(word for host in hosts for word in ("--capture-host", host))]
    try:
        ca = ensure_ca(loaded.config, loaded.registry)
        key = client_key(loaded.config)
        started = private.start(loaded.path.resolve(), paths(loaded.config).logs, options)
    except (CAError, SecretError) as error:
        raise fail(str(error)) from None
    except private.StartError as error:
        raise fail(f"a private instance could not be started:\n{error}") from None
    except OSError as error:
        raise fail(f"{error.filename}: {error.strerror}; make it writable, or set data_dir") from None
    return started, {**os.environ, **variables(started.addresses["proxy"], ca, os.environ, key)}


def _wait(program: str, command: list[str], environment: dict[str, str]) -> int:
    """The exit code of CMD, which gets the terminal's signals itself; 128 and its number for a signal."""
    sys.stdout.flush()
    try:
        process = subprocess.Popen(command, executable=program, env=environment)
    except OSError as error:
        raise fail(f"{command[0]}: cannot be run: {error.strerror}", 126) from None
    before = [(number, signal.signal(number, lambda *_: None)) for number in (signal.SIGINT, signal.SIGQUIT)]
    try:
        code = process.wait()
    finally:
        for number, handler in before:
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code


def _written(place: Captures, label: str, began: float) -> list[Summary]:
    """The run's records. The recorder of an instance that was ended may be a little late."""
    deadline = time.monotonic() + WRITE
    while True:
        found = list(_of_run(place.folders, label, began))
        if all(summary.end for summary in found) or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def _of_run(place: Folders, label: str, began: float) -> Iterator[Summary]:
    for summary in folder.summaries(place):
        if isinstance(summary, Unreadable):
            continue
        if summary.opening.created < began - 60:
            return
        if summary.opening.run == label:
            yield summary


def _records(summaries: list[Summary]) -> Iterator[Record]:
    for summary in reversed(summaries):
        try:
            yield read(summary.path)
        except (NotARecord, OSError):
            continue


def _values(command: list[str], code: int, records: list[Record]) -> dict[str, Any]:
    seen, tunnelled = _split(records)
    return {
        "command": command,
        "exit_code": code,
        "hosts": [
            {
                "host": h.name,
                "provider": h.provider,
                "requests": h.requests,
                "failed": h.failed,
                "surfaces": sorted(h.surfaces),
                "models": sorted(h.models),
                "sent": h.sent,
                "received": h.received,
                "records": h.records,
            }
            for h in discover.hosts(seen)
        ],
        "tunnelled": [{"host": name, "likely": discover.likely(name)} for name in tunnelled],
        "unknown_providers": [
            {
                "host": g.host,
                "format": g.format,
                "base_url": g.base_url,
                "evidence": g.evidence,
                "draft": g.draft(),
            }
            for g in discover.guess(seen)
        ],
    }


def _split(records: list[Record]) -> tuple[list[Record], list[str]]:
    """(what was looked into, names of hosts that were not)."""
    seen = [r for r in records if r.opening.via != "tunnel"]
    return seen, sorted({r.opening.host for r in records if r.opening.via == "tunnel"})


def _report(records: list[Record], asked: list[str]) -> None:
    out = console(stderr=True)
    seen, tunnelled = _split(records)
    if not records:
        out.print("detour: the command talked to no host through the proxy. Does it honour HTTPS_PROXY?")
        return
    if seen:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="What it talked to", title_justify="left")
        for name in ("host", "provider", "surfaces", "models"):
            table.add_column(name, overflow="fold", no_wrap=name in ("host", "provider"))
        for name in ("requests", "failed", "sent", "received"):
            table.add_column(name, justify="right", no_wrap=True)
        for host in discover.hosts(seen):
            table.add_row(
                escape(host.name),
                escape(host.provider or "unknown"),
                escape(", ".join(sorted(host.surfaces)) or "-"),
                escape(", ".join(sorted(host.models)) or "-"),
                str(host.requests),
                str(host.failed) if host.failed else "-",
                size(host.sent),
                size(host.received),
            )
        out.print(table)
        out.print(f"Records: detour capture list --limit {len(seen)}; detour capture show {seen[-1].id}")
    if tunnelled:
        out.print(f"Not looked into: {escape(', '.join(tunnelled))}")
    likely = [name for name in tunnelled if discover.likely(name) and name not in asked]
    if likely:
        options = " ".join(f"--host {name}" for name in likely)
        out.print(
            f"[yellow]Of these, some may serve models. To look into them: detour capture run {escape(options)} -- CMD[/yellow]"
        )
    for guess in discover.guess(seen):
        out.print(f"\n[bold]Unknown provider: {escape(guess.host)} speaks {guess.format}[/bold]")
        out.print(guess.draft(), markup=False)
