"""From a request to an upstream: surface, exchange, plan, attempts.

Every hook that decides where a request goes catches what is unexpected and answers `internal`: mitmproxy
logs an exception in a hook and then sends the unmodified request on, with the client's own credential.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from functools import lru_cache, wraps
from typing import Literal
from urllib.parse import urlsplit
from weakref import ref

from mitmproxy import connection, http

from addons.access import Access, gateway_key
from addons.answers import cannot_count, estimated_count, refusal_response, unreachable
from addons.call import Call, calls, failed
from addons.failover.addon import Failover
from addons.gateway import client_format, is_gateway
from addons.headers import pairs
from addons.relay import relayed, to_headers
from addons.upstream import outbound_proxy
from router_core import surfaces
from router_core.core import Core
from router_core.errors import Code, Refusal
from router_core.exchange import Attempt, ClientInfo, Exchange, Outcome, Request, Surface
from router_core.formats import Format, Operation
from router_core.identity import new_id, tool_of
from router_core.prepare import Outgoing, prepare
from router_core.providers.model import Provider
from router_core.reading import too_large
from router_core.routing.passthrough import Passthrough

logger = logging.getLogger(__name__)

REASSURE = 5.0
"""Seconds after which the client of a stream is told that it is still being waited for a credential."""

BUG = Refusal(Code.INTERNAL, "Detour failed on this request and did not send it; the log has the details.")


def fail_closed(hook):
    """Whatever goes wrong in `hook`, the client is answered `internal` and nothing goes upstream."""

    def refuse(flow: http.HTTPFlow) -> None:
        logger.exception("%s failed", hook.__name__)
        call = calls.get(flow)
        flow.response = refusal_response(call.surface.format if call else Format.OPENAI_CHAT, BUG)
        if call:
            call.final = flow.response

    @wraps(hook)
    def guarded(self: Route, flow: http.HTTPFlow) -> None:
        try:
            hook(self, flow)
        except Exception:
            refuse(flow)

    @wraps(hook)
    async def guarded_async(self: Route, flow: http.HTTPFlow) -> None:
        try:
            await hook(self, flow)
        except Exception:
            refuse(flow)

    return guarded_async if inspect.iscoroutinefunction(hook) else guarded


class Route:
    def __init__(self, core: Core, access: Access, failover: Failover) -> None:
        self.core = core
        self.access = access
        self.failover = failover

    # -- the request ----------------------------------------------------------------------------------

    @fail_closed
    def requestheaders(self, flow: http.HTTPFlow) -> None:
        if flow.response or flow.error or not flow.live:
            return
        if is_gateway(flow):
            found = surfaces.match_gateway(self.core.registry, flow.request.method, flow.request.path)
        else:
            found = self._match_host(flow)
        call = self._call_for(flow, found)
        if call is None:
            flow.request.stream = True  # not for us: nothing is kept, nothing is looked at
            return
        # A streamed request would leave before `request` has given it its destination and credential.
        flow.request.stream = False
        calls[flow] = call
        self.failover.watch(call)
        length = flow.request.headers.get("content-length", "")
        if call.refusal is None and length.isdigit() and int(length) > self.core.config.limits.body:
            call.refusal = too_large(self.core.config.limits.body)
        if call.refusal is None and is_gateway(flow):
            call.refusal = self._refused_key(flow)

    def _match_host(self, flow: http.HTTPFlow) -> surfaces.Match | None:
        host = provider_host(flow)
        if is_misdirected(flow, host):
            return None  # on to where it was going, with what it carries itself
        return surfaces.match_host(self.core.registry, host, flow.request.method, flow.request.path)

    def _call_for(self, flow: http.HTTPFlow, found: surfaces.Match) -> Call | None:
        config = self.core.config
        match found:
            case Surface():
                return Call(ref(flow), found, config)
            case surfaces.Disabled(provider, via, format):
                refusal = Refusal(
                    Code.PROVIDER_DISABLED, f"The provider {provider.name} is disabled in the configuration."
                )
                return Call(ref(flow), other(provider, via, format=format), config, refusal=refusal)
            case surfaces.Passthrough(provider, "gateway", url):
                return Call(ref(flow), other(provider, "gateway", url), config)
            case None if is_gateway(flow):
                refusal = Refusal(
                    Code.NOT_FOUND,
                    f"The gateway has no {flow.request.method} {flow.request.path.partition('?')[0]}.",
                )
                format = client_format(flow.request)
                return Call(ref(flow), other(None, "gateway", format=format), config, refusal=refusal)
            case _:
                return None

    def _refused_key(self, flow: http.HTTPFlow) -> Refusal | None:
        if not self.core.access_keys:
            return None
        answer = self.access.admit(flow.client_conn, gateway_key(flow.request))
        return answer if isinstance(answer, Refusal) else None

    @fail_closed
    async def request(self, flow: http.HTTPFlow) -> None:
        call = calls.get(flow)
        if call is None or flow.response or flow.error:
            return
        if call.refusal is None:
            await self._begin(call)
        if call.refusal:
            self._answer(call, call.refusal)

    async def _begin(self, call: Call) -> None:
        exchange = self._exchange(call)
        unreadable = self.core.read(exchange)
        plan = self.core.router.plan(exchange)
        if unreadable and not isinstance(plan, Passthrough):
            call.refusal = unreadable
        elif isinstance(plan, Refusal):
            if plan.code is Code.UNSUPPORTED and exchange.surface.operation is Operation.COUNT_TOKENS:
                # The model is served, only not by an upstream that counts.
                call.final = call.flow.response = estimated_count(exchange)
            else:
                call.refusal = plan
        else:
            # What cannot be read and goes to the client's own host is between the two.
            exchange.plan = plan
            await self._first_attempt(call)

    async def _first_attempt(self, call: Call) -> None:
        taken = await self._take_attempt(call)
        while call.pending and not self.failover.installed:
            taken = await self._take_attempt(call)
        if not taken and not call.pending and not call.refusal:
            call.refusal = Refusal(Code.NO_CREDENTIAL, "No credential is left that could serve this request.")

    def _exchange(self, call: Call) -> Exchange:
        """The exchange of `call`, whose request is now all here."""
        flow = call.flow
        headers = pairs(flow.request.headers)
        call.exchange = Exchange(
            id=new_id(),
            surface=call.surface,
            client=ClientInfo(
                address=flow.client_conn.peername[0],
                name=self._client_name(flow),
                tool=tool_of(flow.request.headers.get("user-agent", "")),
            ),
            request=Request(flow.request.method, flow.request.path, headers, flow.request.raw_content or b""),
            websocket=flow.request.headers.get("upgrade", "").lower() == "websocket",
            created=time.time(),
            started=time.monotonic(),
        )
        self.core.activity.started(call.exchange)
        return call.exchange

    def _client_name(self, flow: http.HTTPFlow) -> str | None:
        if is_gateway(flow):
            key = self.access.key_name(gateway_key(flow.request)) if self.core.access_keys else None
            return key or self.access.network_name(flow.client_conn)
        return self.access.client_name(flow)

    # -- attempts -------------------------------------------------------------------------------------

    async def upstream_attempt(self, call: Call) -> None:
        """The failover's hook: report the attempt that failed, and prepare the next one."""
        try:
            retry = call.outcome is None or await self._report(call, call.outcome)
            if retry and await self._take_attempt(call):
                return
            if not call.pending:
                call.final = self._best_answer(call)
        except Exception:
            logger.exception("choosing the next attempt failed")
            call.final = refusal_response(call.surface.format, BUG)

    async def _report(self, call: Call, outcome: Outcome) -> bool:
        exchange = call.exchange
        assert exchange and exchange.plan and exchange.attempt
        attempt, call.outcome = exchange.attempt, None
        failed(attempt, outcome, time.monotonic())
        verdict = await exchange.plan.report(attempt, outcome)
        logger.info(
            "%s attempt %d on %s [%s] failed: %s",
            exchange.id,
            attempt.number,
            attempt.provider.name,
            attempt.credential_id or "client's own",
            verdict.reason,
        )
        return verdict.retry

    async def _take_attempt(self, call: Call) -> bool:
        """Take the plan's next attempt and make it `flow.request`.

        False if there is none, or, with `call.pending`, if it is not known yet after `REASSURE` seconds.
        """
        exchange = call.exchange
        assert exchange and exchange.plan
        while True:
            call.pending = call.pending or asyncio.create_task(exchange.plan.next())
            if not call.pending.done():
                await asyncio.wait([call.pending], timeout=REASSURE)
                if not call.pending.done():
                    return False
            taken, call.pending = call.pending.result(), None
            if not isinstance(taken, Attempt):
                call.refusal = taken
                return False
            outgoing = prepare(exchange, taken, self.core.rules)
            if isinstance(outgoing, Refusal):
                call.refusal = outgoing
                exchange.plan.pass_over(taken, outgoing)
                continue
            call.refusal = None
            taken.started = time.monotonic()
            exchange.attempts.append(taken)
            exchange.fired[:] = outgoing.fired
            call.outgoing = outgoing
            self._apply(call.flow, taken, outgoing)
            return True

    def _apply(self, flow: http.HTTPFlow, attempt: Attempt, outgoing: Outgoing) -> None:
        """Destination and credential change together, or not at all."""
        scheme, host, port, authority = _destination(outgoing.url)
        request = flow.request
        headers = to_headers(outgoing.headers)
        if request.is_http2 or request.is_http3:
            request.data.authority = authority.encode("idna" if not authority.isascii() else "ascii")
        else:
            request.data.authority = b""
            headers.insert(0, "Host", authority)
        request.data.headers = headers
        request.data.method = outgoing.method.encode()
        request.data.scheme = scheme.encode()
        request.data.host, request.data.port = host, port
        request.data.path = outgoing.target.encode()
        request.data.content = outgoing.body
        if (via := outbound_proxy(attempt.proxy)) != flow.server_conn.via:
            flow.server_conn = connection.Server(address=(host, port))
            flow.server_conn.via = via

    def _best_answer(self, call: Call) -> http.Response:
        exchange = call.exchange
        assert exchange and exchange.plan
        best = exchange.plan.best_answer([a.attempt for a in call.answers])
        for answer in call.answers:
            if answer.attempt is best:
                if cannot_count(exchange, answer):
                    return estimated_count(exchange)
                return relayed(self.core, call, answer)
        refusal = call.refusal or unreachable(exchange)
        return refusal_response(exchange.surface.format, refusal, exchange.id)

    def _answer(self, call: Call, refusal: Refusal) -> None:
        exchange_id = call.exchange.id if call.exchange else None
        call.final = call.flow.response = refusal_response(call.surface.format, refusal, exchange_id)


@lru_cache(1024)
def _destination(url: str) -> tuple[str, str, int, str]:
    """Scheme, host, port and authority of `url`."""
    parts = urlsplit(url)
    assert parts.hostname
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return parts.scheme, parts.hostname, port, parts.netloc.rpartition("@")[2]


def provider_host(flow: http.HTTPFlow) -> str:
    """The host that the client means, from what it cannot fake without talking to somebody else."""
    return (flow.client_conn.sni or flow.request.host).lower().rstrip(".")


def is_misdirected(flow: http.HTTPFlow, host: str) -> bool:
    """Whether the request names another host than its TLS connection was opened for (RFC 9110 7.4)."""
    if flow.client_conn.sni is None or not (named := flow.request.host_header):
        return False
    try:
        return (urlsplit(f"//{named}").hostname or "").rstrip(".") != host
    except ValueError:
        return True


def other(
    provider: Provider | None,
    via: Literal["proxy", "gateway"],
    url: str | None = None,
    format: Format | None = None,
) -> Surface:
    """The surface of a path that is not interpreted."""
    endpoint = provider.endpoints[0] if provider else None
    if format is None:
        format = endpoint.format if endpoint else Format.OPENAI_CHAT
    return Surface(format, Operation.PASSTHROUGH, provider, endpoint, True, via, url=url)
