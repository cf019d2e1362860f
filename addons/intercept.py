"""Decides which TLS connections are decrypted: those to exact provider hosts, and no other."""

from __future__ import annotations

import logging
from typing import Final

from mitmproxy import tls
from mitmproxy.proxy import mode_specs
from mitmproxy.proxy.layers import modes

from addons.transparent import is_transparent
from router_core.core import Core

logger = logging.getLogger(__name__)


ENCRYPTED_CLIENT_HELLO: Final = 0xFE0D
"""Type of the TLS extension (RFC 9849 10.1)."""


class Intercept:
    name = "detour-intercept"
    """mitmweb and the console have an addon called ``intercept``."""

    def __init__(self, core: Core) -> None:
        self.core = core

    def tls_clienthello(self, data: tls.ClientHelloData) -> None:
        try:
            data.ignore_connection = not self._is_ours(data)
        except Exception:
            # Whatever happens, what is not known to be a provider's is not decrypted.
            data.ignore_connection = True
            logger.exception("cannot tell whether to intercept; the connection is tunnelled")

    def _is_ours(self, data: tls.ClientHelloData) -> bool:
        if is_for_detour(data):
            return True
        host = destination(data)
        counted = self.core.connections
        # Browsers send the extension with random bytes to every host (GREASE, RFC 9849 6.2). Beside a
        # provider's name it hides nothing; beside another one it may hide any.
        if self.core.is_intercepted(host):
            counted.decrypted += 1
            return True
        if any(kind == ENCRYPTED_CLIENT_HELLO for kind, _ in data.client_hello.extensions):
            counted.ech += 1
        elif data.client_hello.sni is None:
            counted.unnamed += 1
        else:
            counted.tunnelled += 1
        return False


def is_for_detour(data: tls.ClientHelloData) -> bool:
    """Whether the client speaks TLS to Detour itself."""
    context = data.context
    if isinstance(context.client.proxy_mode, mode_specs.ReverseMode):
        return True  # the gateway
    return len(context.layers) == 2 and isinstance(context.layers[0], modes.HttpProxy)  # around the CONNECT


def destination(data: tls.ClientHelloData) -> str | None:
    """The host that the client means, or None if that cannot be told."""
    host = data.client_hello.sni
    if host is None and data.context.server.address and not is_transparent(data.context.client):
        host = data.context.server.address[0]
    return host.lower().rstrip(".") if host else None
