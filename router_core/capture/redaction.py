"""Takes secrets out of everything before it reaches the disk, and puts placeholders in their places.

A placeholder is ``redacted-KIND-DIGEST``. The digest is an HMAC of the secret under a random key of this
installation, so one secret has one placeholder in all records and nobody can test guesses against it.
Placeholders are made of characters that need no quoting in headers, URLs, forms and JSON.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote_to_bytes

from router_core.capture import patterns
from router_core.capture.spans import (
    BODY,
    LOGIN,
    SCHEME,
    Kind,
    Place,
    Span,
    key_names,
    mails,
    merge,
    occurrences,
    plain,
    plain_name,
    spellings,
    token_begins,
    value_behind,
)
from router_core.exchange import Headers

PLACEHOLDER: Final = re.compile(r"redacted-(secret|cookie|account|email|pattern)-([0-9a-f]{12})")

MAX_LEARNED: Final = 256
"""Secrets that were seen in headers and logins and are then looked for everywhere; the oldest go first."""
MAX_CLEAN: Final = 16384
"""Runs of token characters that were found harmless, so that a stream's repeated ids are judged once."""

_MASK: Final = bytes(0x61 if b in patterns.TOKEN_BYTES else 0x20 for b in range(256))
_RUN: Final = b"a" * patterns.RUN
_SHORTEST_VALUE: Final = 4


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
        self._names = frozenset(plain_name(n.encode()) for n in names)
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
            if len(secret) >= _SHORTEST_VALUE and secret.encode("utf-8", "surrogateescape") not in known:
                known.update(spellings(secret))
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
        self._learned.update(spellings(secret))
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
            kind = self._kind(name.encode("utf-8", "surrogateescape"), LOGIN)
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
        scheme = SCHEME.fullmatch(value)
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
        canonical = self._known.get(value) or self._learned.get(value) or plain(value)
        found = self.placeholder(span.kind, canonical)
        return b'"%s"' % found if span.quoted else found

    def spans(self, data: bytes, place: Place = BODY) -> list[Span]:
        """Every secret in `data`, in order and without overlap."""
        found = [*self._runs(data), *self._keys(data, place), *mails(data)]
        for value in self._odd:
            found += occurrences(data, value)
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
        return merge([s for s in found if not PLACEHOLDER.fullmatch(data[s.start : s.end].decode("latin-1"))])

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
            found += (Span(start + s, start + e, kind) for s, e, kind in spans)
            if not spans and len(run) <= 256:
                if len(clean) >= MAX_CLEAN:
                    clean.clear()
                clean.add(run)
        return found

    def _judge(self, run: bytes) -> list[tuple[int, int, Kind]]:
        spans: list[tuple[int, int, Kind]] = []
        if self._exact:
            spans += ((*m.span(), "secret") for m in self._exact.finditer(run))
        if b"org-" in run or b"user-" in run or b"proj_" in run:
            found = patterns.ACCOUNT_IDS.finditer(run)
            spans += ((*m.span(), "account") for m in found if token_begins(run, m.start()))
        position = 0
        while match := patterns.TOKENS.search(run, position):
            start = match.start()
            if token_begins(run, start):
                spans.append((*match.span(), "secret"))
                position = match.end()
            else:
                position = start + 1
        return spans

    def _keys(self, data: bytes, place: Place) -> list[Span]:
        """Values of keys whose name says that they are secret."""
        if place.login or place.accounts:
            names: Iterable[tuple[int, int]] = (m.span() for m in patterns.ANY_KEY.finditer(data))
        else:
            names = key_names(data, self._roots)
        found: list[Span] = []
        for start, end in names:
            kind = self._kind(data[start:end], place)
            if kind is None:
                continue
            match = patterns.AFTER_KEY.match(data, end)
            if match and (span := value_behind(match, kind, place.login)):
                found.append(span)
                if kind == "secret" and place.login:
                    self.learn(plain(data[span.start : span.end]).decode("utf-8", "surrogateescape"))
        return found

    def _fields(self, data: bytes) -> Iterable[Span]:
        for match in patterns.FORM_FIELD.finditer(data):
            if kind := self._kind(match["name"], LOGIN):
                yield Span(*match.span("value"), kind)

    def _kind(self, name: bytes, place: Place) -> Kind | None:
        """What the value of a key so named is, or None if it is no secret."""
        key = plain_name(name)
        if key.endswith(patterns.SECRET_ENDINGS) or (place.login and key in patterns.LOGIN_NAMES):
            return "secret"
        if key in self._names:
            return "pattern"
        if key.endswith(patterns.EMAIL_ENDINGS):
            return "email"
        known = key.endswith(patterns.ACCOUNT_ENDINGS) or key in place.accounts
        return "account" if known else None

    def _compile(self) -> None:
        values = [*self._known, *self._learned]
        runs = [v for v in values if len(v) >= patterns.RUN and patterns.TOKEN_BYTES.issuperset(v)]
        runs.sort(key=len, reverse=True)
        self._exact = re.compile(b"|".join(map(re.escape, runs))) if runs else None
        self._odd = tuple(v for v in values if v not in set(runs))
        self._clean = set()
        self._harmless = set()
