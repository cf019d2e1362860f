"""Takes secrets out of everything before it reaches the disk, and puts placeholders in their places.

A placeholder is ``redacted-KIND-DIGEST``. The digest is an HMAC of the secret under a random key of this
installation, so one secret has one placeholder in all records and nobody can test guesses against it.
Placeholders are made of characters that need no quoting in headers, URLs, forms and JSON.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

from router_core.capture import patterns
from router_core.exchange import Headers

type Kind = Literal["secret", "cookie", "account", "email", "pattern"]

PLACEHOLDER: Final = re.compile(r"redacted-(secret|cookie|account|email|pattern)-([0-9a-f]{12})")

MAX_LEARNED: Final = 256
"""Secrets that were seen in headers and logins and are then looked for everywhere; the oldest go first."""
MAX_CLEAN: Final = 16384
"""Runs of token characters that were found harmless, so that a stream's repeated ids are judged once."""

_MASK: Final = bytes(0x61 if b in patterns.TOKEN_BYTES else 0x20 for b in range(256))
_RUN: Final = b"a" * patterns.RUN
_ESCAPE: Final = re.compile(r"%[0-9A-F]{2}")
_SCHEME: Final = re.compile(r"(?i)(bearer|basic|token|digest|apikey|aws4-hmac-sha256)\s+(.+)", re.DOTALL)
_SHORTEST_VALUE: Final = 4


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


BODY: Final = Place()
LOGIN: Final = Place(login=True)


def place_of(host: str, path: str, content_type: str) -> Place:
    """The `Place` of a body that came from `host` and `path` with this content type."""
    kind = content_type.lower()
    login = (
        "x-www-form-urlencoded" in kind
        or patterns.LOGIN_PATH.search(path.partition("?")[0]) is not None
        or patterns.LOGIN_HOST.search(host) is not None
    )
    return Place(login, "multipart/" in kind)


class Redactor:
    """Finds and replaces. Not thread-safe but for `know`, which any thread may call."""

    def __init__(
        self,
        key: bytes,
        user_patterns: Iterable[str] = (),
        names: Iterable[str] = (),
        headers: Iterable[str] = (),
    ) -> None:
        """`names` are the user's names of headers, query parameters, form fields and JSON keys; `headers` those
        of further credential headers, of the registry's providers.

        Raises re.error for a user pattern that is no regular expression.
        """
        self._key = key
        names = tuple(names)
        self._names = frozenset(_plain_name(n.encode()) for n in names)
        self._roots = patterns.KEY_ROOTS + tuple(n.lower().encode() for n in names)
        self._headers = frozenset(h.lower() for h in (*headers, *names))
        self._user = [re.compile(p.encode()) for p in user_patterns]
        self._known: dict[bytes, bytes] = {}
        self._learned: dict[bytes, bytes] = {}
        self._placeholders: dict[tuple[str, bytes], bytes] = {}
        self._clean: set[bytes] = set()
        self._harmless: set[tuple[str, str]] = set()
        """Headers without a secret; most come again with each message."""
        self._exact: re.Pattern[bytes] | None = None
        self._odd: tuple[bytes, ...] = ()

    def know(self, secrets: Iterable[str]) -> None:
        """Registers secrets of the pool: they are redacted wherever they appear, for good."""
        known = dict(self._known)
        for secret in secrets:
            if len(secret) >= _SHORTEST_VALUE:
                known.update(_spellings(secret))
        if len(known) != len(self._known):
            self._known = known
            self._compile()

    def learn(self, secret: str) -> None:
        """Remembers a secret that stood in a place for secrets, in case it is echoed elsewhere.

        Words are not remembered: a cookie may hold ``Europe/Berlin``.
        """
        value = secret.encode("utf-8", "surrogateescape")
        if not patterns.LOOKS_RANDOM.fullmatch(value) or value in self._known or value in self._learned:
            return
        self._learned.update(_spellings(secret))
        while len(self._learned) > MAX_LEARNED:
            del self._learned[next(iter(self._learned))]
        self._compile()

    def placeholder(self, kind: Kind, value: bytes) -> bytes:
        """The stand-in for `value`, e.g. ``redacted-secret-0f3a9c11d2e4``."""
        found = self._placeholders.get((kind, value))
        if found is None:
            digest = hmac.digest(self._key, value, "sha256").hex()[:12]
            found = f"redacted-{kind}-{digest}".encode()
            if len(self._placeholders) >= MAX_CLEAN:
                self._placeholders.clear()
            self._placeholders[kind, value] = found
        return found

    # -- whole values ---------------------------------------------------------------------------------

    def redact(self, data: bytes, place: Place = BODY) -> bytes:
        """`data` with every secret replaced."""
        return self.replace(data, self.spans(data, place))

    def text(self, value: str, place: Place = BODY) -> str:
        data = value.encode("utf-8", "surrogateescape")
        return self.redact(data, place).decode("utf-8", "surrogateescape")

    def headers(self, headers: Headers) -> Headers:
        """Headers with their secrets replaced; names, order and authentication schemes stay."""
        found: Headers = []
        for header in headers:
            if header not in self._harmless:
                name, value = header
                redacted = self.header(name.lower(), value)
                if redacted == value and len(value) <= 256:
                    if len(self._harmless) >= MAX_CLEAN:
                        self._harmless.clear()
                    self._harmless.add(header)
                found.append((name, redacted))
            else:
                found.append(header)
        return found

    def header(self, name: str, value: str) -> str:
        """One header's value; `name` in lower case."""
        if not value:
            return value
        if name == "cookie":
            return "; ".join(self._cookie(pair) for pair in value.split("; "))
        if name == "set-cookie":
            pair, semicolon, attributes = value.partition(";")
            return self._cookie(pair) + semicolon + attributes
        if name in self._headers or patterns.SECRET_HEADER.search(name):
            return self._credential(value)
        if name in patterns.ACCOUNT_HEADERS:
            return self._stand_in("account", value)
        if name in patterns.URL_HEADERS:
            return self.url(value)
        if name == "sec-websocket-protocol":
            return patterns.SUBPROTOCOL.sub(self._subprotocol, value)
        return self.text(value)

    def url(self, url: str) -> str:
        """A URL, or a path with its query: secrets in user info, query, fragment and path segments."""
        before, separator, rest = url.partition("?")
        scheme, slashes, authority = before.partition("://")
        if slashes and "@" in authority.partition("/")[0]:
            info, _, host = authority.partition("@")
            before = f"{scheme}://{self._stand_in('secret', info)}@{host}"
        before = self.text(before)
        if not separator:
            path, hash, fragment = before.partition("#")
            return path + hash + self._query(fragment) if hash else before
        query, hash, fragment = rest.partition("#")
        return before + "?" + self._query(query) + hash + self._query(fragment)

    def _query(self, query: str) -> str:
        pairs = []
        for pair in query.split("&"):
            name, equals, value = pair.partition("=")
            kind = self._kind(name.encode("utf-8", "surrogateescape"), login=True)
            if equals and value and kind and not PLACEHOLDER.fullmatch(value):
                raw = unquote_to_bytes(value)
                if kind == "secret":
                    self.learn(raw.decode("utf-8", "surrogateescape"))
                pairs.append(f"{name}={self.placeholder(kind, raw).decode()}")
            else:
                pairs.append(self.text(pair))
        return "&".join(pairs)

    def _cookie(self, pair: str) -> str:
        name, equals, value = pair.partition("=")
        if not equals:
            return self._stand_in("cookie", pair) if pair.strip() else pair
        if value:
            self.learn(value)
        return f"{name}={self._stand_in('cookie', value)}" if value else pair

    def _credential(self, value: str) -> str:
        scheme = _SCHEME.fullmatch(value)
        secret = scheme[2] if scheme else value
        self.learn(secret)
        stand_in = self._stand_in("secret", secret)
        return f"{scheme[1]} {stand_in}" if scheme else stand_in

    def _subprotocol(self, match: re.Match[str]) -> str:
        self.learn(match["secret"])
        return match[0].replace(match["secret"], self._stand_in("secret", match["secret"]))

    def _stand_in(self, kind: Kind, value: str) -> str:
        if PLACEHOLDER.fullmatch(value):
            return value
        return self.placeholder(kind, value.encode("utf-8", "surrogateescape")).decode()

    # -- bytes ----------------------------------------------------------------------------------------

    def replace(self, data: bytes, spans: list[Span]) -> bytes:
        """`data` with the placeholders of `spans`, which are in order and do not overlap."""
        if not spans:
            return data
        pieces: list[bytes] = []
        position = 0
        for span in spans:
            pieces += (data[position : span.start], self.stand_in(data, span))
            position = span.end
        pieces.append(data[position:])
        return b"".join(pieces)

    def stand_in(self, data: bytes, span: Span) -> bytes:
        """What is written for one span of `data`."""
        value = data[span.start : span.end]
        canonical = self._known.get(value) or self._learned.get(value) or _plain(value)
        found = self.placeholder(span.kind, canonical)
        return b'"%s"' % found if span.quoted else found

    def spans(self, data: bytes, place: Place = BODY) -> list[Span]:
        """Every secret in `data`, in order and without overlap."""
        found = [*self._runs(data), *self._keys(data, place), *_mails(data)]
        for value in self._odd:
            found += _occurrences(data, value)
        lowered = data.lower()
        if b"bearer" in lowered:
            found += (Span(*m.span("secret"), "secret") for m in patterns.BEARER.finditer(data))
        if patterns.PEM_MARK in data:
            found += (Span(*m.span("secret"), "secret") for m in patterns.PEM.finditer(data))
        if place.multipart:
            found += self._fields(data)
        for pattern in self._user:
            group = 1 if pattern.groups else 0
            found += (
                Span(*m.span(group), "pattern")
                for m in pattern.finditer(data)
                if m.end(group) > m.start(group)
            )
        if not found:
            return found
        return _merge(
            [s for s in found if not PLACEHOLDER.fullmatch(data[s.start : s.end].decode("latin-1"))]
        )

    def _runs(self, data: bytes) -> list[Span]:
        """Credentials by their shape, and known ones by their value."""
        found: list[Span] = []
        masked = data.translate(_MASK)
        clean = self._clean
        position = 0
        while (start := masked.find(_RUN, position)) >= 0:
            end = masked.find(b" ", start)
            position = end = len(data) if end < 0 else end
            if start and data[start - 1] == 0x5C:
                # The first letters belong to an escape of JSON: \n, A.
                start += 5 if data[start] == 0x75 else 1
            run = data[start:end]
            if run in clean:
                continue
            spans = self._judge(run)
            found += (Span(start + s, start + e, "secret") for s, e in spans)
            if not spans and len(run) <= 256:
                if len(clean) >= MAX_CLEAN:
                    clean.clear()
                clean.add(run)
        return found

    def _judge(self, run: bytes) -> list[tuple[int, int]]:
        spans = [m.span() for m in self._exact.finditer(run)] if self._exact else []
        position = 0
        while match := patterns.TOKENS.search(run, position):
            start = match.start()
            if _begins_here(run, start):
                spans.append(match.span())
                position = match.end()
            else:
                position = start + 1
        return spans

    def _keys(self, data: bytes, place: Place) -> list[Span]:
        """Values of keys whose name says that they are secret."""
        if place.login:
            names: Iterable[tuple[int, int]] = (m.span() for m in patterns.ANY_KEY.finditer(data))
        else:
            names = _names(data, self._roots)
        found: list[Span] = []
        for start, end in names:
            kind = self._kind(data[start:end], place.login)
            if kind is None:
                continue
            match = patterns.AFTER_KEY.match(data, end)
            if match and (span := _value(match, kind, place.login)):
                found.append(span)
                if kind == "secret" and place.login:
                    self.learn(_plain(data[span.start : span.end]).decode("utf-8", "surrogateescape"))
        return found

    def _fields(self, data: bytes) -> Iterable[Span]:
        for match in patterns.FORM_FIELD.finditer(data):
            if kind := self._kind(match["name"], login=True):
                yield Span(*match.span("value"), kind)

    def _kind(self, name: bytes, login: bool) -> Kind | None:
        """What the value of a key so named is, or None if it is no secret."""
        plain = _plain_name(name)
        if plain.endswith(patterns.SECRET_ENDINGS) or (login and plain in patterns.LOGIN_NAMES):
            return "secret"
        if plain in self._names:
            return "pattern"
        if plain.endswith(patterns.EMAIL_ENDINGS):
            return "email"
        return "account" if plain.endswith(patterns.ACCOUNT_ENDINGS) else None

    def _compile(self) -> None:
        values = [*self._known, *self._learned]
        runs = [v for v in values if len(v) >= patterns.RUN and patterns.TOKEN_BYTES.issuperset(v)]
        runs.sort(key=len, reverse=True)
        self._exact = re.compile(b"|".join(map(re.escape, runs))) if runs else None
        self._odd = tuple(v for v in values if v not in set(runs))
        self._clean = set()
        self._harmless = set()


def _spellings(secret: str) -> dict[bytes, bytes]:
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


def _plain(value: bytes) -> bytes:
    """`value` without percent and JSON escapes, so that all spellings of a secret share a placeholder."""
    if b"%" in value:
        value = unquote_to_bytes(value)
    if b"\\" in value:
        with suppress(ValueError, UnicodeDecodeError):
            value = json.loads(b'"%s"' % value).encode("utf-8", "surrogatepass")
    return value


def _begins_here(run: bytes, start: int) -> bool:
    """Whether a token may begin at `start`: not inside a word, but behind a percent escape."""
    if start == 0 or run[start - 1] not in patterns.ALPHANUMERIC:
        return True
    return start >= 3 and run[start - 3] == 0x25


def _names(data: bytes, roots: Iterable[bytes]) -> Iterable[tuple[int, int]]:
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


def _plain_name(name: bytes) -> str:
    return name.decode("latin-1").lower().replace("_", "").replace("-", "")


def _value(match: re.Match[bytes], kind: Kind, login: bool) -> Span | None:
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
    if scheme := _SCHEME.fullmatch(value.decode("latin-1")):
        start += scheme.start(2)
    return Span(start, end, kind)


def _mails(data: bytes) -> Iterable[Span]:
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


def _occurrences(data: bytes, value: bytes) -> Iterable[Span]:
    position = data.find(value)
    while position >= 0:
        yield Span(position, position + len(value), "secret")
        position = data.find(value, position + len(value))


_RANK: Final[dict[str, int]] = {"secret": 0, "cookie": 1, "pattern": 2, "account": 3, "email": 4}


def _merge(spans: list[Span]) -> list[Span]:
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
