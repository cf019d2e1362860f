"""Finds every secret in bytes: by its shape, by its value, by the name of the key that it stands behind."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from router_core.capture import names, patterns
from router_core.capture.known import KnownSecrets
from router_core.capture.placeholders import PLACEHOLDER
from router_core.capture.spans import (
    BODY,
    LOGIN,
    SCHEME,
    Kind,
    Place,
    Span,
    is_basic,
    key_names,
    list_items,
    mails,
    merge,
    occurrences,
    plain_name,
    token_begins,
    value_behind,
)
from router_core.capture.spellings import plain, unescaped

MAX_HARMLESS: Final = 16384
"""Words that are remembered as part of no secret: a stream consists of the same ones again and again."""
MAX_WORD: Final = 256
"""Bytes of a word that is remembered."""

_WORDS: Final = bytes(b if b in patterns.TOKEN_BYTES or b == 0x5C else 0x20 for b in range(256))
"""Leaves words: what may be (part of) a credential or a key's name, and the escapes before them."""
_MASK: Final = bytes(0x61 if b in patterns.TOKEN_BYTES else 0x20 for b in range(256))
_RUN: Final = b"a" * patterns.RUN


class Detector:
    """What it finds in a login is learned by `known`."""

    def __init__(
        self, known: KnownSecrets, user_patterns: Iterable[str], user_names: tuple[str, ...]
    ) -> None:
        """`user_names` are the user's of keys. Raises re.error for a pattern that is no regular expression."""
        self._known = known
        self._names = frozenset(plain_name(n.encode()) for n in user_names)
        self._roots = names.KEY_ROOTS + tuple(n.lower().encode() for n in user_names)
        self._wordly = all(patterns.TOKEN_BYTES.issuperset(root) for root in self._roots)
        """Whether no name goes over several words, as a user's might."""
        self._user = [re.compile(p.encode()) for p in user_patterns]
        self._harmless: set[bytes] = set()
        self._harmless_version = 0

    def spans(self, data: bytes, place: Place = BODY) -> list[Span]:
        """Every secret in `data`, in order and without overlap."""
        found = self._find(data, place)
        if plainer := unescaped(data, all_percent=place.login and not place.json):
            found += (
                span._replace(start=plainer.origin(span.start), end=plainer.origin(span.end))
                for span in self._find(plainer.data, place)
            )
        if not found:
            return found
        return merge([s for s in found if not PLACEHOLDER.fullmatch(data[s.start : s.end].decode("latin-1"))])

    def _find(self, data: bytes, place: Place) -> list[Span]:
        fresh = self._fresh_words(data)
        tokens = {word for word in fresh if len(word) >= patterns.RUN and self._runs(word)}
        keys = self._telling(fresh)
        self._remember(fresh - tokens - keys)
        found = [*(self._runs(data) if tokens else ()), *mails(data)]
        if place.login or place.accounts:
            found += self._keys(data, place, (m.span() for m in patterns.ANY_KEY.finditer(data)))
        elif keys:
            lowered = data.lower() if keys is fresh else b" ".join(keys).lower()
            roots = [root for root in self._roots if root in lowered]
            found += self._keys(data, place, key_names(data, roots))
        if keys:
            found += self._named(data)
        for value in self._known.odd:
            found += occurrences(data, value)
        if patterns.PEM_MARK in data:
            found += self._private_keys(data, place)
        if place.multipart:
            found += self._fields(data)
        found += self._schemes(data)
        found += self._user_patterns(data)
        return found

    def kind(self, name: bytes, place: Place) -> Kind | None:
        """What the value of a key so named is, or None if it is no secret."""
        key = plain_name(name)
        if key.endswith(names.SECRET_ENDINGS):
            return "secret"
        if place.login and (key in names.LOGIN_NAMES or names.LOGIN_ENDING.search(key)):
            return "secret"
        if key in self._names:
            return "pattern"
        if key.endswith(names.EMAIL_ENDINGS):
            return "email"
        known = key.endswith(names.ACCOUNT_ENDINGS) or key in place.accounts
        return "account" if known else None

    def kind_of_many(self, name: bytes) -> Kind | None:
        """What is in a list behind a key, if its name is a plural: ``api_keys``."""
        return self.kind(name[:-1], BODY) if name[-1:] in (b"s", b"S") else None

    def _fresh_words(self, data: bytes) -> set[bytes]:
        """The words of `data` of which it is not known that they are harmless."""
        if self._harmless_version != self._known.version:
            self._harmless_version, self._harmless = self._known.version, set()
        return set(data.translate(_WORDS).split()) - self._harmless

    def _telling(self, words: set[bytes]) -> set[bytes]:
        """Those of `words` that hold the name of a key whose value is a secret in any body."""
        if not self._wordly:
            return words
        data = b" ".join((b"", *words, b""))
        return {
            data[data.rfind(b" ", 0, start) + 1 : data.find(b" ", end)]
            for start, end in key_names(data, self._roots)
            if self._may_tell(data[start:end])
        }

    def _may_tell(self, name: bytes) -> bool:
        return bool(self.kind(name, BODY) or self.kind_of_many(name) or plain_name(name) in names.RANDOM_ONLY)

    def _remember(self, words: set[bytes]) -> None:
        if len(self._harmless) + len(words) > MAX_HARMLESS:
            self._harmless = set()
        if len(words) <= MAX_HARMLESS:
            self._harmless.update(word for word in words if len(word) <= MAX_WORD)

    def _runs(self, data: bytes) -> list[Span]:
        """Credentials by their shape, and known ones by their value."""
        found: list[Span] = []
        masked = data.translate(_MASK)
        position = 0
        while (start := masked.find(_RUN, position)) >= 0:
            end = masked.find(b" ", start)
            position = end = len(data) if end < 0 else end
            if start and data[start - 1] == 0x5C:
                # The first letters belong to an escape of JSON: \n, \u0041.
                start += 5 if data[start] == 0x75 else 1
            found += (Span(start + s, start + e, kind) for s, e, kind in self._judge(data[start:end]))
        return found

    def _judge(self, run: bytes) -> list[tuple[int, int, Kind]]:
        spans: list[tuple[int, int, Kind]] = []
        if exact := self._known.exact:
            spans += ((*m.span(), "secret") for m in exact.finditer(run))
        if b"org-" in run or b"user-" in run or b"proj_" in run:
            found = patterns.ACCOUNT_IDS.finditer(run)
            spans += ((*m.span(), "account") for m in found if token_begins(run, m.start()))
        spans += ((*m.span(), "secret") for m in patterns.TOKENS.finditer(run))
        if b"." in run:
            spans += ((*m.span(), "secret") for m in patterns.DOTTED.finditer(run))
        if (behind := patterns.TOKENS.match(run[1 : 1 + run[0]])) and behind.end() == run[0]:
            # Protocol buffers write a text's length before it, which may be a letter.
            spans.append((1, 1 + run[0], "secret"))
        return spans

    def _keys(self, data: bytes, place: Place, places: Iterable[tuple[int, int]]) -> list[Span]:
        """Values of the keys at `places` whose name says that they are secret."""
        found: list[Span] = []
        for start, end in places:
            name = data[start:end]
            kind = self.kind(name, place)
            many = kind if kind in ("account", "secret") else self.kind_of_many(name)
            if many and (items := patterns.LIST.match(data, end)):
                found += list_items(data, items, many)
                continue
            if kind is None:
                if plain_name(name) in names.RANDOM_ONLY and (span := self._random(data, end, place)):
                    found.append(span)
                continue
            if data[start - 1 : start] == b"<" and (tag := patterns.XML_VALUE.match(data, end)):
                found.append(Span(*tag.span("secret"), kind))
                continue
            match = patterns.AFTER_KEY.match(data, end)
            if match and (span := value_behind(match, kind, place)):
                found.append(span)
                if kind == "secret" and place.login:
                    self._known.learn(plain(data[span.start : span.end]).decode("utf-8", "surrogateescape"))
        return found

    def _random(self, data: bytes, end: int, place: Place) -> Span | None:
        """The value behind a key that ends at `end`, if it looks like a credential."""
        match = patterns.AFTER_KEY.match(data, end)
        span = match and match["sign"] and value_behind(match, "secret", place)
        return span if span and patterns.LOOKS_RANDOM.fullmatch(data[span.start : span.end]) else None

    def _named(self, data: bytes) -> Iterable[Span]:
        """Headers, variables and parameters of requests that a body tells of."""
        if b'"value' in data or b'\\"value' in data:
            for match in patterns.NAMED_VALUE.finditer(data):
                if self._is_credential(match["name"]):
                    yield self._behind_scheme(match)
        for match in patterns.PAIR.finditer(data):
            if self._is_credential(match["name"]):
                span = self._behind_scheme(match)
                if patterns.LOOKS_RANDOM.fullmatch(data[span.start : span.end]):
                    yield span

    def _is_credential(self, name: bytes) -> bool:
        return self.kind(name, BODY) == "secret" or bool(names.SECRET_HEADER.search(name.decode().lower()))

    def _behind_scheme(self, match: re.Match[bytes]) -> Span:
        start, end = match.span("secret")
        if scheme := SCHEME.fullmatch(match["secret"].decode("latin-1")):
            start += scheme.start(2)
        return Span(start, end, "secret")

    def _private_keys(self, data: bytes, place: Place) -> Iterable[Span]:
        for match in patterns.PEM.finditer(data):
            start, end = match.span("secret")
            if place.json and (quote := patterns.RAW_QUOTE.search(data, start, end)):
                end = quote.start()
            if end > start:
                yield Span(start, end, "secret")

    def _schemes(self, data: bytes) -> Iterable[Span]:
        """What a scheme stands before: of authentication, or of a URL."""
        lowered = data.lower()
        if b"bearer" in lowered:
            yield from (Span(*m.span("secret"), "secret") for m in patterns.BEARER.finditer(data))
        if b"basic" in lowered:
            yield from (
                Span(*m.span("secret"), "secret")
                for m in patterns.BASIC.finditer(data)
                if is_basic(m["secret"])
            )
        if b"curl" in lowered:
            yield from (Span(*m.span("secret"), "secret") for m in patterns.CURL_USER.finditer(data))
        if b"://" in data:
            if b"@" in data:
                yield from (
                    Span(*m.span("secret"), "secret")
                    for m in patterns.USER_INFO.finditer(data)
                    if not patterns.STAND_IN.match(m["secret"])
                )
            if b"?" in data and b"=" in data:
                yield from (
                    Span(*m.span("secret"), "secret")
                    for m in patterns.PARAMETER.finditer(data)
                    if self.kind(m["name"], LOGIN) == "secret"
                    and patterns.LOOKS_RANDOM.fullmatch(m["secret"])
                )

    def _user_patterns(self, data: bytes) -> Iterable[Span]:
        for pattern in self._user:
            group = 1 if pattern.groups else 0
            for match in pattern.finditer(data):
                if match.end(group) > match.start(group):
                    yield Span(*match.span(group), "pattern")

    def _fields(self, data: bytes) -> Iterable[Span]:
        for match in patterns.FORM_FIELD.finditer(data):
            kind = self.kind(match["name"], LOGIN)
            if kind and match["value"]:
                yield Span(*match.span("value"), kind)
