"""Measures Detour: the road beside stock mitmdump, and what its features cost beside a Detour without them.

Usage: scripts/bench [--rounds N] [--seconds S] [--json] [PART ...]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

import uvloop
from rich.console import Console
from rich.table import Table

from scripts.benchmark import books, capturing, conversing, crew, growing, rewriting, road, translating

type Options = argparse.Namespace
type Part = Callable[[Options], tuple[Any, list[Table]]]
"""Gives its figures as JSON values, and as tables."""


def _road(options: Options) -> tuple[Any, list[Table]]:
    figures = uvloop.run(road.measure(options.rounds, options.seconds))
    return figures.as_json(), [figures.table("the road", ("mitmdump", "detour"))]


def _books(options: Options) -> tuple[Any, list[Table]]:
    figures = uvloop.run(books.measure(options.rounds, options.seconds))
    return figures.as_json(), [figures.table("what the books cost", books.NAMES)]


def _crew(options: Options) -> tuple[Any, list[Table]]:
    figures = uvloop.run(crew.measure(options.rounds, options.seconds))
    return figures.as_json(), [figures.table("several processes", crew.NAMES)]


def _capturing(options: Options) -> tuple[Any, list[Table]]:
    figures = uvloop.run(capturing.measure(options.rounds))
    return figures.as_json(), [figures.table("what recording costs", capturing.NAMES)]


def _rewriting(options: Options) -> tuple[Any, list[Table]]:
    requests, events = rewriting.requests(), rewriting.events()
    values = {
        "ms a request": {row: ms for row, (ms, *_) in requests.items()},
        "times one parse and one serialisation": {row: share for row, (*_, share) in requests.items()},
        "us an event": events,
    }
    return values, [rewriting.table(requests, events)]


def _translating(options: Options) -> tuple[Any, list[Table]]:
    events, requests = translating.measure(options.rounds), conversing.measure(options.rounds)
    growths = growing.measure(options.rounds)
    values = {
        "us an event": events,
        "ms a request": {row: ms for row, (ms, _) in requests.items()},
        "streams of any length": {row: asdict(growth) for row, growth in growths.items()},
    }
    return values, [translating.table(events), conversing.table(requests), growing.table(growths)]


PARTS: Final[dict[str, Part]] = {
    "road": _road,
    "books": _books,
    "crew": _crew,
    "capturing": _capturing,
    "rewriting": _rewriting,
    "translating": _translating,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all without any")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each turn of requests")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if unknown := [part for part in options.parts if part not in PARTS]:
        parser.error(f"there is no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    values: dict[str, Any] = {}
    for name in options.parts or PARTS:
        values[name], tables = PARTS[name](options)
        if not options.json:
            for table in tables:
                Console().print(table)
    if options.json:
        json.dump(values, sys.stdout, indent=2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
