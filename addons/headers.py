"""Making headers and looking them up, quickly.

mitmproxy's `Headers.get` goes through five generic functions for each name it compares. A request looks
some thirty headers up, most of them in mitmproxy itself, so the same answer is given here from an index that
is made once for each state of the fields.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from mitmproxy.http import Headers


def get(headers: Headers, name: str | bytes, default: Any = None) -> Any:
    """The header's values, joined by ``", "``, as text; `default` if there is none."""
    found = _index(headers).get(_lowered(name))
    return default if found is None else found.decode("utf-8", "surrogateescape")


def contains(headers: Headers, name: object) -> bool:
    return isinstance(name, str | bytes) and _lowered(name) in _index(headers)


def _index(headers: Headers) -> dict[bytes, bytes]:
    """Lower-case names to joined values. The fields are a tuple, which is never changed, only replaced."""
    fields = headers.fields
    known = headers.__dict__.get("_index")
    if known is not None and known[0] is fields:
        return known[1]
    index: dict[bytes, bytes] = {}
    for key, value in fields:
        key = key.lower()
        index[key] = index[key] + b", " + value if key in index else value
    headers.__dict__["_index"] = fields, index
    return index


@lru_cache(1024)
def _lowered(name: str | bytes) -> bytes:
    return (name.encode("utf-8", "surrogateescape") if isinstance(name, str) else name).lower()


def pairs(headers: Headers) -> list[tuple[str, str]]:
    """All fields as text, in their order."""
    return [
        (key.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape"))
        for key, value in headers.fields
    ]


def init(self: Headers, fields: Iterable[tuple[bytes, bytes]] = (), **headers: str | bytes) -> None:
    """`Headers.__init__`, in as few steps as its checks allow."""
    self.fields = tuple(map(tuple, fields))  # type: ignore[arg-type]
    for key, value in self.fields:
        if not isinstance(key, bytes) or not isinstance(value, bytes):
            raise TypeError("Header fields must be bytes.")
    for name, more in headers.items():
        self[name.replace("_", "-")] = more


def install() -> None:
    """Let all of mitmproxy make headers and look them up this way."""
    Headers.__init__ = init  # type: ignore[method-assign]
    Headers.get = get  # type: ignore[method-assign,assignment]
    Headers.__contains__ = contains  # type: ignore[method-assign,assignment]
