"""Who may use Detour: client keys on the proxy (407) and on the gateway (401)."""

from __future__ import annotations

import base64
import binascii
import hmac
from urllib.parse import parse_qs, urlsplit
from weakref import WeakKeyDictionary

from mitmproxy import connection, http

from router_core.core import Core


class Access:
    def __init__(self, core: Core) -> None:
        self.core = core
        self._admitted: WeakKeyDictionary[connection.Client, str] = WeakKeyDictionary()

    def http_connect(self, flow: http.HTTPFlow) -> None:
        self._check_proxy(flow)

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        if flow.client_conn.proxy_mode.type_name == "regular" and flow.client_conn not in self._admitted:
            self._check_proxy(flow)
        # It was meant for this proxy, and for nobody behind it (RFC 9110 section 11.7.1).
        flow.request.headers.pop("proxy-authorization", None)

    def _check_proxy(self, flow: http.HTTPFlow) -> None:
        if not self.core.access_keys:
            return
        try:
            name = self.key_name(_proxy_password(flow.request.headers.get("proxy-authorization", "")))
        except Exception:
            name = None
        if name is None:
            flow.response = http.Response.make(
                407,
                b"Detour: this proxy needs a client key; put it into the proxy's URL: http://detour:KEY@HOST:PORT\n",
                {"proxy-authenticate": 'Basic realm="Detour"', "x-detour-error": "unauthorized"},
            )
        else:
            self._admitted[flow.client_conn] = name

    def client_name(self, flow: http.HTTPFlow) -> str | None:
        """The name of the key with which this connection's client was let in."""
        return self._admitted.get(flow.client_conn)

    def key_name(self, key: str) -> str | None:
        """The name of the client key `key`. Compares with every key, in constant time."""
        found = None
        for name, secret in self.core.access_keys.items():
            if hmac.compare_digest(
                secret.get_secret_value().encode(), key.encode("utf-8", "surrogateescape")
            ):
                found = name
        return found


def gateway_key(request: http.Request) -> str:
    """The client's key on the gateway, wherever its SDK puts it; empty if there is none."""
    authorization = request.headers.get("authorization", "")
    if authorization.lower().startswith("bearer "):
        return authorization[7:].strip()
    for name in ("x-api-key", "x-goog-api-key", "api-key"):
        if value := request.headers.get(name):
            return value.strip()
    return parse_qs(urlsplit(request.path).query).get("key", [""])[0]


def _proxy_password(header: str) -> str:
    """The password (or, without one, the user) of a Basic Proxy-Authorization."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return password or user
