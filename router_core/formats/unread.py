"""Fields that a client sends and no reader reads, named so that they are listed and not lost in silence.

Each format has a table of what is read of its objects. What is listed is what would have told the model, or
its provider, something: ids and states that a client only repeats are in the tables as if they were read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Fields:
    """Names of an object's fields that are read, and tables of the objects within them."""

    read: frozenset[str]
    within: Mapping[str, Fields | ByType] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ByType:
    """Tables of objects that their ``type`` tells apart."""

    tables: Mapping[Any, Fields]
    complete: bool = False
    """Whether objects without a table are not read at all; else they are read by other rules."""


def names(*read: str, **within: Fields | ByType) -> Fields:
    """A table of fields that are `read`, and of objects `within` others."""
    return Fields(frozenset((*read, *within)), within)


def find(value: Any, table: Fields | ByType, place: str, found: list[str]) -> None:
    """Adds the fields of an object, or of all objects of an array, that are not in `table`, once each."""
    if type(value) is list:
        for item in value:
            if type(item) is dict:
                _find(item, table, f"{place}[]", found)
    elif type(value) is dict:
        _find(value, table, place, found)


def _find(value: dict[str, Any], table: Fields | ByType, place: str, found: list[str]) -> None:
    if type(table) is ByType:
        kind = value.get("type")
        known = table.tables.get(kind) if kind is None or type(kind) is str else None
        if known is None:
            name = f"{place.removesuffix('[]')}[{kind}]"
            if table.complete and name not in found:
                found.append(name)
            return
        if kind is not None:
            place = f"{place.removesuffix('[]')}[{kind}]"
        table = known
    assert isinstance(table, Fields)
    if not value.keys() <= table.read:
        for key in value.keys() - table.read:
            name = f"{place}.{key}"
            if not _empty(value[key]) and name not in found:
                found.append(name)
    for key, inner in table.within.items():
        if key in value:
            find(value[key], inner, f"{place}.{key}", found)


def _empty(value: Any) -> bool:
    """Whether a field says what it would say if it were left out."""
    return value is None or value is False or value == [] or value == {} or value == ""
