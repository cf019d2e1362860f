"""From the client's request to what one attempt sends: translate, rewrite, name the model, authenticate.

Each attempt starts from the client's own bytes. What no rule changes leaves byte for byte, and the client's
headers keep their order and their spelling: its identity is passed on. Exactly this happens to them:

- Every header and query key that may carry a credential or name an account of the client goes, then the
  attempt's own are set; both together, so that no secret reaches a host that it was not meant for.
- Headers of the connection, of proxies on the way and of Detour itself go. A WebSocket handshake keeps
  ``connection``, ``upgrade`` and ``sec-websocket-*``.
- ``accept-encoding`` becomes ``identity``, so that answers can be read as they pass.
- ``content-length`` fits the body. ``host`` is left to the sender.
- In another format than the client's, headers and query keys that belong to the client's format go.

With ``attempt.credential_id`` None the client's own request goes to its own host: its headers stay, only
those of the connection to Detour go, and no built-in rule is asked, since the client knows its host.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote_plus, urlsplit

from router_core import encoding, threads
from router_core.errors import Code, Refusal
from router_core.exchange import Attempt, Exchange, Headers
from router_core.formats import Format, Operation
from router_core.json_document import Json, serialise, splice
from router_core.rewrite.context import Context
from router_core.rewrite.gemini import ENVELOPE
from router_core.rewrite.headers import HeaderEdit
from router_core.rewrite.models import TRANSLATION, name_model
from router_core.rewrite.rules import Rules
from router_core.translator import Translator

CREDENTIAL_HEADERS: Final = frozenset(
    {
        "authorization",
        "x-api-key",
        "x-goog-api-key",
        "api-key",
        "x-auth-token",
        "cookie",
        # Whose account it is goes with the key.
        "chatgpt-account-id",
        "openai-organization",
        "openai-project",
        "x-goog-user-project",
    }
)
CREDENTIAL_QUERY: Final = frozenset({"key", "api_key", "api-key", "auth_token", "access_token"})
HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "http2-settings",
    }
)
"""RFC 9110 7.6.1; ``host``, ``expect`` and ``proxy-authorization`` are between the client and Detour as well."""
_OURS: Final = HOP_BY_HOP | {"host", "expect", "proxy-authorization"}
_PROXY: Final = ("x-forwarded-", "x-detour-")
_PROXY_NAMES: Final = frozenset({"forwarded", "via", "x-real-ip"})
_FORMAT_HEADERS: Final = {
    Format.ANTHROPIC: ("anthropic-",),
    Format.OPENAI_CHAT: ("openai-",),
    Format.OPENAI_RESPONSES: ("openai-",),
    Format.GEMINI: ("x-goog-",),
    Format.OLLAMA: (),
}
"""Beginnings of headers that mean nothing in another format."""
_FORMAT_NEEDS: Final = {Format.ANTHROPIC: ("anthropic-version", "2023-06-01")}
"""Headers without which a format answers nothing, for requests that were written in another one."""


@dataclass(slots=True)
class Outgoing:
    """What one attempt sends."""

    method: str
    url: str
    """Absolute, with the query."""
    headers: Headers = field(repr=False)
    body: bytes = field(repr=False)
    fired: list[str]
    """Names of the rules that changed something, in order."""
    context: Context = field(repr=False)

    @property
    def notes(self) -> list[str]:
        """Why a rule left the request alone, and what a translation could not express."""
        return self.context.notes

    @property
    def reasons(self) -> dict[str, str]:
        """Why each of the rules in `fired` changed something."""
        return self.context.reasons

    @property
    def target(self) -> str:
        """Path and query of `url`."""
        return _target(self.url)


@lru_cache(1024)
def _target(url: str) -> str:
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def prepare(
    exchange: Exchange, attempt: Attempt, rules: Rules, translator: Translator | None = None
) -> Outgoing | Refusal:
    """The request that `attempt` sends. Never changes `exchange.request`.

    Leaves the rules' context in ``attempt.rewriting`` for the answer's pipeline. A Refusal says that the
    request cannot be expressed in the attempt's format; another attempt may do.
    """
    surface = exchange.surface
    own = attempt.credential_id is None
    translates = (
        attempt.endpoint.format is not surface.format and surface.operation is not Operation.LIST_MODELS
    )
    if lost := threads.refused(exchange, attempt):
        return lost
    headers = HeaderEdit(_kept(exchange, own, translates))
    context = attempt.rewriting = Context(exchange, attempt, headers)
    body = _Body(exchange.request.body, exchange.document, headers.get("content-encoding"))
    if translates:
        translator = translator or rules.translator
        if translator is None:
            what = f"{surface.format} request to {attempt.provider.name} ({attempt.endpoint.format})"
            return Refusal(Code.UNSUPPORTED, f"This {what} would need a translation that is not there.")
        value = translator.request(exchange, attempt)
        if isinstance(value, Refusal):
            return value
        body = _Body(serialise(value), value, None)
        context.mark(TRANSLATION.name, TRANSLATION.reason)
        headers.set("content-type", "application/json")
        headers.drop("content-encoding")
    if not own:
        for name, default in attempt.provider.headers.items():
            headers.default(name, default)
        if translates and attempt.endpoint.format in _FORMAT_NEEDS:
            headers.default(*_FORMAT_NEEDS[attempt.endpoint.format])
        if not exchange.websocket:
            headers.set("accept-encoding", "identity")
    context.original = body.value
    value = rules.apply(body.value if isinstance(body.value, dict) else None, context)
    if isinstance(value, dict):
        _write(body, name_model(value, context), context)
    for name, value in (*attempt.headers.items(), *attempt.auth):
        headers.set(name, value)
    if body.bytes or headers.get("content-length") is not None:
        headers.set("content-length", str(len(body.bytes)))
    if exchange.surface.url is not None:
        url = exchange.surface.url.partition("?")[0] + _query(context, own, translates, "")
    else:
        suffix = _suffix(exchange, attempt, translates, context)
        url = attempt.endpoint.base_url.rstrip("/") + suffix + _query(context, own, translates, suffix)
    return Outgoing(exchange.request.method, url, headers.items, body.bytes, context.fired, context)


class _Body:
    """The body on its way: its bytes, and the tree that they are the text of."""

    def __init__(self, body: bytes, value: Json, coding: str | None) -> None:
        self.bytes = body
        self.value = value
        self.coding = coding

    def plain(self) -> bytes:
        """The bytes without their content encoding. Raises DecodingError."""
        return encoding.decode(self.bytes, self.coding) if encoding.codings(self.coding) else self.bytes


def _write(body: _Body, value: Json, context: Context) -> None:
    if value is body.value:
        return
    try:
        body.bytes = splice(body.plain(), body.value, value)
    except ValueError as e:
        # The upstream gets what the client wrote, rather than something half edited.
        context.note("all", f"left alone: {e}")
        context.fired.clear()
        context.reasons.clear()
        return
    body.value = value
    context.headers.drop("content-encoding")


def _kept(exchange: Exchange, own: bool, translates: bool) -> Headers:
    """The client's headers that the upstream gets too."""
    headers = exchange.request.headers
    gone = set(_OURS)
    for name, value in headers:
        if name.lower() == "connection":
            # RFC 9110 7.6.1: what it names belongs to the connection as well.
            gone |= {token.strip().lower() for token in value.split(",")}
    if exchange.websocket:
        gone -= {"connection", "upgrade"}
    if own:
        return [(n, v) for n, v in headers if n.lower() not in gone and not n.lower().startswith("x-detour-")]
    beginnings = _PROXY + (_FORMAT_HEADERS[exchange.surface.format] if translates else ())
    gone |= CREDENTIAL_HEADERS | _PROXY_NAMES
    return [(n, v) for n, v in headers if n.lower() not in gone and not n.lower().startswith(beginnings)]


_VERSION: Final = re.compile(r"/(v1|v1alpha|v1beta\d*)/models(?:/|$)")


def _suffix(exchange: Exchange, attempt: Attempt, translates: bool, context: Context) -> str:
    """The path below the endpoint's base URL."""
    surface, request = exchange.surface, exchange.request
    path = request.path.partition("?")[0]
    routes = [p for m, p in attempt.endpoint.routes(surface.operation) if m == request.method]
    if not routes:
        routes = [p for _, p in attempt.endpoint.routes(surface.operation)] or [path]
    action = path.rpartition(":")[2]
    if surface.operation is Operation.GENERATE:
        action = "streamGenerateContent" if context.upstream_streams else "generateContent"
    elif translates and surface.operation is Operation.EMBEDDINGS:
        action = "batchEmbedContents"
    suffix = next((p for p in routes if p.endswith(":" + action)), routes[0])
    if not translates and surface.format is Format.GEMINI and (version := _VERSION.search(path)):
        suffix = re.sub(r"^/v1beta/", f"/{version[1]}/", suffix)
    model = attempt.model or surface.path_model or ""
    if "{model}" in suffix:
        return suffix.replace("{model}", quote(model.removeprefix("models/"), safe="/@"))
    if surface.operation is Operation.LIST_MODELS and surface.path_model:
        suffix += "/" + quote(surface.path_model, safe="/@:")
    return suffix


def _query(context: Context, own: bool, translates: bool, suffix: str) -> str:
    """The query with its question mark, or nothing."""
    surface, request = context.exchange.surface, context.exchange.request
    parts = [p for p in request.path.partition("?")[2].split("&") if p]
    if translates:
        parts = []
    elif not own:
        parts = [p for p in parts if unquote_plus(p.partition("=")[0]).lower() not in CREDENTIAL_QUERY]
    if suffix.endswith(":streamGenerateContent"):
        # Only a client that streams without it gets a JSON array; Code Assist has no such thing.
        native = surface.path_stream is True and ENVELOPE not in context.provider.quirks
        if "alt=sse" not in parts and (translates or not native):
            parts.append("alt=sse")
    elif surface.path_stream:
        parts = [p for p in parts if p != "alt=sse"]
    return "?" + "&".join(parts) if parts else ""
