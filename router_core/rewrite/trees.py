"""Edits of trees that share whatever they leave alone; what the built-in rules are written with."""

from __future__ import annotations

from collections.abc import Callable

from router_core.json_document import Json
from router_core.rewrite.paths import GONE


def changed(items: list[Json], function: Callable[[Json], Json]) -> list[Json]:
    """Each item through `function`, without those that it makes GONE; the same list where all stay."""
    rest = iter(items)
    for i, item in enumerate(rest):
        new = function(item)
        if new is not item:
            return [n for n in (*items[:i], new, *map(function, rest)) if n is not GONE]
    return items


def at(body: dict[str, Json], key: str, function: Callable[[Json], Json]) -> dict[str, Json]:
    """`body` with the items of the list at `key` through `function`; `body` itself where nothing changes."""
    items = body.get(key)
    if not isinstance(items, list):
        return body
    new = changed(items, function)
    return body if new is items else body | {key: new}


def without(body: dict[str, Json], *keys: str) -> dict[str, Json]:
    """`body` without `keys`; itself where it has none of them."""
    return {k: v for k, v in body.items() if k not in keys} if any(k in body for k in keys) else body


def objects(value: Json) -> list[dict[str, Json]]:
    """The objects among the items of a list; none of anything else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
