"""Where secrets stand in bytes: the values of telling keys, e-mail addresses, the spellings of a known secret."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

from router_core.capture import patterns

type Kind = Literal["secret", "cookie", "account", "email", "pattern"]

SCHEME: Final = re.compile(r"(?i)(bearer|basic|token|digest|apikey|aws4-hmac-sha256)\s+(.+)", re.DOTALL)
"""An authentication scheme, which stays, and its secret."""
_ESCAPE: Final = re.compile(r"%[0-9A-F]{2}")


class Span(NamedTuple):
    """Bytes ``start:end`` that must not be written, and what they are."""

    start: int
    end: int
    kind: Kind
    quoted: bool = False
    """A JSON number: its placeholder needs quotation marks."""


@dataclass(frozen=True, slots=True)
class Place:
    """What kind of body it is, as far as that decides what is secret in it."""

    login: bool = False
    """OAuth and login traffic, or a form: ``code``, ``state`` and bare ``key=value`` pairs count."""
    multipart: bool = False
    accounts: frozenset[str] = frozenset()
    """Keys (plain names) that identify an account here."""


BODY: Final = Place()
LOGIN: Final = Place(login=True)


@lru_cache(1024)
def place_of(host: str, path: str, content_type: str) -> Place:
    """The `Place` of a body that came from `host` and `path`, which has no query, with this content type."""
    kind = content_type.lower()
    login = (
        "x-www-form-urlencoded" in kind
        or patterns.LOGIN_PATH.search(path) is not None
        or patterns.LOGIN_HOST.search(host) is not None
    )
    accounts = [names for places, names in patterns.ACCOUNTS_AT if places.search(path)]
    return Place(login, "multipart/" in kind, frozenset().union(*accounts))


def spellings(secret: str) -> dict[bytes, bytes]:
    """How a secret may be written on the wire, each with the plain bytes behind it."""
    raw = secret.encode("utf-8", "surrogateescape")
    percent = quote_from_bytes(raw, safe="")
    spelt = (
        raw,
        percent.encode(),
        _ESCAPE.sub(lambda m: m[0].lower(), percent).encode(),
        quote_from_bytes(raw).encode(),
        json.dumps(secret)[1:-1].encode(),
        raw.replace(b"/", b"\\/"),
        base64.b64encode(raw),
    )
    return dict.fromkeys(spelt, raw)


def plain(value: bytes) -> bytes:
    """`value` without percent and JSON escapes, so that all spellings of a secret share a placeholder."""
    if b"%" in value:
        value = unquote_to_bytes(value)
    if b"\\" in value:
        with suppress(ValueError, UnicodeDecodeError):
            value = json.loads(b'"%s"' % value).encode("utf-8", "surrogatepass")
    return value


def token_begins(run: bytes, start: int) -> bool:
    """Whether a token may begin at `start`: not inside a word, but behind a percent escape."""
    if start == 0 or run[start - 1] not in patterns.ALPHANUMERIC:
        return True
    return start >= 3 and run[start - 3] == 0x25


def key_names(data: bytes, roots: Iterable[bytes]) -> Iterable[tuple[int, int]]:
    """(start, end) of each name in `data` that holds a root of the tables of keys, in no order."""
    lowered = data.lower()
    seen: set[int] = set()
    size = len(data)
    for root in roots:
        position = lowered.find(root)
        while position >= 0:
            start, end = position, position + len(root)
            while end < size and data[end] in patterns.NAME_BYTES:
                end += 1
            if end < size and data[end] in b"\"'\\:= " and end not in seen and end - start <= 64:
                seen.add(end)
                while start and data[start - 1] in patterns.NAME_BYTES and end - start <= 64:
                    start -= 1
                yield start, end
            position = lowered.find(root, end)


def plain_name(name: bytes) -> str:
    return name.decode("latin-1").lower().replace("_", "").replace("-", "")


def value_behind(match: re.Match[bytes], kind: Kind, login: bool) -> Span | None:
    """The span of the value behind a key, or None where it is none that needs hiding."""
    group = match.lastgroup if match.lastgroup in ("plain", "bare") else "escaped"
    value = match[group]
    if not value or patterns.STAND_IN.match(value):
        return None
    start, end = match.span(group)
    if group == "bare":
        if match["quote"]:
            if match["quote"] in (b'"', b"'") and value.isdigit() and len(value) >= 4:
                return Span(start, end, kind, quoted=True)
            return None
        wanted = (login and match["sign"] == b"=") or (
            kind == "secret" and patterns.LOOKS_RANDOM.fullmatch(value)
        )
        return Span(start, end, kind) if wanted else None
    if kind == "account" and group == "escaped":
        # JSON inside JSON is the conversation's own data, such as the arguments of a tool.
        return None
    if kind == "secret" and value.count(b" ") > 4 and b"PRIVATE KEY" not in value:
        return None
    if scheme := SCHEME.fullmatch(value.decode("latin-1")):
        start += scheme.start(2)
    return Span(start, end, kind)


def list_items(data: bytes, items: re.Match[bytes], kind: Kind) -> Iterable[Span]:
    """Each text and number of a list; `items` is a match of `patterns.LIST`."""
    for item in patterns.LIST_ITEM.finditer(data, *items.span("items")):
        group = item.lastgroup or "text"
        if item[group]:
            yield Span(*item.span(group), kind, quoted=group == "number")


def mails(data: bytes) -> Iterable[Span]:
    """E-mail addresses. The search begins at the @, since searching for what precedes it is slow."""
    if b"@" not in data and b"%40" not in data:
        return
    for match in patterns.DOMAIN.finditer(data):
        at = start = match.start()
        while start and at - start < 64 and data[start - 1] in patterns.LOCAL_PART:
            start -= 1
        if start and data[start - 1] == 0x5C:
            start += 5 if data[start] == 0x75 else 1
        local = data[start:at].strip(b".")
        if (
            start < at
            and local
            and match["tld"].lower() not in patterns.NOT_TLD
            and local not in patterns.NOT_PEOPLE
        ):
            yield Span(start, match.end(), "email")


def occurrences(data: bytes, value: bytes) -> Iterable[Span]:
    position = data.find(value)
    while position >= 0:
        yield Span(position, position + len(value), "secret")
        position = data.find(value, position + len(value))


_RANK: Final[dict[str, int]] = {"secret": 0, "cookie": 1, "pattern": 2, "account": 3, "email": 4}


def merge(spans: list[Span]) -> list[Span]:
    """Overlapping spans joined; what is joined is of the gravest kind among them."""
    merged: list[Span] = []
    for span in sorted(spans, key=lambda s: (s.start, -s.end, _RANK[s.kind])):
        last = merged[-1] if merged else None
        if last is None or span.start >= last.end:
            merged.append(span)
        else:
            kind = last.kind if _RANK[last.kind] <= _RANK[span.kind] else span.kind
            merged[-1] = Span(last.start, max(last.end, span.end), kind, last.quoted or span.quoted)
    return merged
