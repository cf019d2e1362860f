"""What the fields that rules read look like, and which fields of a body look otherwise.

A rule names the fields that it reads (`Rule.reads`). Where one has another shape than its format gives it,
the rule leaves the body alone, which the upstream will refuse with better words, and says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from router_core.formats import Format
from router_core.formats.gemini.fields import wrapped_under
from router_core.json_document import Json

OBJECT: Final = "an object"
OBJECTS: Final = "a list of objects"
TEXT: Final = "a text"
NUMBER: Final = "a number"
FLAG: Final = "true or false"

type Shapes = Mapping[str, tuple[str, ...]]
"""Field to the shapes that it may have. None of them is demanded, and null is as good as absent."""

_ANTHROPIC: Final[Shapes] = {
    "messages": (OBJECTS,),
    "system": (TEXT, OBJECTS),
    "tools": (OBJECTS,),
    "tool_choice": (OBJECT,),
    "thinking": (OBJECT,),
    "output_config": (OBJECT,),
    "max_tokens": (NUMBER,),
    "temperature": (NUMBER,),
    "top_p": (NUMBER,),
}
_CHAT: Final[Shapes] = {
    "messages": (OBJECTS,),
    "tools": (OBJECTS,),
    "tool_choice": (TEXT, OBJECT),
    "stream": (FLAG,),
    "stream_options": (OBJECT,),
    "usage": (OBJECT,),
    "provider": (OBJECT,),
}
_RESPONSES: Final[Shapes] = {
    "input": (TEXT, OBJECTS),
    "tools": (OBJECTS,),
    "tool_choice": (TEXT, OBJECT),
    "stream_options": (OBJECT,),
    "reasoning": (OBJECT,),
    "provider": (OBJECT,),
}
_GEMINI: Final[Shapes] = {
    "contents": (OBJECTS,),
    "tools": (OBJECTS,),
    "generationConfig": (OBJECT,),
    "generation_config": (OBJECT,),
}
SHAPES: Final[Mapping[Format, Shapes]] = {
    Format.ANTHROPIC: _ANTHROPIC,
    Format.OPENAI_CHAT: _CHAT,
    Format.OPENAI_RESPONSES: _RESPONSES,
    Format.GEMINI: _GEMINI,
}


@dataclass(frozen=True, slots=True)
class Misfit:
    """A field of another shape."""

    words: str
    whole: bool
    """False where only an item of a list is odd, which rules pass over."""


def misfits(format: Format, body: Json) -> dict[str, Misfit]:
    """The fields of a request's body that have another shape than `format` gives them; mostly none."""
    if not isinstance(body, dict):
        return {}
    if format is Format.GEMINI and (key := wrapped_under(body)):
        body = body[key]
    found: dict[str, Misfit] = {}
    for key, shapes in SHAPES.get(format, {}).items():
        value = body.get(key)
        if value is None:
            continue
        shape = shape_of(value)
        if shape not in shapes:
            found[key] = Misfit(f"`{key}` is {shape}", True)
        elif shape == OBJECTS:
            odd = next((i for i, item in enumerate(value) if not isinstance(item, dict)), None)
            if odd is not None:
                found[key] = Misfit(f"`{key}[{odd}]` is {shape_of(value[odd])}", False)
    return found


def shape_of(value: Any) -> str:
    """The shape of a JSON value in words; a list counts as one of objects, whatever is in it."""
    match value:
        case dict():
            return OBJECT
        case list():
            return OBJECTS
        case str():
            return TEXT
        case bool():
            return FLAG
        case None:
            return "null"
    return NUMBER
