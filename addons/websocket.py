"""WebSocket sessions of routed surfaces: messages rewritten and read, kept whole, and not kept for long."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from mitmproxy import ctx, http
from mitmproxy.proxy.layers.websocket import Fragmentizer

from addons.call import Call, calls, failed
from router_core.core import Core
from router_core.messages import Messages, asked_model
from router_core.routing.plan import Plan
from router_core.routing.websocket import read_message, reconnects

logger = logging.getLogger(__name__)

KEEP = 2
"""Messages that mitmproxy keeps of a session; Codex holds one open for hours."""


@dataclass(slots=True)
class Session:
    call: Call
    messages: Messages


class Websocket:
    def __init__(self, core: Core) -> None:
        self.core = core
        self._sessions: WeakKeyDictionary[http.HTTPFlow, Session] = WeakKeyDictionary()

    def load(self, loader) -> None:
        # A message whose length changes is cut into pieces of 4000 bytes, each decoded by itself, which
        # breaks characters at the cuts. mitmproxy's own comment says to raise this.
        Fragmentizer.FRAGMENT_SIZE = 1 << 62

    def websocket_start(self, flow: http.HTTPFlow) -> None:
        if call := calls.get(flow):
            exchange, attempt = call.under_way
            self._sessions[flow] = Session(call, Messages(exchange, attempt, self.core.rules))

    async def websocket_message(self, flow: http.HTTPFlow) -> None:
        session = self._sessions.get(flow)
        if session is None or flow.websocket is None:
            return
        message = flow.websocket.messages[-1]
        if message.from_client:
            self._name_model(session, message.content)
            message.content = session.messages.sent(message.content)
        elif await self._ends_session(session, message.content):
            message.drop()
            _close(flow)
        else:
            message.content = session.messages.received(message.content)
        del flow.websocket.messages[:-KEEP]

    def _name_model(self, session: Session, content: bytes) -> None:
        """A handshake has no model; each ``response.create`` has."""
        asked = asked_model(content)
        if asked is None:
            return
        exchange, attempt = session.call.under_way
        exchange.model = asked
        attempt.model, attempt.effort = self.core.router.upstream_model(attempt.provider, asked)

    async def _ends_session(self, session: Session, content: bytes) -> bool:
        """Whether `content` says that the account is of no use now: the client then reconnects to another."""
        exchange, attempt = session.call.under_way
        news = read_message(content, time.time())
        if not isinstance(exchange.plan, Plan):
            return False
        exchange.plan.learn(attempt, news)
        if news.outcome is None or news.outcome.phase == "done":
            return False
        verdict = await exchange.plan.report(attempt, news.outcome)
        if not reconnects(verdict.kind):
            return False
        failed(attempt, news.outcome, time.monotonic())
        logger.info("%s: the session ends, its account cannot go on: %s", exchange.id, verdict.reason)
        return True


def _close(flow: http.HTTPFlow) -> None:
    """End the session without a word: clients reconnect after that, and do not after an error."""
    handler = ctx.master.addons.get("proxyserver").connections.get(flow.client_conn.id)
    if handler and (transport := handler.transports.get(flow.client_conn)) and transport.handler:
        transport.handler.cancel("session ended")
