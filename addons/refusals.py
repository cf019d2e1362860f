"""Notices clients that refuse Detour's certificate, says so with the remedy, and lets them through for a while.

TLS libraries break off in two ways that can be told from a change of mind: with an alert during the handshake
(OpenSSL, rustls, Go, Java), or by closing the connection during it (Node, Python's asyncio). A client that
completes the handshake and leaves has only looked, and one that was served before trusts the authority: its
silence says nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import logging
from typing import Final

from mitmproxy import connection, http, tcp, tls

from addons.intercept import destination, is_for_detour
from router_core import processes
from router_core.config.units import write_duration
from router_core.core import Core
from router_core.identity import tool_of
from router_core.refusals import Client, Refusal

logger = logging.getLogger(__name__)

ALERTS: Final = (
    # RFC 8446 section 6.2, in OpenSSL's words
    "unknown ca",
    "bad certificate",
    "certificate unknown",
    "unsupported certificate",
    "certificate revoked",
    "certificate expired",
    "certificate required",
)
CLOSED: Final = "client disconnected during the handshake"
"""mitmproxy's words for a connection that ends after its ClientHello was answered."""
VOLATILE: Final = frozenset({0, 16, 21, 35, 41, 42})
"""Extensions that the same library sends or not: server_name, ALPN, padding, session_ticket, pre_shared_key,
early_data."""


class Refusals:
    name = "detour-refusals"

    def __init__(self, core: Core) -> None:
        self.core = core
        self._shown: dict[str, Client] = {}
        """Who is shown the certificate, by connection; gone with its first request or its end."""
        self._tools: dict[str, str] = {}
        """User-Agents of CONNECT requests, by connection."""

    def load(self, loader) -> None:
        logging.getLogger("mitmproxy.proxy.server").addFilter(_is_not_said_here)

    def http_connect(self, flow: http.HTTPFlow) -> None:
        if agent := flow.request.headers.get("user-agent"):
            self._tools[flow.client_conn.id] = tool_of(agent) or agent.partition("/")[0][:40]

    async def tls_clienthello(self, data: tls.ClientHelloData) -> None:
        """After the intercept addon, which has decided whether the host is one to decrypt."""
        host = destination(data)
        if data.ignore_connection or host is None or is_for_detour(data):
            return
        conn = data.context.client
        client = Client(_address(conn), host, fingerprint(data.client_hello))
        if self.core.refusals.is_tunnelled(client):
            data.ignore_connection = True
            return
        self._shown[conn.id] = client
        refusal = self.core.refusals.find(client)
        if refusal and refusal.process is None:
            # While it waits for the handshake it is certain to hold its end.
            refusal.process = await asyncio.to_thread(_process, conn)

    def tls_failed_client(self, data: tls.TlsData) -> None:
        client = self._shown.pop(data.conn.id, None)
        error = data.conn.error or ""
        if client is None:
            return
        alert = next((alert for alert in ALERTS if alert in error), None)
        if alert:
            self._refused(client, data.conn, f"TLS alert: {alert}")
        elif CLOSED in error and not self.core.refusals.has_trusted(client):
            self._refused(client, data.conn, "it closed the connection during the handshake")

    def client_disconnected(self, client: connection.Client) -> None:
        self._shown.pop(client.id, None)
        self._tools.pop(client.id, None)

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        self._accepted(flow.client_conn)

    def tcp_start(self, flow: tcp.TCPFlow) -> None:
        self._accepted(flow.client_conn)

    def _accepted(self, conn: connection.Client) -> None:
        client = self._shown.pop(conn.id, None)
        if client and (refusal := self.core.refusals.accepted(client)):
            logger.info("%s trusts Detour's authority for %s now", refusal.name, client.host)

    def _refused(self, client: Client, conn: connection.Connection, reason: str) -> None:
        ca = self.core.config.ca
        refusal = self.core.refusals.refused(
            client,
            reason,
            limit=ca.refusals if self._may_pass(client.host) else 0,
            tunnel_for=ca.tunnel_for,
            tool=self._tools.get(conn.id),
        )
        logger.warning("%s", self._message(refusal))

    def _may_pass(self, host: str) -> bool:
        """Whether requests to `host` may go there undecrypted, with the client's own credential."""
        if self.core.config.routing.unconfigured == "reject":
            return False
        return all(provider.enabled for provider in self.core.registry.hosts.get(host, ()))

    def _message(self, refusal: Refusal) -> str:
        host, remedy = refusal.client.host, refusal.remedy
        if not (refusal.process or _is_here(refusal.client.address)):
            remedy = (
                "on that machine, fetch http://mitm.it/ca.pem through the proxy (or use `detour ca export`) and "
                "have its store or its tool trust it, as docs/recipes/trust.md says"
            )
        if "expired" in refusal.reason:
            remedy = f"compare the clocks of both machines, and see `detour ca show`; else {remedy}"
        what = f"{refusal.name} does not trust Detour's authority for {host} ({refusal.reason})"
        if self.core.refusals.is_tunnelled(refusal.client):
            what += (
                f", {refusal.count} times in a row: its connections there are tunnelled for "
                f"{write_duration(self.core.config.ca.tunnel_for)}, and nothing of them is routed"
            )
        return f"{what}; to mend it: {remedy}"


def _is_not_said_here(record: logging.LogRecord) -> bool:
    """Leaves mitmproxy's own words for a refusal out, which name no remedy."""
    text = record.getMessage()
    return "Client TLS handshake failed" not in text or not any(alert in text for alert in ALERTS)


def fingerprint(hello: tls.ClientHello) -> str:
    """What one TLS library's ClientHellos have in common: ciphers, and kinds of extensions in any order.

    GREASE values (RFC 8701) are random, so they are left out.
    """
    ciphers = [c for c in hello.cipher_suites if not _is_grease(c)]
    kinds = sorted(k for k, _ in hello.extensions if not _is_grease(k) and k not in VOLATILE)
    return hashlib.blake2s(repr((ciphers, kinds)).encode(), digest_size=4).hexdigest()


def _is_grease(value: int) -> bool:
    return value & 0x0F0F == 0x0A0A and value >> 8 == value & 0xFF


def _address(conn: connection.Client) -> str:
    return conn.peername[0].partition("%")[0].removeprefix("::ffff:")


def _is_here(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _process(conn: connection.Client) -> processes.Process | None:
    try:
        return processes.client(conn.peername[:2], conn.sockname[:2])
    except (ValueError, OSError):
        return None
