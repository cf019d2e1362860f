"""JSON paths with array selectors, compiled once: what generic rules set, drop and look at.

::

    temperature                       a key
    stream_options.include_usage      a key below a key
    ["key.with.dots"].x               a key in quotes
    messages[0]   messages[-1]        an item
    messages[*].content[*].text       every item
    tools[?type=web_search*].name     items that are objects with such a value (``*`` matches any text)
    tools[?type!=function]            items without it

A path never raises on a value of another shape: it selects nothing there. Edits return a new tree that
shares what they did not touch (see `router_core.json_document`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import translate
from typing import Any, Final

from router_core.json_document import Json

MAX_STEPS: Final = 32

GONE: Final = object()
"""What an edit returns to remove a value."""


@dataclass(frozen=True, slots=True)
class Key:
    name: str

    def __str__(self) -> str:
        return f".{self.name}"


@dataclass(frozen=True, slots=True)
class Index:
    number: int

    def __str__(self) -> str:
        return f"[{self.number}]"


@dataclass(frozen=True, slots=True)
class Each:
    """Every item, or with `key` the objects whose value there fits (or does not fit) the pattern."""

    key: str | None = None
    pattern: re.Pattern[str] | None = None
    negated: bool = False

    def selects(self, item: Json) -> bool:
        if self.key is None or self.pattern is None:
            return True
        if not isinstance(item, dict):
            return False
        value = item.get(self.key)
        text = value if isinstance(value, str) else _spelled(value)
        return (self.pattern.match(text) is not None) is not self.negated


type Step = Key | Index | Each

_STEP: Final = re.compile(
    r"""
      \.?(?P<key>[^.\[\]"*?\s]+)
    | \.?\["(?P<quoted>[^"]+)"\]
    | \[(?P<index>-?\d{1,6})\]
    | \[(?P<each>\*)\]
    | \[\?(?P<field>[\w$-]+)(?P<not>!?)=(?P<value>[^\]]*)\]
    """,
    re.VERBOSE,
)


def _spelled(value: Json) -> str:
    """A scalar as JSON spells it, for a pattern to match; nothing for a container."""
    match value:
        case None | True | False:
            return {None: "null", True: "true", False: "false"}[value]
        case int() | float():
            return str(value)
    return ""


@dataclass(frozen=True, slots=True)
class Path:
    text: str
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        return self.text

    @property
    def first_key(self) -> str:
        """The key at the root, which a body must hold for the path to select anything."""
        first = self.steps[0]
        return first.name if isinstance(first, Key) else ""

    def select(self, value: Json) -> Iterator[Json]:
        """The values at this path."""
        return _select(value, self.steps)

    def present(self, value: Json) -> bool:
        return next(self.select(value), GONE) is not GONE

    def misfit(self, value: Any) -> str | None:
        """Where `value` has another shape than the path goes through, in words; None where it fits or ends."""
        for i, step in enumerate(self.steps):
            place = "".join(map(str, self.steps[:i])).lstrip(".") or "the body"
            if isinstance(step, Key):
                if not isinstance(value, dict):
                    return f"`{place}` is no object"
                value = value.get(step.name)
            else:
                if not isinstance(value, list):
                    return f"`{place}` is no list"
                # Items are mostly of different shapes.
                known = isinstance(step, Index) and -len(value) <= step.number < len(value)
                value = value[step.number] if isinstance(step, Index) and known else None
            if value is None:
                return None
        return None


def parse_path(text: str) -> Path:
    """The path written as `text`. Raises ValueError with the place and the remedy."""
    steps: list[Step] = []
    position = 0
    while position < len(text):
        match = _STEP.match(text, position)
        if (
            match is None
            or (position == 0 and text[0] == ".")
            or (match["key"] and position and text[position] != ".")
        ):
            raise ValueError(
                f"{text!r} is no JSON path at character {position + 1}; write keys with dots and items as "
                '[0], [*] or [?key=value], e.g. messages[*].content, and unusual keys as ["key"]'
            )
        steps.append(_step(match))
        position = match.end()
    if not steps:
        raise ValueError("a JSON path is empty; write a key such as temperature")
    if len(steps) > MAX_STEPS:
        raise ValueError(f"a JSON path has more than {MAX_STEPS} steps; shorten it")
    return Path(text, tuple(steps))


def parse_key(text: str) -> str:
    """The key written as `text`, alone and in quotes where it is unusual. Raises ValueError for any other path."""
    match parse_path(text).steps:
        case (Key(name),):
            return name
    raise ValueError(
        f"{text!r} is a path; write the key's new name alone, and one with unusual characters as "
        '["key"]: what is renamed stays where it is'
    )


def _step(match: re.Match[str]) -> Step:
    if name := match["key"] or match["quoted"]:
        return Key(name)
    if match["index"]:
        return Index(int(match["index"]))
    if match["each"]:
        return Each()
    return Each(match["field"], re.compile(translate(match["value"])), bool(match["not"]))


def _select(value: Json, steps: tuple[Step, ...]) -> Iterator[Json]:
    if not steps:
        yield value
        return
    step, rest = steps[0], steps[1:]
    if isinstance(step, Key):
        if isinstance(value, dict) and step.name in value:
            yield from _select(value[step.name], rest)
    elif isinstance(value, list):
        if isinstance(step, Index):
            if -len(value) <= step.number < len(value):
                yield from _select(value[step.number], rest)
        else:
            for item in value:
                if step.selects(item):
                    yield from _select(item, rest)


type Edit = Callable[[Any], Any]
"""From the value at a path (GONE where an object lacks the last key) to the new one, or GONE."""


def edit(value: Json, path: Path, change: Edit, *, create: bool = False) -> Json:
    """`value` with `change` applied at `path`; `value` itself where that changes nothing.

    With `create`, objects that are missing or null along the path are made, and `change` is asked about a missing
    last key.
    """
    return _edit(value, path.steps, change, create)


def _edit(value: Json, steps: tuple[Step, ...], change: Edit, create: bool) -> Json:
    step, rest = steps[0], steps[1:]
    if isinstance(step, Key):
        if not isinstance(value, dict):
            return value
        old = value.get(step.name, GONE)
        if not rest:
            new = change(old) if old is not GONE or create else GONE
        elif create and (old is GONE or old is None) and isinstance(rest[0], Key):
            # To these APIs null is as good as nothing.
            new = _edit({}, rest, change, create) or old
        elif old is not GONE:
            new = _edit(old, rest, change, create)
        else:
            return value
        if new is old:
            return value
        if new is GONE:
            return {k: v for k, v in value.items() if k != step.name}
        return {**value, step.name: new}
    if not isinstance(value, list):
        return value
    if isinstance(step, Index):
        length = len(value)
        chosen = {step.number % length} if -length <= step.number < length else set()
    else:
        chosen = {i for i, item in enumerate(value) if step.selects(item)}
    items = [
        (change(item) if not rest else _edit(item, rest, change, create)) if i in chosen else item
        for i, item in enumerate(value)
    ]
    if all(new is old for new, old in zip(items, value, strict=True)):
        return value
    return [item for item in items if item is not GONE]


def rename(value: Json, path: Path, name: str) -> Json:
    """`value` with the last key of `path` called `name`, at its place; an existing `name` is left alone."""
    last = path.steps[-1]
    if not isinstance(last, Key):
        return value

    def renamed(holder: Json) -> Json:
        if not isinstance(holder, dict) or last.name not in holder or name in holder:
            return holder
        return {(name if k == last.name else k): v for k, v in holder.items()}

    if len(path.steps) == 1:
        return renamed(value)
    return _edit(value, path.steps[:-1], renamed, False)
