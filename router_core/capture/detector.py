"""Finds every secret in bytes: by its shape, by its value, by the name of the key that it stands behind."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from router_core.capture import patterns
from router_core.capture.known import KnownSecrets
from router_core.capture.placeholders import PLACEHOLDER
from router_core.capture.spans import (
    BODY,
    LOGIN,
    Kind,
    Place,
    Span,
    key_names,
    list_items,
    mails,
    merge,
    occurrences,
    plain,
    plain_name,
    token_begins,
    value_behind,
)

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

    def __init__(self, known: KnownSecrets, user_patterns: Iterable[str], names: tuple[str, ...]) -> None:
        """`names` are the user's names of keys. Raises re.error for a pattern that is no regular expression."""
        self._known = known
        self._names = frozenset(plain_name(n.encode()) for n in names)
        self._roots = patterns.KEY_ROOTS + tuple(n.lower().encode() for n in names)
        self._wordly = all(patterns.TOKEN_BYTES.issuperset(root) for root in self._roots)
        """Whether no name goes over several words, as a user's might."""
        self._user = [re.compile(p.encode()) for p in user_patterns]
        self._harmless: set[bytes] = set()
        self._harmless_version = 0

    def spans(self, data: bytes, place: Place = BODY) -> list[Span]:
        """Every secret in `data`, in order and without overlap."""
        fresh = self._fresh_words(data)
        tokens = any(len(word) >= patterns.RUN and self._runs(word) for word in fresh)
        keys = self._names_a_secret(fresh)
        if not tokens and not keys:
            self._remember(fresh)
        found = [*(self._runs(data) if tokens else ()), *mails(data)]
        if keys or place.login or place.accounts:
            found += self._keys(data, place)
        for value in self._known.odd:
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

    def kind(self, name: bytes, place: Place) -> Kind | None:
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

    def _fresh_words(self, data: bytes) -> set[bytes]:
        """The words of `data` of which it is not known that they are harmless."""
        if self._harmless_version != self._known.version:
            self._harmless_version, self._harmless = self._known.version, set()
        return set(data.translate(_WORDS).split()) - self._harmless

    def _names_a_secret(self, words: set[bytes]) -> bool:
        """Whether one of `words` holds the name of a key whose value is a secret in any body."""
        if not self._wordly:
            return True
        data = b" ".join((*words, b""))
        return any(self.kind(data[start:end], BODY) for start, end in key_names(data, self._roots))

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
            kind = self.kind(data[start:end], place)
            if kind is None:
                continue
            if kind == "account" and (items := patterns.LIST.match(data, end)):
                found += list_items(data, items, kind)
                continue
            match = patterns.AFTER_KEY.match(data, end)
            if match and (span := value_behind(match, kind, place.login)):
                found.append(span)
                if kind == "secret" and place.login:
                    self._known.learn(plain(data[span.start : span.end]).decode("utf-8", "surrogateescape"))
        return found

    def _fields(self, data: bytes) -> Iterable[Span]:
        for match in patterns.FORM_FIELD.finditer(data):
            if kind := self.kind(match["name"], LOGIN):
                yield Span(*match.span("value"), kind)
