"""How a JSON text is spelled: what a value that stands in it looks like there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Final

import orjson

from router_core.json_document.text import Json

_INDENT: Final = re.compile(rb"[ \t\r\n]*\{\n([ \t]+)\"")
_SPACED: Final = re.compile(rb"[ \t\r\n]*\{\"[^\"\\]*\": ")
_NOT_COMPACT: Final = re.compile(rb'[ \t\n\r]|."[^"\\]*"(?:[ \t\n\r]|:[ \t\n\r])', re.DOTALL)
"""The beginning of a text that orjson would not have spelled so."""

type Write = Callable[[Json], str]


def may_be_compact(body: bytes) -> bool:
    """Whether `body` may be spelled like orjson spells, by its beginning."""
    return not _NOT_COMPACT.match(body)


def spelling(body: bytes, depth: int) -> Write:
    """How values are written `depth` levels down in an object's text, by its beginning: as Python's json does by
    its options, or as JavaScript and orjson do. May raise TypeError, ValueError or RecursionError."""
    ascii = body.isascii()
    if indent := _INDENT.match(body):
        step = indent[1].decode()
        encoder = json.JSONEncoder(ensure_ascii=ascii, indent=step)
        return lambda value: encoder.encode(value).replace("\n", "\n" + step * depth)
    if _SPACED.match(body):
        return json.JSONEncoder(ensure_ascii=ascii).encode
    return json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode if ascii else _compact


def _compact(value: Json) -> str:
    return orjson.dumps(value).decode()
