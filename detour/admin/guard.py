"""Who may call the admin port: an ASGI middleware in front of everything.

- A bearer token opens everything. It cannot be sent by another site's page, so no more is asked.
- A browser's session cookie opens everything to read. To change something, the request must also come from
  our own page: ``Sec-Fetch-Site`` or ``Origin`` say so, and it repeats the form token.
- Without either, the Host must be an IP address or localhost, and only `OPEN` paths answer. A page that
  has a name point to 127.0.0.1 (DNS rebinding) sends that name as Host.

Sources: OWASP, "Cross-Site Request Forgery Prevention"; W3C, "Fetch Metadata Request Headers"; RFC 6750.
"""

from __future__ import annotations

import ipaddress
import math
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from detour.admin.token import Keys

OPEN: Final = frozenset({"/healthz", "/readyz", "/ca.pem", "/login", "/favicon.ico"})
"""Paths that need no key; so does everything below `OPEN_BELOW`."""
OPEN_BELOW: Final = "/static/"
METRICS: Final = "/metrics"
"""Open too while the port is for this machine alone: scrapers are seldom given a key."""

MAX_BODY: Final = 4 << 20
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

SECURITY_HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
        " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "x-content-type-options": "nosniff",
    # `no-referrer` would have browsers send "Origin: null" with our own forms.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    def __init__(self, app: ASGIApp, keys: Keys, *, cookie: str, host: str) -> None:
        self.app = app
        self.keys = keys
        self.cookie = cookie
        self.names = {"localhost", host.lower()}
        self.local = is_loopback(host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        refusal = await self._refusal(request)
        if refusal is not None:
            await refusal(scope, receive, _secured(send))
            return
        await self.app(scope, request.receive, _secured(send))

    async def _refusal(self, request: Request) -> Response | None:
        path = request.url.path
        length = request.headers.get("content-length", "0")
        if not length.isdigit() or int(length) > MAX_BODY or "transfer-encoding" in request.headers:
            return error(
                413, "request_too_large", f"The request body must be announced and within {MAX_BODY} bytes."
            )
        shown = bearer(request.headers)
        if shown is not None:
            right = self.keys.is_token(shown)
            if refusal := too_often(request, self.keys, right):
                return refusal
            if right:
                request.scope["detour.form"] = self.keys.form
                return None
            return error(401, "unauthorized", "The admin token is wrong.")
        if not self._known_host(request.headers.get("host", "")):
            return error(421, "unknown_host", "Call the admin port by its IP address or as localhost.")
        if path in OPEN or path.startswith(OPEN_BELOW) or (path == METRICS and self.local):
            return None
        if not self.keys.is_session(cookie_of(request.headers, self.cookie)):
            return self._ask(request)
        request.scope["detour.form"] = self.keys.form
        if request.method not in SAFE_METHODS and not await self._from_our_page(request):
            return error(403, "forbidden", "The request does not come from Detour's own page.")
        return None

    def _known_host(self, header: str) -> bool:
        try:
            host = urlsplit(f"//{header}").hostname or ""
        except ValueError:
            return False
        return host in self.names or _is_address(host)

    def _ask(self, request: Request) -> Response:
        if (
            request.url.path.startswith("/api/")
            or request.method not in SAFE_METHODS
            or request.url.path == METRICS
        ):
            return error(
                401,
                "unauthorized",
                "This needs the admin token: Authorization: Bearer TOKEN. `detour doctor` names its file.",
                {"www-authenticate": "Bearer"},
            )
        return RedirectResponse("/login", 303)

    async def _from_our_page(self, request: Request) -> bool:
        site = request.headers.get("sec-fetch-site")
        if site is not None and site != "same-origin":
            return False
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != request.headers.get("host", ""):
            return False
        shown = request.headers.get("x-detour-form")
        if shown is None and request.headers.get("content-type", "").startswith(
            "application/x-www-form-urlencoded"
        ):
            body = await request.body()
            shown = (parse_qs(body.decode("latin-1")).get("form") or [""])[0]
            request._receive = _again(body)
        return shown is not None and self.keys.is_form(shown)


def too_often(request: Request, keys: Keys, right: bool) -> Response | None:
    """The answer to a client that has shown wrong tokens too often, whatever it shows now; else None."""
    wait = keys.attempts.judge(request.client.host if request.client else "", "admin" if right else None)
    if not wait:
        return None
    text = "Too many wrong tokens came from your address; wait a moment."
    return error(429, "unauthorized", text, {"retry-after": str(math.ceil(wait))})


def bearer(headers: Headers) -> str | None:
    scheme, _, value = headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else headers.get("x-detour-token")


def cookie_of(headers: Headers, name: str) -> str:
    cookies: SimpleCookie = SimpleCookie()
    try:
        cookies.load(headers.get("cookie", ""))
    except CookieError:
        return ""
    return cookies[name].value if name in cookies else ""


def error(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """An error of the admin API: ``{"error": {"code", "message"}}``."""
    return JSONResponse({"error": {"code": code, "message": message}}, status, headers)


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _again(body: bytes) -> Receive:
    """The body, for whoever reads it next."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _secured(send: Send) -> Send:
    async def secured(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return secured
