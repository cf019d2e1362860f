"""``detour capture diff``: what Detour changed, or what is different between two exchanges."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import orjson
import typer
from rich.markup import escape

from detour.commands.capture.place import IdArgument, SideOption, captures, console, hop_of
from detour.commands.options import ConfigOption, JsonOption, print_json
from detour.commands.terminal import visible
from router_core.capture import diff as differences
from router_core.capture.diff import Change
from router_core.capture.record import Hop, Record

LONG = 300
"""Characters of a value that are shown without --full."""


def diff(
    id: IdArgument,
    other: Annotated[
        str | None,
        typer.Argument(metavar="[B]", help="Another record; without it client and upstream of the first."),
    ] = None,
    side: SideOption = None,
    full: Annotated[bool, typer.Option("--full", help="Shorten nothing.")] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Compare what the client sent and got with what went upstream and came back; or two records.

    Headers are compared by name, JSON by path, streams by event.
    """
    place = captures(config)
    record = place.record(id)
    if other:
        two = place.record(other)
        which = side or "client"
        pairs = [(f"{record.id} and {two.id}", hop_of(record, which), hop_of(two, which))]
    else:
        pairs = _hops(record, side)
    found = [
        (
            title,
            differences.requests(one.request, two.request),
            differences.responses(*_answers(one, two, bool(other))),
        )
        for title, one, two in pairs
    ]
    if json:
        print_json(
            [
                {"between": t, "request": [asdict(c) for c in q], "response": [asdict(c) for c in r]}
                for t, q, r in found
            ]
        )
        return
    out = console()
    if not found:
        out.print("nothing went upstream: there is nothing to compare")
    for title, requests, responses in found:
        out.print(f"[bold]{escape(title)}[/bold]")
        for name, changes in (("request", requests), ("response", responses)):
            out.print(f"  {name}: {len(changes)} differences" if changes else f"  {name}: the same")
            for change in changes:
                for line in lines(change, full):
                    out.print("    " + line)


def _hops(record: Record, side: str | None) -> list[tuple[str, Hop, Hop]]:
    attempts = [hop_of(record, side)] if side and side != "client" else record.attempts
    return [(f"client and attempt {hop.number}", record.client, hop) for hop in attempts]


def _answers(one: Hop, two: Hop, records: bool) -> tuple[Any, Any]:
    """The answers in the order in which they came: of one exchange the upstream's is the earlier."""
    return (one.response, two.response) if records else (two.response, one.response)


def lines(change: Change, full: bool = False) -> list[str]:
    """A change as lines with colours."""
    where = escape(visible(change.where))
    if change.where in ("request", "response"):
        return [f"[yellow]{where} {change.kind}: one side has none[/yellow]"]
    if change.kind == "added":
        return [f"[green]+ {where}[/green] {_value(change.after, full)}"]
    if change.kind == "removed":
        return [f"[red]- {where}[/red] {_value(change.before, full)}"]
    before, after = _value(change.before, full), _value(change.after, full)
    if len(before) + len(after) < 100:
        return [f"[yellow]~ {where}[/yellow] {before} -> {after}"]
    return [f"[yellow]~ {where}[/yellow]", f"    [red]-[/red] {before}", f"    [green]+[/green] {after}"]


def _value(value: Any, full: bool) -> str:
    text = orjson.dumps(value).decode()
    if not full and len(text) > LONG:
        text = f"{text[:LONG]}... ({len(text)} characters)"
    return escape(visible(text))
