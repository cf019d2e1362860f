"""What is wrong with a configuration, in words that a person can act on."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

# The beginnings of well-known keys, and long runs of letters and digits of which no name is made.
_SECRET = re.compile(
    r"\b(?:(?:sk|ck|pk|rk|gsk|xai|gh[opsu])[-_]|AIza|ya29\.|eyJ|Bearer\s)\S{6,}"
    r"|(?=\S*\d)[A-Za-z0-9_+=]{24,}"
)
MAX_NAMES: Final = 500
_USERINFO = re.compile(r"(?<=://)[^/@\s]*@")


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake, or one warning, with its place. `line` counts from 1; 0 means the file as a whole."""

    file: str
    line: int
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.what}" + (f"; {self.remedy}" if self.remedy else "")


class ConfigError(Exception):
    """A configuration that cannot be used. `problems` holds every mistake, in the order of the files."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(set(problems))
        super().__init__("\n".join(map(str, self.problems)))


def shown(value: object) -> str:
    """`value` for a message: quoted, short, on one line, and with anything that looks like a secret left out."""
    if not isinstance(value, str):
        return repr(value) if isinstance(value, bool | int | float) or value is None else type(value).__name__
    text = _USERINFO.sub("***@", value)
    if len(text) > 200 or _SECRET.search(text):
        return f"a text of {len(value)} characters"
    return repr(text)


def masked(text: str) -> str:
    """A message that somebody else wrote, with anything in it that looks like a secret left out."""
    return _SECRET.sub("...", _USERINFO.sub("***@", text))


def nearest(name: str, known: Iterable[str]) -> str:
    """``did you mean 'x'?`` for the known name that `name` was probably meant to be, or nothing."""
    # Bounded, since thousands of mistakes against thousands of names would take minutes.
    match = difflib.get_close_matches(name[:100], list(itertools.islice(known, MAX_NAMES)), n=1, cutoff=0.6)
    return f"did you mean '{match[0]}'?" if match else ""
