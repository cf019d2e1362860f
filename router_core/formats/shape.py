"""Checks of a client's document that name the place: ``messages[3].content: expected an array``.

A check says what is wrong; the loops around it say where. They look for the place when something is wrong and
not before, because places cost more than the checks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson
from pydantic_core import from_json

from router_core.formats.ir import Arguments, Malformed
from router_core.json_document import parse, serialise

UNREADABLE: Final = "arguments"
"""Under this key stand arguments that are no object, whole, in an object of their own."""


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
    if type(values) is not list:
        return [] if values is None else each(array(values, place), place, read)
    try:
        return [item for value in values if (item := read(value)) is not None]
    except (Malformed, AttributeError, TypeError):
        _locate(values, place, read)
        raise


def _locate(values: list[Any], place: str, read: Callable[[dict[str, Any]], object]) -> None:
    """Raises Malformed with the place of the first value that is no object or that `read` does not take."""
    for number, value in enumerate(values):
        try:
            read(mapping(value))
        except Malformed as problem:
            raise problem.within(f"{place}[{number}]") from None


def only_text(content: Any, kind: str) -> str | None:
    """The text of a content that is one block of type `kind` with nothing beside the text; None for any other."""
    if type(content) is list and len(content) == 1:
        block = content[0]
        if type(block) is dict and len(block) == 2 and block.get("type") == kind:
            text = block.get("text")
            return text if type(text) is str else None
    return None


def arguments_text(arguments: Arguments | None) -> str:
    """A call's arguments as JSON text; ``{}`` where there are none."""
    if isinstance(arguments, str):
        text = arguments.strip()
        if text[:1] == "{" and text[-1:] == "}" and "}{" not in text:
            return arguments
        # What is no object, or two of them in a row, is refused by hosts that read it for their models' templates.
        arguments = arguments_object(text)
    return serialise(arguments).decode() if arguments else "{}"


def arguments_object(arguments: Arguments | None) -> dict[str, Any]:
    """A call's arguments as an object.

    Of text that was cut off, what is complete; other text that is no object stays whole under a key of its
    own: models do write broken JSON, and what they wrote belongs to the conversation.
    """
    if type(arguments) is dict:
        return arguments
    if not arguments or arguments.isspace():  # type: ignore[union-attr]
        return {}
    value = _parsed(arguments)  # type: ignore[arg-type]
    if isinstance(value, str):
        # Some gateways encode the arguments twice.
        value = _parsed(value)
    if value is None:
        return {}
    return value if isinstance(value, dict) else {UNREADABLE: arguments}


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
