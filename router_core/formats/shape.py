"""Checks of a client's document that name the place: ``messages[3].content: expected an array``.

A check says what is wrong; the loops around it say where, and only when something is, because places cost
more than the checks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
from pydantic_core import from_json

from router_core.formats.ir import Arguments, Malformed
from router_core.json_document import parse, serialise


def mapping(value: Any, place: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Malformed("expected an object", place)
    return value


def array(value: Any, place: str = "") -> list[Any]:
    if not isinstance(value, list):
        raise Malformed("expected an array", place)
    return value


def string(value: Any, place: str = "") -> str:
    if not isinstance(value, str):
        raise Malformed("expected a string", place)
    return value


def optional_mapping(value: Any, place: str = "") -> dict[str, Any] | None:
    return None if value is None else mapping(value, place)


def optional_string(value: Any, place: str = "") -> str | None:
    return None if value is None else string(value, place)


def read_arguments(value: Any, place: str = "") -> Arguments:
    """What a call in a conversation was given: JSON text or an object; nothing at all is an empty object."""
    if value is None or isinstance(value, str | dict):
        return value or {}
    raise Malformed("expected an object", place)


def optional_int(value: Any, place: str = "") -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Malformed("expected a number", place)
    return int(value)


def optional_float(value: Any, place: str = "") -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Malformed("expected a number", place)
    return value


def each[T](values: Any, place: str, read: Callable[[dict[str, Any]], T | None]) -> list[T]:
    """What `read` makes of each object of an array, without the Nones. Null counts as an empty array."""
    if values is None:
        return []
    found: list[T] = []
    number = -1
    try:
        for value in array(values):
            number += 1
            item = read(value if isinstance(value, dict) else mapping(value))
            if item is not None:
                found.append(item)
    except Malformed as problem:
        raise problem.within(f"{place}[{number}]" if number >= 0 else place) from None
    return found


def arguments_text(arguments: Arguments | None) -> str:
    """A call's arguments as JSON text; ``{}`` where there are none."""
    if isinstance(arguments, str):
        text = arguments.strip()
        if text.startswith("{") and text.endswith("}"):
            return arguments
        # What is no object is refused by hosts that read it for their models' templates.
        arguments = arguments_object(text)
    return serialise(arguments).decode() if arguments else "{}"


def arguments_object(arguments: Arguments | None) -> dict[str, Any]:
    """A call's arguments as an object.

    Of text that was cut off, what is complete; other text that is no object stays whole under a key of its
    own: models do write broken JSON, and what they wrote belongs to the conversation.
    """
    if isinstance(arguments, dict):
        return arguments
    if not arguments or not arguments.strip():
        return {}
    value = _parsed(arguments)
    if isinstance(value, str):
        # Some gateways encode the arguments twice.
        value = _parsed(value)
    if value is None:
        return {}
    return value if isinstance(value, dict) else {"arguments": arguments}


def _parsed(text: str) -> Any:
    """The JSON value of `text`; `text` itself where it is none."""
    try:
        return orjson.loads(text)
    except ValueError:
        pass
    try:
        return parse(text.encode("utf-8", "surrogatepass"))
    except ValueError:
        try:
            return from_json(text, allow_partial=True)
        except ValueError:
            return text
