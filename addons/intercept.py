"""Decides which TLS connections are decrypted: those to exact provider hosts, and no other."""

from __future__ import annotations

import logging

from mitmproxy import tls
from mitmproxy.proxy import mode_specs
from mitmproxy.proxy.layers import modes

from router_core.core import Core

logger = logging.getLogger(__name__)


class Intercept:
    name = "detour-intercept"
    """mitmweb and the console have an addon called ``intercept``."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.tunnelled = 0
        """Connections that were passed through without being looked at."""

    def tls_clienthello(self, data: tls.ClientHelloData) -> None:
        try:
            data.ignore_connection = not self._is_ours(data)
        except Exception:
            # Whatever happens, what is not known to be a provider's is not decrypted.
            data.ignore_connection = True
            logger.exception("cannot tell whether to intercept; the connection is tunnelled")
        self.tunnelled += data.ignore_connection

    def _is_ours(self, data: tls.ClientHelloData) -> bool:
        context = data.context
        if isinstance(context.client.proxy_mode, mode_specs.ReverseMode):
            return True  # the gateway itself, spoken to over TLS
        if len(context.layers) == 2 and isinstance(context.layers[0], modes.HttpProxy):
            return True  # TLS to the proxy itself, around the CONNECT
        host = data.client_hello.sni
        if host is None and context.server.address:
            host = context.server.address[0]
        if host is None:
            return False
        host = host.lower().rstrip(".")
        return host in self.core.registry.hosts or host in self.core.config.capture.hosts
