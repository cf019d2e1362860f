"""Fields that a client sends and no reader reads, named so that they are listed and not lost in silence.

Each format has a table of what is read of its objects. What is listed is what would have told the model, or
its provider, something: ids and states that a client only repeats are in the tables as if they were read.
A document is looked through when somebody asks what was lost, not when it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Fields:
    """Names of an object's fields that are read, and tables of the objects within them."""

    read: frozenset[str]
    within: Mapping[str, Fields | ByType] = field(default_factory=dict)
    least: int = 0
    """How many of them every such object has: one with no more fields than these has no others."""


@dataclass(frozen=True, slots=True)
class ByType:
    """Tables of objects that their ``type`` tells apart."""

    tables: Mapping[Any, Fields]
    complete: bool = False
    """Whether objects without a table are not read at all; else they are read by other rules."""


def names(*read: str, least: int = 0, **within: Fields | ByType) -> Fields:
    """A table of fields that are `read`, and of objects `within` others."""
    return Fields(frozenset((*read, *within)), within, least)


WHOLE: Final = Fields(frozenset())
"""Of objects whose fields are all read, or that have notes of their own."""


def check(value: dict[str, Any], table: Fields | ByType, place: str, found: list[str]) -> None:
    """The same as `find` of one of the objects of an array."""
    _look(value, table, (place,), found, "[]")


def others(document: dict[str, Any], read: frozenset[str], spelled: Callable[[str], str] = str) -> list[str]:
    """The fields of a whole document that are not `read`, which names them as `spelled`."""
    return [key for key, value in document.items() if spelled(key) not in read and value is not None]


def find(value: Any, table: Fields | ByType, place: str, found: list[str]) -> None:
    """Adds the fields of an object, or of all objects of an array, that are not in `table`, once each."""
    if type(value) is dict:
        _look(value, table, (place,), found)
    elif type(value) is list:
        _look_through(value, table, (place,), found)


type _Place = tuple[Any, ...]
"""(place of the object around it, field): joined only where something is found, which is hardly ever."""


def _look_through(values: list[Any], table: Fields | ByType, place: _Place, found: list[str]) -> None:
    tables = table.tables if type(table) is ByType else None
    for value in values:
        if type(value) is not dict:
            continue
        if tables is not None:
            kind = value.get("type")
            known = tables.get(kind) if kind is None or type(kind) is str else None
            # Conversations have thousands of objects: most are as they should be, and hold no others.
            if known is not None and len(value) <= known.least and not known.within:
                continue
        _look(value, table, place, found, "[]")


def _look(
    value: dict[str, Any], table: Fields | ByType, place: _Place, found: list[str], array: str = ""
) -> None:
    if isinstance(table, Fields):
        known, label = table, array
    else:
        kind = value.get("type")
        typed = table.tables.get(kind) if kind is None or type(kind) is str else None
        if typed is None:
            if table.complete:
                _add(found, place, f"[{kind}]")
            return
        known, label = typed, f"[{kind}]" if kind else ""
    if known is WHOLE:
        return
    if len(value) > known.least and not value.keys() <= known.read:
        for key, given in value.items():
            if key not in known.read and not _empty(given):
                _add(found, (place, label), key)
    within = known.within
    if within:
        for key, given in value.items():
            inner = within.get(key)
            if inner is None:
                continue
            if type(given) is list:
                _look_through(given, inner, ((place, label), key), found)
            elif type(given) is dict:
                _look(given, inner, ((place, label), key), found)


def _add(found: list[str], place: _Place, field: str) -> None:
    name = _name((place, field))
    if name not in found:
        found.append(name)


def _name(place: _Place) -> str:
    """``messages[].content[text].citations``"""
    if len(place) == 1:
        return str(place[0])
    around, field = place
    if not field or field.startswith("["):
        return _name(around) + (field or "")
    return f"{_name(around)}.{field}"


def _empty(value: Any) -> bool:
    """Whether a field says what it would say if it were left out."""
    return value is None or value is False or value == [] or value == {} or value == ""
