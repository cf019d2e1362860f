"""Looking headers up, quickly.

mitmproxy's `Headers.get` goes through five generic functions for each name it compares. A request looks
some thirty headers up, most of them in mitmproxy itself, so the same answer is given here in one loop.
"""

from __future__ import annotations

from typing import Any

from mitmproxy.http import Headers


def get(headers: Headers, name: str | bytes, default: Any = None) -> Any:
    """The header's values, joined by ``", "``, as text; `default` if there is none."""
    wanted = (name.encode("utf-8", "surrogateescape") if isinstance(name, str) else name).lower()
    found = [value for key, value in headers.fields if key.lower() == wanted]
    if not found:
        return default
    return (found[0] if len(found) == 1 else b", ".join(found)).decode("utf-8", "surrogateescape")


def contains(headers: Headers, name: object) -> bool:
    if not isinstance(name, str | bytes):
        return False
    wanted = (name.encode("utf-8", "surrogateescape") if isinstance(name, str) else name).lower()
    return any(key.lower() == wanted for key, _ in headers.fields)


def install() -> None:
    """Let all of mitmproxy look headers up this way."""
    Headers.get = get  # type: ignore[method-assign,assignment]
    Headers.__contains__ = contains  # type: ignore[method-assign,assignment]
