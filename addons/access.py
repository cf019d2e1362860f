"""Who may use Detour: clients of certain networks, and client keys on the proxy (407) and on the gateway (401)."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import logging
import socket
from typing import Final
from urllib.parse import parse_qs, urlsplit
from weakref import WeakKeyDictionary

from cachetools import TTLCache
from mitmproxy import connection, http

from addons.answers import refusal_response
from addons.peers import is_peer
from router_core.core import Core
from router_core.errors import Code, Refusal
from router_core.formats import Format

logger = logging.getLogger(__name__)

OPEN_MODES: Final = frozenset({"regular", "reverse", "transparent"})
"""mitmproxy's modes that listen for whoever comes; the others know their clients."""

PROXY_KEY: Final = Refusal(
    Code.UNAUTHORIZED,
    "This proxy needs a client key; put it into the proxy's URL: http://detour:KEY@HOST:PORT",
    status=407,
)
"""Which format the client speaks is not known yet: it has only asked for a tunnel."""

SAID_CLIENTS: Final = 256
SAID_SECONDS: Final = 600.0
"""A client that goes on trying is logged once in this time; so many are remembered."""

WANTING: Final = Refusal(
    Code.UNAUTHORIZED,
    "This gateway needs one of the keys of access.keys, sent where your tool sends its API key.",
)


class Access:
    def __init__(self, core: Core) -> None:
        self.core = core
        self._said: TTLCache[str, bool] = TTLCache(SAID_CLIENTS, SAID_SECONDS)
        """Addresses whose refusal stands in the log already."""
        self._admitted: WeakKeyDictionary[connection.Client, str] = WeakKeyDictionary()
        self._from: WeakKeyDictionary[connection.Client, str] = WeakKeyDictionary()
        """The names of the networks that clients come from, where they have one."""

    def client_connected(self, client: connection.Client) -> None:
        networks = self.core.config.access.networks
        if not networks or client.proxy_mode.type_name not in OPEN_MODES:
            return
        address = _address(client.peername[0])
        within = [each for each in networks if address in each.network]
        if within:
            nearest = max(within, key=lambda each: each.network.prefixlen)
            if nearest.name is not None:
                self._from[client] = nearest.name
        if within or _is_this_machine(address):
            return
        client.error = "its address is outside access.networks"
        self.core.connections.refused += 1
        self._say(str(address), "is cut off: it is outside access.networks")

    def _say(self, address: str, what: str) -> None:
        if address not in self._said:
            self._said[address] = True
            logger.warning("%s %s", address, what)

    def http_connect(self, flow: http.HTTPFlow) -> None:
        self._check_proxy(flow)

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        if flow.client_conn.proxy_mode.type_name == "regular" and flow.client_conn not in self._admitted:
            self._check_proxy(flow)
        # It was meant for this proxy, and for nobody behind it (RFC 9110 section 11.7.1).
        flow.request.headers.pop("proxy-authorization", None)

    def _check_proxy(self, flow: http.HTTPFlow) -> None:
        if not self.core.access_keys or flow.response:
            return
        try:
            shown = _proxy_password(flow.request.headers.get("proxy-authorization", ""))
            answer = self.admit(flow.client_conn, shown)
        except Exception:
            # mitmproxy would go on as if nothing had been asked.
            logger.exception("cannot tell whether a client may come in; it may not")
            answer = WANTING
        if isinstance(answer, str):
            self._admitted[flow.client_conn] = answer
        elif answer.status == 429:
            flow.response = refusal_response(Format.OPENAI_CHAT, answer)
        else:
            flow.response = refusal_response(Format.OPENAI_CHAT, PROXY_KEY)
            flow.response.headers["proxy-authenticate"] = 'Basic realm="Detour"'

    def admit(self, client: connection.Client, key: str) -> str | Refusal:
        """The name of the client key `key`, or why a client that shows it is not let in."""
        if not key:
            return WANTING
        name, address = self.key_name(key), client.peername[0]
        if wait := self.core.attempts.judge(address, name):
            self._say(
                address, "shows one wrong client key after the other: for a while any is answered with 429"
            )
            return Refusal(
                Code.UNAUTHORIZED,
                "Too many wrong client keys came from your address; see that your tool has the right one of access.keys.",
                status=429,
                retry_after=wait,
            )
        return name or WANTING

    def client_name(self, flow: http.HTTPFlow) -> str | None:
        """The name of the key or of the WireGuard peer with which this connection's client was let in, or of its
        network."""
        if is_peer(flow.client_conn):
            tunnel = self.core.tunnel
            return tunnel.names.get(flow.client_conn.peername[0]) if tunnel else None
        return self._admitted.get(flow.client_conn) or self.network_name(flow.client_conn)

    def network_name(self, client: connection.Client) -> str | None:
        """The name of the network that `client` comes from, of the smallest where it is in several."""
        return self._from.get(client)

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


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """A client's address, an IPv4 one also where an IPv6 socket took it."""
    address = ipaddress.ip_address(text.partition("%")[0])
    return (address.ipv4_mapped if address.version == 6 else None) or address


def _is_this_machine(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether `address` is one of this machine's: to get there, the kernel would start from there."""
    if address.is_loopback:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(address), 9))  # sends nothing
            return _address(probe.getsockname()[0]) == address
    except OSError:
        return False


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
