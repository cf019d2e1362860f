"""Plausible values of the official SDKs' request types, each beside the same value with one field more."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Iterator
from typing import Any, Literal, Union, get_args, get_origin

import pydantic
import typing_extensions

DEPTH = 4
"""Types within types that are looked into."""

_REQUIRED = (typing.Required, typing_extensions.Required)
_WRAPPERS = (*_REQUIRED, typing.NotRequired, typing_extensions.NotRequired, typing.Annotated)
_NEEDED = {
    "FunctionDeclaration": {"name"},
    "FunctionCall": {"name"},
    "FunctionResponse": {"name"},
    "Blob": {"data", "mimeType"},
    "FileData": {"fileUri", "mimeType"},
}
"""Fields that Google's types call optional, and its API does not."""
_TEXTS = {
    "data": "aGVsbG8=",
    "file_data": "aGVsbG8=",
    "arguments": "{}",
    "name": "lookup",
    "allowedFunctionNames": "lookup",
    "url": "https://example.test/a.png",
    "image_url": "https://example.test/a.png",
    "file_url": "https://example.test/a.png",
    "source": "https://example.test/a.png",
    "fileUri": "https://example.test/a.png",
    "mimeType": "image/png",
    "media_type": "image/png",
}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}


def fields(type_: Any) -> dict[str, tuple[Any, bool]]:
    """Name on the wire to (type, required) of a TypedDict or a pydantic model."""
    if isinstance(type_, type) and issubclass(type_, pydantic.BaseModel):
        needed = _NEEDED.get(type_.__name__, set())
        found = {field.alias or name: field for name, field in type_.model_fields.items()}
        return {name: (f.annotation, f.is_required() or name in needed) for name, f in found.items()}
    hints: dict[str, tuple[Any, bool]] = {}
    for name, hint in typing.get_type_hints(type_, include_extras=True).items():
        required = False
        while get_origin(hint) in _WRAPPERS:
            required = required or get_origin(hint) in _REQUIRED
            hint = get_args(hint)[0]
        hints[name] = (hint, required)
    return hints


def choices(type_: Any) -> list[Any]:
    """The types of a union, or the type alone."""
    while get_origin(type_) in _WRAPPERS:
        type_ = get_args(type_)[0]
    if isinstance(type_, typing.TypeAliasType):
        return choices(type_.__value__)
    if get_origin(type_) in (Union, types.UnionType):
        return [choice for arm in get_args(type_) if arm is not type(None) for choice in choices(arm)]
    return [type_]


def is_object(type_: Any) -> bool:
    model = isinstance(type_, type) and issubclass(type_, pydantic.BaseModel)
    return model or typing.is_typeddict(type_) or typing_extensions.is_typeddict(type_)


def item_of(type_: Any) -> Any:
    """The type of an array's items, None for what is no array."""
    origin = get_origin(type_)
    is_array = isinstance(origin, type) and issubclass(origin, Iterable) and not issubclass(origin, dict)
    return get_args(type_)[0] if is_array or getattr(origin, "__name__", "") == "SequenceNotStr" else None


def least(type_: Any, name: str = "") -> Any:
    """A value with no more than the type requires."""
    type_ = choices(type_)[0]
    if get_origin(type_) is Literal:
        return get_args(type_)[0]
    if item_of(type_) is not None:
        return [least(item_of(type_), name)]
    if is_object(type_):
        return {field: least(hint, field) for field, (hint, required) in fields(type_).items() if required}
    if "schema" in name.lower() or name == "parameters":
        return SCHEMA
    if isinstance(type_, type) and hasattr(type_, "__members__"):
        return list(type_)[-1].value
    plain = {bool: True, int: 2, float: 0.5}.get(type_)
    if plain is not None:
        return plain
    return {"a": "x"} if get_origin(type_) is dict or type_ is dict else _TEXTS.get(name, "x")


def values(type_: Any, name: str) -> Iterator[Any]:
    """Values of a field: one of each of its types, and each of its words."""
    for choice in choices(type_):
        if get_origin(choice) is Literal:
            yield from get_args(choice)
        elif isinstance(choice, type) and hasattr(choice, "__members__"):
            yield from (member.value for member in choice)
        elif get_origin(item_of(choice)) is Literal:
            yield from ([word] for word in get_args(item_of(choice)))
        elif choice is bool:
            yield from (True, False)
        elif (value := least(choice, name)) not in ({}, [{}]):
            yield value


type Case = tuple[str, Any, Any]
"""(path of a field, a value without the field, the same with it)"""


def cases(type_: Any, name: str = "", trail: tuple[Any, ...] = ()) -> Iterator[Case]:
    for choice in choices(type_):
        item = item_of(choice)
        if item is not None:
            for path, without, given in cases(item, name, trail):
                yield f"[]{path}", [without], [given]
        elif is_object(choice) and choice not in trail and len(trail) < DEPTH:
            yield from _cases_of_object(choice, (*trail, choice))


def _cases_of_object(type_: Any, trail: tuple[Any, ...]) -> Iterator[Case]:
    base = least(type_)
    kind = base.get("type") or base.get("role")
    label = f"<{kind}>" if isinstance(kind, str) else ""
    for field, (hint, required) in fields(type_).items():
        if not required:
            for value in values(hint, field):
                yield f"{label}.{field}", base, {**base, field: value}
        for path, without, given in cases(hint, field, trail):
            yield f"{label}.{field}{path}", {**base, field: without}, {**base, field: given}
