"""The answer on its way back: through the response pipeline to the client, and into the books."""

from __future__ import annotations

import logging
import time

from mitmproxy import http

from addons import accesslog
from addons.answers import refusal_response
from addons.call import Answer, Call, calls, failed
from addons.headers import pairs
from router_core.core import Core
from router_core.errors import Code, Refusal
from router_core.exchange import Headers, Outcome
from router_core.explain import told
from router_core.respond import Responder

logger = logging.getLogger(__name__)

BUG = Refusal(Code.INTERNAL, "Detour failed on this request; the log has the details.")


class Relay:
    def __init__(self, core: Core) -> None:
        self.core = core

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        call = calls.get(flow)
        if call is None:
            if flow.response and flow.response.status_code != 101:
                flow.response.stream = True
                fit_framing(flow)
            return
        if flow.response is call.final:
            return
        try:
            self._begin(call)
        except Exception:
            logger.exception("the answer cannot be passed on")
            call.final = refusal_response(call.surface.format, BUG)
            flow.response = call.final

    def _begin(self, call: Call) -> None:
        flow, exchange = call.flow, call.exchange
        assert flow.response and exchange
        call.next_responder = self._continue(call)
        if call.pending:
            # Keep-alives of our own, while no upstream has answered.
            flow.response.headers["x-detour-id"] = exchange.id
            flow.response.stream = call.relay_stream
            fit_framing(flow)
            return
        call.next_responder(flow.response)
        assert call.responder
        flow.response.status_code = call.responder.status
        flow.response.headers = to_headers([*call.responder.headers, *self._own_headers(call)])
        if flow.response.status_code == 101:
            return  # what follows are frames
        if call.whole:
            return  # `response` changes it in one piece
        if "event-stream" in flow.response.headers.get("content-type", ""):
            # If it breaks off it ends with an event more than the upstream has counted.
            flow.response.headers.pop("content-length", None)
        flow.response.stream = call.relay_stream
        fit_framing(flow)

    def _continue(self, call: Call):
        def responder_for(response: http.Response) -> None:
            exchange = call.exchange
            assert exchange and exchange.attempt
            headers = pairs(response.headers)
            exchange.first_byte = exchange.attempt.first_byte
            if exchange.plan:
                exchange.plan.answered(exchange.attempt, headers, response.status_code)
            call.responder = Responder(
                exchange, exchange.attempt, self.core.rules, response.status_code, headers, call.opening
            )
            call.opening = []

        return responder_for

    def _own_headers(self, call: Call) -> Headers:
        exchange = call.exchange
        assert exchange
        headers = [("x-detour-id", exchange.id)]
        if self.core.config.routing.expose_headers and (attempt := exchange.attempt):
            headers += [
                ("x-detour-attempts", str(len(exchange.attempts))),
                ("x-detour-provider", attempt.provider.name),
                ("x-detour-credential", attempt.credential_id or ""),
            ]
        return headers

    async def response(self, flow: http.HTTPFlow) -> None:
        if flow.response and flow.request.method == "HEAD":
            # RFC 9110 section 9.3.2: an answer of our own has no body either; its length is what GET would get.
            flow.response.data.content = b""
        call = calls.get(flow)
        if call is None or flow.response is None:
            return
        if call.whole and flow.response is not call.final:
            self._change_whole(call)
        if flow.websocket is None:
            await self.finish(
                call,
                Outcome("done", flow.response.status_code, pairs(flow.response.headers)),
            )

    def _change_whole(self, call: Call) -> None:
        flow = call.flow
        assert flow.response and call.responder
        body = flow.response.raw_content or b""
        changed = call.relay(body) + call.relay(b"") if body else call.relay(b"")
        flow.response.status_code = call.responder.status
        flow.response.headers = to_headers([*call.responder.headers, *self._own_headers(call)])
        set_body(flow.response, changed)

    async def error(self, flow: http.HTTPFlow) -> None:
        call = calls.get(flow)
        if call is None:
            return
        message = flow.error.msg if flow.error else "error"
        outcome = Outcome("body" if call.committed else "headers", error=message, cancelled=call.cancelled)
        await self.finish(call, outcome)

    async def websocket_end(self, flow: http.HTTPFlow) -> None:
        if call := calls.get(flow):
            await self.finish(call, Outcome("done", 101))

    async def finish(self, call: Call, outcome: Outcome) -> None:
        """Report and record; once, whatever happens."""
        exchange = call.exchange
        if call.finished or exchange is None:
            return
        call.finished = True
        call.disarm()
        if call.pending:
            call.pending.cancel()
        exchange.ended = time.monotonic()
        exchange.status = call.flow.response.status_code if call.flow.response else None
        if outcome.error:
            exchange.error = "client disconnected" if outcome.cancelled else outcome.error
        try:
            attempt = exchange.attempt
            if exchange.plan and attempt and attempt.outcome is None:
                failed(attempt, outcome, exchange.ended)
                await exchange.plan.report(attempt, outcome)
            if exchange.plan:
                exchange.plan.close()
        except Exception:
            logger.exception("the end of %s cannot be reported", exchange.id)
        fields = accesslog.summary(call)
        call.flow.metadata["detour"] = fields
        call.flow.comment = told(exchange)
        accesslog.log(fields)
        self.core.activity.finished(exchange)


def relayed(core: Core, call: Call, answer: Answer) -> http.Response:
    """An upstream's failed answer as the client gets it."""
    exchange = call.exchange
    assert exchange
    headers = pairs(answer.response.headers)
    responder = Responder(exchange, answer.attempt, core.rules, answer.response.status_code, headers)
    body = responder.feed(answer.body) + responder.close()
    response = http.Response.make(responder.status)
    response.headers = to_headers([*responder.headers, ("x-detour-id", exchange.id)])
    response.reason = answer.response.reason
    set_body(response, body)
    return response


def set_body(response: http.Response, body: bytes) -> None:
    """Give `response` the whole body `body`, as it is to be sent."""
    response.raw_content = body
    response.headers.pop("transfer-encoding", None)
    response.headers["content-length"] = str(len(body))


def fit_framing(flow: http.HTTPFlow) -> None:
    """A body whose length is not known ends with a chunk in HTTP/1.1, and needs nothing in HTTP/2."""
    response = flow.response
    assert response
    if flow.client_conn.alpn == b"h2":
        response.headers.pop("transfer-encoding", None)
    elif (
        "content-length" not in response.headers
        and "transfer-encoding" not in response.headers
        and flow.request.http_version != "HTTP/1.0"
        and flow.request.method != "HEAD"
        and response.status_code not in (204, 304)
    ):
        response.headers["transfer-encoding"] = "chunked"


def to_headers(pairs: Headers) -> http.Headers:
    return http.Headers(
        [(k.encode("utf-8", "surrogateescape"), v.encode("utf-8", "surrogateescape")) for k, v in pairs]
    )
