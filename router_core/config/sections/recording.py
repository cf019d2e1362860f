"""What is recorded."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from router_core.config.sections.base import PathText, Section
from router_core.config.units import Size


class Retain(Section):
    days: int = Field(7, gt=0)
    """Older captures are removed."""
    size: Size = 1 << 30
    """The oldest captures are removed beyond it."""


def parse_capture_mode(value: object) -> object:
    """YAML 1.1 reads a bare `off` as False."""
    return "off" if value is False else value


CaptureMode = Annotated[Literal["off", "errors", "all"], BeforeValidator(parse_capture_mode)]


class CaptureRule(Section):
    """A mode for a part of the traffic. What is not stated does not matter; ``*`` stands for any characters."""

    mode: CaptureMode
    """What is recorded of it."""
    provider: str | None = None
    """Name of the provider."""
    model: str | None = None
    """As the client asks for it."""
    client: str | None = None
    """Name of a client key, address, or tool (``claude-code``)."""
    host: str | None = None
    """Host that the client called."""
    path: str | None = None
    """Without its query."""


def parse_pattern(value: str) -> str:
    """A regular expression. Raises ValueError with the place of its mistake."""
    try:
        re.compile(value.encode())
    except re.error as error:
        raise ValueError(
            f"is no regular expression: {error}; put a \\ before . * + ? ( ) [ ] to mean them"
        ) from None
    return value


class Capture(Section):
    mode: CaptureMode = "off"
    """What is recorded; ``errors`` keeps exchanges in which an attempt or the answer failed."""
    rules: tuple[CaptureRule, ...] = ()
    """Modes for parts of the traffic; the first that fits counts, before `mode`."""
    hosts: tuple[str, ...] = ()
    """Further hosts that are decrypted in order to be recorded; their traffic passes through unchanged."""
    dir: PathText | None = None
    """Folder of the captures; below the data folder when absent."""
    dirs: dict[str, PathText] = Field({})
    """Folders of their own for what providers served, by their names; what is in them is listed with the rest."""
    retain: Retain = Retain()
    """How long captures are kept, those of all folders together."""
    redact: tuple[Annotated[str, AfterValidator(parse_pattern)], ...] = ()
    """Regular expressions for what else is never written; the first group of one, if it has groups."""
    redact_names: tuple[str, ...] = ()
    """Further headers, query parameters, form fields and JSON keys whose values are never written."""
