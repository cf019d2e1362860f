"""Takes secrets out of everything before it reaches the disk, and puts placeholders in their places."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote_to_bytes

from router_core.capture import names, patterns
from router_core.capture.detector import Detector
from router_core.capture.known import KnownSecrets
from router_core.capture.placeholders import PLACEHOLDER, Placeholders
from router_core.capture.spans import BODY, FORM, LOGIN, SCHEME, Kind, Place, Span
from router_core.capture.unfinished import unfinished
from router_core.exchange import Headers

MAX_HARMLESS: Final = 16384
"""Headers and short texts that are remembered as holding no secret; most come again with each message."""


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
        names = tuple(names)
        self._known = KnownSecrets()
        self._detector = Detector(self._known, user_patterns, names)
        self._placeholders = Placeholders(key)
        self._headers = frozenset(h.lower() for h in (*headers, *names))
        self._harmless: set[str | tuple[str, str]] = set()
        self._harmless_version = 0

    def know(self, secrets: Iterable[str]) -> None:
        """Registers secrets of the pool: they are redacted wherever they appear, for good."""
        self._known.know(secrets)

    def placeholder(self, kind: Kind, value: bytes) -> bytes:
        """The stand-in for `value`, e.g. ``redacted-secret-0f3a9c11d2e4``."""
        return self._placeholders.of(kind, value)

    # -- whole values ---------------------------------------------------------------------------------

    def redact(self, data: bytes, place: Place = BODY) -> bytes:
        """`data` with every secret replaced."""
        return self.replace(data, self.spans(data, place))

    def text(self, value: str) -> str:
        """`value` with every secret replaced."""
        if self._is_harmless(value):
            return value
        data = value.encode("utf-8", "surrogateescape")
        redacted = self.redact(data).decode("utf-8", "surrogateescape")
        if redacted == value:
            self._remember(value, value)
        return redacted

    def headers(self, headers: Headers) -> Headers:
        """Headers with their secrets replaced; names, order and authentication schemes stay."""
        found: Headers = []
        for header in headers:
            if self._is_harmless(header):
                found.append(header)
            else:
                name, value = header
                redacted = self.header(name.lower(), value)
                if redacted == value:
                    self._remember(header, value)
                found.append((name, redacted))
        return found

    def _is_harmless(self, what: str | tuple[str, str]) -> bool:
        """Whether it is remembered that a text or header holds no secret, of those that are known now."""
        if self._harmless_version != self._known.version:
            self._harmless_version, self._harmless = self._known.version, set()
        return what in self._harmless

    def _remember(self, what: str | tuple[str, str], value: str) -> None:
        if len(value) <= 256:
            if len(self._harmless) >= MAX_HARMLESS:
                self._harmless.clear()
            self._harmless.add(what)

    def header(self, name: str, value: str) -> str:
        """One header's value; `name` in lower case."""
        if not value:
            return value
        if name == "cookie":
            return "; ".join(self._cookie(pair) for pair in value.split("; "))
        if name == "set-cookie":
            pair, semicolon, attributes = value.partition(";")
            return self._cookie(pair) + semicolon + attributes
        if name in self._headers or names.SECRET_HEADER.search(name):
            return self._credential(value)
        if names.ACCOUNT_HEADER.search(name):
            return self._placeholders.of_text("account", value)
        if name in names.URL_HEADERS:
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
            before = f"{scheme}://{self._placeholders.of_text('secret', info)}@{host}"
        before = names.ACCOUNT_PATH.sub(self._account, self.text(before))
        if not separator:
            path, hash, fragment = before.partition("#")
            return path + hash + self._query(fragment) if hash else before
        query, hash, fragment = rest.partition("#")
        return before + "?" + self._query(query) + hash + self._query(fragment)

    def _account(self, match: re.Match[str]) -> str:
        start = match.start("id") - match.start()
        return match[0][:start] + self._placeholders.of_text("account", match["id"])

    def _query(self, query: str) -> str:
        pairs = []
        for pair in query.split("&"):
            name, equals, value = pair.partition("=")
            kind = self._detector.kind(unquote_to_bytes(name.encode("utf-8", "surrogateescape")), LOGIN)
            if equals and value and kind and not PLACEHOLDER.fullmatch(value):
                raw = unquote_to_bytes(value)
                if kind == "secret":
                    self._known.learn(raw.decode("utf-8", "surrogateescape"))
                pairs.append(f"{name}={self.placeholder(kind, raw).decode()}")
            else:
                # Another URL may stand in it.
                data = pair.encode("utf-8", "surrogateescape")
                pairs.append(self.redact(data, FORM).decode("utf-8", "surrogateescape"))
        return "&".join(pairs)

    def _cookie(self, pair: str) -> str:
        name, equals, value = pair.partition("=")
        if not equals:
            return self._placeholders.of_text("cookie", pair) if pair.strip() else pair
        if value:
            self._known.learn(value)
        return f"{name}={self._placeholders.of_text('cookie', value)}" if value else pair

    def _credential(self, value: str) -> str:
        scheme = SCHEME.fullmatch(value)
        secret = scheme[2] if scheme else value
        self._known.learn(secret)
        stand_in = self._placeholders.of_text("secret", secret)
        return f"{scheme[1]} {stand_in}" if scheme else stand_in

    def _subprotocol(self, match: re.Match[str]) -> str:
        self._known.learn(match["secret"])
        return match[0].replace(match["secret"], self._placeholders.of_text("secret", match["secret"]))

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
        found = self._placeholders.of(span.kind, self._known.plain(value))
        return b'"%s"' % found if span.quoted else found

    def spans(self, data: bytes, place: Place = BODY) -> list[Span]:
        """Every secret in `data`, in order and without overlap."""
        return self._detector.spans(data, place)

    def unfinished(self, data: bytes, end: int, place: Place) -> int | None:
        """Where in ``data[:end]``, whole lines, something begins whose secret is on the lines that follow."""
        return unfinished(data, end, place, self._detector)
