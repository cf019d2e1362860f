"""WebSocket sessions of routed surfaces: messages rewritten and read, and kept whole."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from mitmproxy import ctx, http
from mitmproxy.proxy.layers.websocket import Fragmentizer

from addons.attached import Attached
from addons.call import Call, calls, failed
from addons.handlers import handler_of
from router_core.core import Core
from router_core.errors import Code, Refusal
from router_core.formats import Format
from router_core.formats.errors import error_body
from router_core.json_document import parse, serialise
from router_core.messages import Messages, asked_model
from router_core.routing.plan import Plan
from router_core.routing.targets import UPGRADE_REQUIRED
from router_core.routing.websocket import read_message, reconnects
from router_core.sse import Event, of_message

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Session:
    call: Call
    messages: Messages


class Websocket:
    def __init__(self, core: Core) -> None:
        self.core = core
        self._sessions = Attached[Session]("session")

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
            if elsewhere := self._name_model(session, message.content):
                message.drop()
                _tell(flow, elsewhere)
                return
            message.content = session.messages.sent(message.content)
        elif message.injected:
            return
        elif await self._ends_session(session, event := _event(session.call, message.content)):
            message.drop()
            _close(flow)
        elif (content := session.messages.received(event)) is None:
            message.drop()
        else:
            message.content = content

    def _name_model(self, session: Session, content: bytes) -> Refusal | None:
        """A handshake may tell no model; each ``response.create`` does. A Refusal if it is served elsewhere."""
        asked = asked_model(content)
        if asked is None:
            return None
        exchange, attempt = session.call.under_way
        if not self.core.router.serves(attempt.provider, asked):
            logger.info(
                "%s: %s is not served by %s, whose session it is", exchange.id, asked, attempt.provider.name
            )
            return Refusal(
                Code.UNSUPPORTED,
                f"This session is with {attempt.provider.name}, but {asked} is served elsewhere: connect again, or use HTTP.",
                status=UPGRADE_REQUIRED,
            )
        exchange.model = asked
        attempt.model, attempt.effort = self.core.router.upstream_model(attempt.provider, asked)
        return None

    async def _ends_session(self, session: Session, message: Event) -> bool:
        """Whether `message` says that the account is of no use now: the client then reconnects to another."""
        exchange, attempt = session.call.under_way
        news = read_message(message, time.time())
        if not isinstance(exchange.plan, Plan):
            return False
        exchange.plan.learn(attempt, news)
        if news.outcome is None or news.outcome.phase == "done":
            return False
        # What the request did wrong is shown, and the session goes on; it is reported when it ends.
        kind = exchange.plan.means(attempt, news.outcome)
        if kind is None or not reconnects(kind):
            return False
        verdict = await exchange.plan.report(attempt, news.outcome)
        failed(attempt, news.outcome, time.monotonic())
        logger.info("%s: the session ends, its account cannot go on: %s", exchange.id, verdict.reason)
        return True


def _event(call: Call, content: bytes) -> Event:
    """The message as it was read before, if it was."""
    known, call.message = call.message, None
    return known if known is not None and known.raw is content else of_message(content)


def _tell(flow: http.HTTPFlow, refusal: Refusal) -> None:
    """Answer with an error event in the place of a response; the session can go on."""
    error = parse(error_body(Format.OPENAI_RESPONSES, refusal))
    event = serialise({"type": "error", "status": refusal.status, **error})
    ctx.master.commands.call("inject.websocket", flow, True, event, True)


def _close(flow: http.HTTPFlow) -> None:
    """End the session without a word: clients reconnect after that, and do not after an error."""
    handler = handler_of(flow.client_conn)
    if handler and (transport := handler.transports.get(flow.client_conn)) and transport.handler:
        transport.handler.cancel("session ended")
