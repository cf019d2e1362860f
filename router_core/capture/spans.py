"""Where secrets stand in bytes: the values of telling keys, e-mail addresses."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from router_core.capture import names, patterns

type Kind = Literal["secret", "cookie", "account", "email", "pattern"]

SCHEME: Final = re.compile(r"(?i)(bearer|basic|token|digest|apikey|aws4-hmac-sha256)\s+(.+)", re.DOTALL)
"""An authentication scheme, which stays, and its secret."""


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
    json: bool = True
    """Texts end at the first quotation mark that no backslash precedes, so a secret in one does too."""
    accounts: frozenset[str] = frozenset()
    """Keys (plain names) that identify an account here."""


BODY: Final = Place()
LOGIN: Final = Place(login=True)
FORM: Final = Place(login=True, json=False)


@lru_cache(1024)
def place_of(host: str, path: str, content_type: str) -> Place:
    """The `Place` of a body that came from `host` and `path`, which has no query, with this content type."""
    kind = content_type.lower()
    login = (
        "x-www-form-urlencoded" in kind
        or names.LOGIN_PATH.search(path) is not None
        or names.LOGIN_HOST.search(host) is not None
    )
    json = not kind or "json" in kind or "event-stream" in kind
    accounts = [keys for places, keys in names.ACCOUNTS_AT if places.search(path)]
    return Place(login, "multipart/" in kind, json, frozenset().union(*accounts))


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
            if end < size and data[end] in b"\"'\\:= >" and end not in seen and end - start <= 64:
                seen.add(end)
                while start and data[start - 1] in patterns.NAME_BYTES and end - start <= 64:
                    start -= 1
                yield start, end
            position = lowered.find(root, end)


@lru_cache(4096)
def plain_name(name: bytes) -> str:
    """As the tables have it: ``user[client_secret]`` and ``Client-Secret[]`` are ``clientsecret``."""
    plain = name.decode("latin-1").lower().replace("_", "").replace("-", "")
    if "[" in plain:
        plain = plain.removesuffix("[]").rpartition("[")[2].rstrip("]")
    return plain


def value_behind(match: re.Match[bytes], kind: Kind, place: Place) -> Span | None:
    """The span of the value behind a key, or None where it is none that needs hiding."""
    group = match.lastgroup if match.lastgroup in ("plain", "bare") else "escaped"
    value = match[group]
    if not value or patterns.STAND_IN.match(value) or (group != "bare" and not match["sign"]):
        return None
    start, end = match.span(group)
    if place.json and (
        match["quote"] != b'"' if group == "plain" else group == "escaped" and _closes(match["open"])
    ):
        # A text that ends with such a word; what follows is no value of it.
        return None
    if scheme := SCHEME.fullmatch(value.decode("latin-1")):
        start += scheme.start(2)
        value = match.string[start:end]
    if group == "bare":
        return _bare(match, Span(start, end, kind), place.login)
    if group == "escaped" and place.json and (quote := patterns.RAW_QUOTE.search(match.string, start, end)):
        end = quote.start()
    if kind == "account" and group == "escaped":
        # JSON inside JSON is the conversation's own data, such as the arguments of a tool.
        return None
    if kind == "secret" and value.count(b" ") > 4 and b"PRIVATE KEY" not in value:
        return None
    return Span(start, end, kind) if end > start else None


def _closes(quote: bytes) -> bool:
    """Whether the backslashes before a quotation mark are text, so that it ends the text of JSON that it is in."""
    return quote.endswith(b'"') and len(quote) % 2 == 1


def _bare(match: re.Match[bytes], span: Span, login: bool) -> Span | None:
    """`span` of a value without quotes, where it is a number of JSON, or looks secret."""
    value = match.string[span.start : span.end]
    if match["quote"]:
        number = match["quote"] in (b'"', b"'") and value.isdigit() and len(value) >= 4
        return span._replace(quoted=True) if number else None
    wanted = (login and match["sign"] == b"=") or (
        span.kind == "secret" and patterns.LOOKS_RANDOM.fullmatch(value)
    )
    return span if wanted else None


def is_basic(value: bytes) -> bool:
    """Whether `value` is base64 of ``user:password`` (RFC 7617)."""
    try:
        return b":" in base64.b64decode(value, validate=True)
    except ValueError:
        return False


def list_items(data: bytes, items: re.Match[bytes], kind: Kind) -> Iterable[Span]:
    """Each text and number of a list; `items` is a match of `patterns.LIST`."""
    for item in patterns.LIST_ITEM.finditer(data, *items.span("items")):
        group = item.lastgroup or "text"
        name = kind == "secret" and patterns.CAPITALS.fullmatch(item[group])
        if item[group] and not name:
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
