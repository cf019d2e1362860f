from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. Only ``bad`` keeps Detour from doing what it is configured to do."""

    level: Literal["ok", "note", "bad"]
    subject: str
    what: str
    remedy: str = ""


def ok(subject: str, what: str) -> Finding:
    return Finding("ok", subject, what)


def note(subject: str, what: str, remedy: str = "") -> Finding:
    return Finding("note", subject, what, remedy)


def bad(subject: str, what: str, remedy: str = "") -> Finding:
    return Finding("bad", subject, what, remedy)
