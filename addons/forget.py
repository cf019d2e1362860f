"""What was relayed is not kept: of long sessions, mitmproxy would remember every message until they end.

Codex holds a WebSocket open for hours, and what is inside TLS and no HTTP may be a download of any size.
"""

from __future__ import annotations

from typing import Any, Final

from mitmproxy import ctx, http, tcp, udp

KEEP: Final = 2
"""Messages that are kept of a session that nobody looks at."""


class Forget:
    """After all addons that read messages."""

    def websocket_message(self, flow: http.HTTPFlow) -> None:
        if flow.websocket:
            self._forget(flow.websocket.messages)

    def tcp_message(self, flow: tcp.TCPFlow) -> None:
        self._forget(flow.messages)

    def udp_message(self, flow: udp.UDPFlow) -> None:
        self._forget(flow.messages)

    def _forget(self, messages: list[Any]) -> None:
        if not is_looked_at():
            del messages[:-KEEP]


def is_looked_at() -> bool:
    """Whether mitmproxy shows flows to somebody: mitmweb and mitmproxy do, mitmdump and Detour do not."""
    return ctx.master.addons.get("view") is not None
