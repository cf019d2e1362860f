"""``detour capture list``, ``tail`` and ``prune``."""

from __future__ import annotations

import fnmatch
import re
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Annotated, Any

import orjson
import typer

from detour.commands.capture.place import Captures, captures, console
from detour.commands.capture.rows import cells, table
from detour.commands.options import USAGE, ConfigOption, JsonOption, fail, print_json
from router_core.capture import folder
from router_core.capture.folder import Unreadable
from router_core.capture.reader import NotARecord, Summary, read, summarise
from router_core.capture.search import contains
from router_core.config.units import parse_duration, parse_size

POLL = 0.3
"""Seconds between two looks at the folder."""

SinceOption = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="2026-08-22, 2026-08-22T14:30, or 2h for the last two hours."),
]
ProviderOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Of the upstream that served it. * stands for any characters."),
]
ModelOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="As asked for or as sent. * stands for any characters.")
]
StatusOption = Annotated[
    str | None,
    typer.Option(metavar="STATUS", help="429, 4xx, ok, error, or open for exchanges without an end."),
]
ClientOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="A client key's name, an address, or a tool such as claude-code."),
]


def list_(
    since: SinceOption = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Like --since.")] = None,
    provider: ProviderOption = None,
    model: ModelOption = None,
    status: StatusOption = None,
    client: ClientOption = None,
    host: Annotated[
        str | None, typer.Option(metavar="NAME", help="That the client meant. * stands for any characters.")
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="In a header, a body or the conversation; capitals do not matter."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 50,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """List what was recorded, the newest last."""
    place = captures(config)
    wanted = [
        *_times(since, until),
        *_names(provider=provider, model=model, client=client, host=host),
        *([_status(status)] if status else []),
        *([_text(text)] if text else []),
    ]
    found: list[Summary] = []
    for summary in _readable(place):
        if all(fits(summary) for fits in wanted):
            found.append(summary)
            if len(found) >= limit:
                break
    found.sort(key=lambda summary: summary.opening.created)
    if json:
        print_json([summary.values() for summary in found])
        return
    if not found:
        print(
            f"nothing recorded in {place.folders}"
            + (" that fits" if wanted else "; set capture.mode to all or errors"),
            file=sys.stderr,
        )
        return
    out = console()
    out.print(table(found, out.width))


def tail(
    provider: ProviderOption = None,
    model: ModelOption = None,
    status: StatusOption = None,
    client: ClientOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
    count: Annotated[int | None, typer.Option("--count", "-n", min=1, help="Stop after so many.")] = None,
) -> None:
    """Print each exchange when it has ended, until interrupted."""
    place = captures(config)
    wanted = [*_names(provider=provider, model=model, client=client), *([_status(status)] if status else [])]
    seen = {path for path in folder.paths(place.folders) if _ended(path)}
    out = console()
    try:
        while count is None or count > 0:
            for path in folder.paths(place.folders):
                if path in seen or not (summary := _ended(path)):
                    continue
                seen.add(path)
                if all(fits(summary) for fits in wanted):
                    if json:
                        print(orjson.dumps(summary.values(), default=str).decode(), flush=True)
                    else:
                        out.print("  ".join(cells(summary)))
                    count = count and count - 1
            time.sleep(POLL)
    except KeyboardInterrupt:
        return


def prune(
    days: Annotated[
        float | None, typer.Option(min=0, help="Delete what is older; else capture.retain.days.")
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Keep at most this much, e.g. 200MB; else capture.retain.size."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Delete all records.")] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Delete old records, as a running instance does by itself."""
    place = captures(config)
    retain = place.loaded.config.capture.retain
    try:
        limit = parse_size(size) if size else retain.size
    except ValueError as error:
        raise fail(f"--size: {error}", USAGE) from None
    if everything:
        days, limit = 0, 0
    failed: list[OSError] = []
    deleted = folder.prune(place.folders, retain.days if days is None else days, limit, failed=failed)
    if json:
        print_json({"deleted": [path.stem for path in deleted]})
    else:
        print(f"{len(deleted)} records deleted")
    if failed:
        raise fail(f"{failed[0].filename}: {failed[0].strerror} ({len(failed)} records cannot be deleted)")


def _readable(place: Captures) -> Iterator[Summary]:
    """Summaries, the newest first; files that are no records are named on standard error."""
    for found in folder.summaries(place.folders):
        if isinstance(found, Unreadable):
            print(f"skipped {found.path}: {found.why}", file=sys.stderr)
        else:
            yield found


def _ended(path) -> Summary | None:
    try:
        summary = summarise(path)
    except (NotARecord, OSError):
        return None
    return summary if summary.end else None


# -- filters --------------------------------------------------------------------------------------------


type Filter = Callable[[Summary], bool]


def _names(**wanted: str | None) -> list[Filter]:
    """One filter for each name that is given."""
    values: dict[str, Callable[[Summary], tuple[Any, ...]]] = {
        "provider": lambda s: ((s.end or {}).get("provider"), s.opening.provider),
        "model": lambda s: (s.opening.model, (s.end or {}).get("target")),
        "client": lambda s: (s.opening.client, s.opening.tool),
        "host": lambda s: (s.opening.host,),
    }

    def fits(pattern: str, of: Callable[[Summary], tuple[Any, ...]]) -> Filter:
        return lambda summary: any(value and fnmatch.fnmatchcase(value, pattern) for value in of(summary))

    return [fits(pattern, values[name]) for name, pattern in wanted.items() if pattern]


def _times(since: str | None, until: str | None) -> list[Filter]:
    filters: list[Filter] = []
    if since:
        begin = _time("--since", since)
        filters.append(lambda summary: summary.opening.created >= begin)
    if until:
        end = _time("--until", until)
        filters.append(lambda summary: summary.opening.created < end)
    return filters


def _time(option: str, text: str) -> float:
    try:
        return time.time() - parse_duration(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise fail(
            f"{option}: {text!r} is no time; write 2026-08-22, 2026-08-22T14:30 or 2h", USAGE
        ) from None


def _status(text: str) -> Filter:
    if text == "ok":
        return lambda s: 0 < ((s.end or {}).get("status") or 0) < 400 and not (s.end or {}).get("error")
    if text == "error":
        return lambda s: bool((s.end or {}).get("error")) or ((s.end or {}).get("status") or 0) >= 400
    if text == "open":
        return lambda s: s.end is None
    if not re.fullmatch(r"[1-5](?:xx|\d\d)", text):
        raise fail(f"--status: {text!r} is none; write 429, 4xx, ok, error or open", USAGE)
    return lambda s: re.fullmatch(text.replace("x", r"\d"), str((s.end or {}).get("status"))) is not None


def _text(text: str) -> Filter:
    def fits(summary: Summary) -> bool:
        try:
            return contains(read(summary.path), text)
        except (NotARecord, OSError):
            return False

    return fits
