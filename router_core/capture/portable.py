"""A recorded request made ready to leave Detour: its secrets are names of environment variables."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from router_core.capture.names import SECRET_HEADER
from router_core.capture.placeholders import PLACEHOLDER
from router_core.capture.record import Sent
from router_core.exchange import Headers

HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""RFC 9110 7.6.1, and what belongs to one message's framing or destination."""
RECODED: Final = frozenset({"accept-encoding", "content-encoding"})
"""Bodies are recorded decoded, so these no longer say the truth."""

type Text = list[str | Variable]


class Unportable(ValueError):
    """The record cannot be written in the format that was asked for; the message says why."""


@dataclass(frozen=True, slots=True)
class Variable:
    """Stands in a text where the value of an environment variable belongs."""

    name: str


@dataclass(slots=True)
class Portable:
    method: str
    url: Text
    headers: list[tuple[str, Text]]
    body: list[bytes | Variable]
    variables: dict[str, str] = field(default_factory=dict)
    """Name of each variable, and what it stands for."""

    @property
    def plain_body(self) -> bytes | None:
        """The body, or None where variables stand in it."""
        return b"".join(p for p in self.body if isinstance(p, bytes)) if self._all_bytes else None

    @property
    def _all_bytes(self) -> bool:
        return all(isinstance(p, bytes) for p in self.body)


def portable(request: Sent, credential_variable: str) -> Portable:
    """`request` with variables in place of its placeholders.

    `credential_variable` names the one that holds the provider's credential. E-mail addresses and account
    ids inside the body stay placeholders: they are content.
    """
    names = _Names(credential_variable)
    headers = [
        (name, names.text(value, None if SECRET_HEADER.search(name.lower()) else _capitals(name)))
        for name, value in request.headers
        if name.lower() not in HOP_BY_HOP | RECODED and not name.startswith(":")
    ]
    url = names.url(request.url)
    body = names.body(request.body.data)
    return Portable(request.method, url, headers, body, names.meanings)


class _Names:
    """Gives each secret one variable, and each variable one meaning."""

    def __init__(self, credential: str) -> None:
        self._credential = credential
        self._by_digest: dict[str, str] = {}
        self.meanings: dict[str, str] = {}

    def text(self, value: str, wanted: str | None) -> Text:
        """`value` cut at its placeholders; `wanted` is the variable's name, None for the credential's."""
        return self._cut(value, lambda _: wanted)

    def url(self, url: str) -> Text:
        """A URL cut at its placeholders, which are named after their parameters."""
        return self._cut(url, lambda position: _parameter(url, position))

    def _cut(self, value: str, name_at: Callable[[int], str | None]) -> Text:
        pieces: Text = []
        position = 0
        for match in PLACEHOLDER.finditer(value):
            if match.start() > position:
                pieces.append(value[position : match.start()])
            pieces.append(self._variable(match, name_at(match.start())))
            position = match.end()
        return [*pieces, value[position:]] if position < len(value) or not pieces else pieces

    def body(self, data: bytes) -> list[bytes | Variable]:
        pieces: list[bytes | Variable] = []
        position = 0
        for match in re.finditer(PLACEHOLDER.pattern.encode(), data):
            text = PLACEHOLDER.fullmatch(match[0].decode())
            assert text
            if text[1] in ("secret", "cookie"):
                pieces += (data[position : match.start()], self._variable(text, "SECRET"))
                position = match.end()
        return [p for p in (*pieces, data[position:]) if p]

    def _variable(self, match: re.Match[str], wanted: str | None) -> Variable:
        kind, digest = match[1], match[2]
        name = self._by_digest.get(digest)
        if name is None:
            name = wanted = wanted or self._credential
            number = 2
            while name in self.meanings:
                name = f"{wanted}_{number}"
                number += 1
            self._by_digest[digest] = name
            self.meanings[name] = {"account": "an account id", "email": "an e-mail address"}.get(
                kind, f"a {kind}"
            )
            if name == self._credential:
                self.meanings[name] = "the credential"
        return Variable(name)


def _capitals(name: str) -> str:
    return re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_")


def _parameter(url: str, position: int) -> str | None:
    """The variable for a query parameter: ``key`` and its like carry the credential (Gemini)."""
    name = _capitals(re.split(r"[?&#/]", url[:position])[-1].partition("=")[0])
    return None if name in ("KEY", "API_KEY", "APIKEY", "ACCESS_TOKEN", "TOKEN") else name or "SECRET"


def query(url: str) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(url).query, keep_blank_values=True)


def without_framing(headers: Headers) -> Headers:
    """Headers of an answer that is told anew: without framing, without the encoding it was decoded from."""
    drop = HOP_BY_HOP | RECODED
    return [(k, v) for k, v in headers if k.lower() not in drop and not k.startswith(":")]
