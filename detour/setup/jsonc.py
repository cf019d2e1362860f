"""JSON with comments and commas behind the last value, edited so that these stay where they are.

The document is edited with spaces in the place of comments, one member after the other, and each change is carried
over to the text as it was written: what is the same before and behind it tells where it belongs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from router_core.json_document import parse, splice

_STRING: Final = rb'"(?:\\.|[^"\\])*"'
_COMMENT: Final = re.compile(_STRING + rb"|//[^\r\n]*|/\*.*?\*/", re.DOTALL)
_COMMA: Final = re.compile(_STRING + rb"|,(?=\s*[}\]])", re.DOTALL)


def plain(text: bytes) -> bytes:
    """`text` as plain JSON of the same length."""
    return _COMMA.sub(_spaces, _COMMENT.sub(_spaces, text))


def _spaces(match: re.Match[bytes]) -> bytes:
    return match[0] if match[0].startswith(b'"') else re.sub(rb"[^\r\n]", b" ", match[0])


def edited(text: bytes, before: dict[str, Any], after: dict[str, Any]) -> bytes:
    """`text`, which says `before`, so that it says `after`.

    Raises ValueError where a comment stands in what would be replaced.
    """
    reached = before
    for step in _steps(before, after):
        text = _carried_over(text, splice(plain(text), reached, step))
        reached = step
    if parse(plain(text)) != after:
        raise ValueError("is written in a way that cannot be edited safely")
    return text


def _steps(before: dict[str, Any], after: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Documents on the way from one to the other, each with one member more that is as in `after`."""
    reached = before
    for name, value in after.items():
        known = reached.get(name)
        if name in reached and known is value:
            continue
        inner = _steps(known, value) if isinstance(known, dict) and isinstance(value, dict) else [value]
        for each in inner:
            reached = {**reached, name: each}
            yield reached


def _carried_over(text: bytes, wanted: bytes) -> bytes:
    """The one change that makes `wanted` of the plain form of `text`, made in `text` itself."""
    bare = plain(text)
    shorter = min(len(bare), len(wanted))
    start = next((i for i in range(shorter) if bare[i] != wanted[i]), shorter)
    same = 0
    while same < shorter - start and bare[-1 - same] == wanted[-1 - same]:
        same += 1
    end = len(text) - same
    if text[start:end] != bare[start:end]:
        raise ValueError("has a comment in what would be changed")
    return text[:start] + wanted[start : len(wanted) - same] + text[end:]
