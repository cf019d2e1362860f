"""JSON texts and their values."""

from __future__ import annotations

import json
from typing import Any

import orjson

type Json = Any
"""dict, list, str, int, float, bool or None, as `parse` returns them. Never changed in place."""


def parse(body: bytes) -> Json:
    """The value of a JSON text (RFC 8259), the last of duplicate keys winning.

    Escaped lone surrogates are accepted, as JavaScript writes them where it cut a string. Raises ValueError,
    which names the place, for anything else that is not JSON: invalid UTF-8, NaN, nesting over 1024 levels.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as e:
        if "recursion" in str(e).lower():
            raise ValueError("the body is nested too deeply") from None
    try:
        return json.loads(body.decode(), parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("the body is nested too deeply") from None
    except UnicodeDecodeError as e:
        raise ValueError(f"the body is not UTF-8: byte {e.start}") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def serialise(value: Json) -> bytes:
    """`value` as compact JSON. Raises ValueError for what JSON cannot express or nests too deeply."""
    try:
        return orjson.dumps(value)
    except TypeError:
        # Lone surrogates, integers over 64 bits and deep nesting are beyond orjson.
        try:
            return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
        except (RecursionError, TypeError) as e:
            raise ValueError(f"not expressible as JSON: {e}") from None
