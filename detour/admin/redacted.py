"""The configuration for people to read: references kept, secrets left out."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from pydantic import BaseModel, SecretStr

from detour.redaction import REDACTED, redact
from router_core.config.schema import Config, SecretRef


def redacted(config: Config, *, all_keys: bool = False) -> dict[str, Any]:
    """`config` as JSON values: what is written in it, or with `all_keys` the defaults too."""
    return _section(config, all_keys)


def _section(section: BaseModel, all_keys: bool) -> dict[str, Any]:
    names = type(section).model_fields if all_keys else section.model_fields_set
    return {
        name: _value(name, getattr(section, name), all_keys)
        for name in type(section).model_fields
        if name in names
    }


def _value(name: str, value: Any, all_keys: bool) -> Any:
    match value:
        case SecretRef():
            return REDACTED if value.kind == "literal" else str(value)
        case SecretStr():
            return REDACTED
        case BaseModel():
            return _section(value, all_keys)
        case Mapping() if name == "headers":
            # Any header may carry a key, whatever it is called.
            return {str(key): REDACTED for key in value}
        case Mapping():
            return {str(key): _value(str(key), inner, all_keys) for key, inner in value.items()}
        case frozenset() | set():
            return sorted(str(inner) for inner in value)
        case list() | tuple():
            return [_value(name, inner, all_keys) for inner in value]
        case Enum():
            return str(value)
        case str():
            return redact(value)
        case bool() | int() | float() | None:
            return value
        case _:
            return redact(str(value))
