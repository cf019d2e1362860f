"""WebSocket sessions of routed surfaces: messages stay whole, and long sessions stay small."""

from __future__ import annotations

from mitmproxy import http
from mitmproxy.proxy.layers.websocket import Fragmentizer

from addons.call import calls
from router_core.core import Core

KEEP = 2
"""Messages that mitmproxy keeps of a session; Codex holds one open for hours."""


class Websocket:
    def __init__(self, core: Core) -> None:
        self.core = core

    def load(self, loader) -> None:
        # A message whose length changes is cut into pieces of 4000 bytes, each decoded by itself, which
        # breaks characters at the cuts. mitmproxy's own comment says to raise this.
        Fragmentizer.FRAGMENT_SIZE = 1 << 62

    def websocket_message(self, flow: http.HTTPFlow) -> None:
        if flow not in calls:
            return
        assert flow.websocket
        del flow.websocket.messages[:-KEEP]
