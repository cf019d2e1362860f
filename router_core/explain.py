"""Where a request would go, and how it would look there, without sending anything.

No secret is fetched: where one would stand, the credential is named. State of a running instance has no
part in it: every credential is taken to be ready.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal

from router_core import surfaces
from router_core.core import Core
from router_core.credentials.model import Credential
from router_core.errors import Refusal
from router_core.exchange import Attempt, ClientInfo, Exchange, Headers, Request, Surface
from router_core.formats import Format, Operation
from router_core.identity import new_id, tool_of
from router_core.prepare import Outgoing, prepare
from router_core.reading import header, too_large
from router_core.routing.passthrough import Passthrough
from router_core.routing.targets import Target

type Kind = Literal["surface", "passthrough", "disabled", "tunnel", "not_found"]
"""What the path is: routed; forwarded as it is; of a disabled provider; of a host that is none of ours; no
path of the gateway."""


@dataclass(frozen=True, slots=True)
class Step:
    """One attempt, in the order in which they would be made."""

    target: str
    """``provider/model``"""
    credential: str | None
    """None: the client's own."""
    reason: str
    sends: Outgoing | Refusal
    """What would be sent, with ``[secret of ID]`` in its place; or why the target cannot take the request."""


@dataclass(frozen=True, slots=True)
class Explanation:
    kind: Kind
    provider: str | None = None
    format: Format | None = None
    operation: Operation | None = None
    model: str | None = None
    stream: bool = False
    steps: list[Step] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    """(target, why it is passed over)"""
    refusal: Refusal | None = None
    """What Detour itself would answer."""


def explain(core: Core, host: str | None, request: Request) -> Explanation:
    """What becomes of `request` to the intercepted `host`, or to the gateway when None."""
    match = _match(core, host, request)
    if isinstance(match, surfaces.Disabled):
        return Explanation("disabled", match.provider.name)
    if isinstance(match, surfaces.Passthrough):
        return Explanation("passthrough", match.provider.name)
    if match is None:
        return Explanation("not_found" if host is None else "tunnel")
    exchange = _exchange(match, request)
    limit = core.config.limits.body
    refusal = core.read(exchange) if len(request.body) <= limit else too_large(limit)
    plan = core.router.plan(exchange)
    steps: list[Step] = []
    skipped: list[tuple[str, str]] = []
    if isinstance(plan, Refusal):
        refusal = refusal or plan
    elif isinstance(plan, Passthrough):
        # What cannot be read passes to its own host all the same.
        refusal = None
        steps = [_own(core, exchange)]
    elif refusal is None:
        steps = [_step(core, exchange, number, *choice) for number, choice in enumerate(plan.preview(), 1)]
        skipped = [(entry.name, entry.reason) for entry in plan.skipped]
    return Explanation(
        "surface",
        match.provider.name if match.provider else None,
        match.format,
        match.operation,
        exchange.model,
        exchange.stream,
        steps,
        skipped,
        refusal,
    )


def _match(core: Core, host: str | None, request: Request) -> surfaces.Match:
    if host is None:
        return surfaces.match_gateway(core.registry, request.method, request.path)
    return surfaces.match_host(core.registry, host.lower().rstrip("."), request.method, request.path)


def _exchange(surface: Surface, request: Request) -> Exchange:
    return Exchange(
        id=new_id(),
        surface=surface,
        client=ClientInfo("127.0.0.1", tool=tool_of(header(request.headers, "user-agent"))),
        request=request,
        websocket=header(request.headers, "upgrade").lower() == "websocket",
        created=time.time(),
        started=time.monotonic(),
    )


def _own(core: Core, exchange: Exchange) -> Step:
    surface = exchange.surface
    assert surface.provider and surface.endpoint
    reason = "no credential is configured: the client's own, to its own host"
    attempt = Attempt(1, surface.provider, surface.endpoint, exchange.model, None, reason=reason)
    return Step(_name(attempt), None, reason, prepare(exchange, attempt, core.rules))


def _step(
    core: Core, exchange: Exchange, number: int, target: Target, credential_id: str | None, reason: str
) -> Step:
    leaf = target.leaf
    credential = core.pool.credentials.get(credential_id) if credential_id else None
    attempt = Attempt(
        number=number,
        provider=leaf.provider,
        endpoint=target.endpoint.under(credential.config.base_url if credential else None),
        model=leaf.model,
        credential_id=credential_id,
        auth=_auth(target, credential),
        headers=dict(credential.config.headers) if credential else {},
        effort=leaf.effort,
        reason=reason,
    )
    return Step(_name(attempt), credential_id, reason, prepare(exchange, attempt, core.rules))


def _auth(target: Target, credential: Credential | None) -> Headers:
    if credential is None:
        return []
    provider = target.leaf.provider
    carriers = provider.auth if credential.config.api_key else provider.oauth
    return [(carrier.header, carrier.value(f"[secret of {credential.id}]")) for carrier in carriers]


def _name(attempt: Attempt) -> str:
    return f"{attempt.provider.name}/{attempt.model}" if attempt.model else attempt.provider.name


def told(exchange: Exchange) -> str:
    """What became of `exchange`, in words: each attempt with its reason and end, and why what was rewritten."""
    lines: list[str] = []
    for attempt in exchange.attempts:
        account = (
            f"with {attempt.credential_id}" if attempt.credential_id else "with the client's own credential"
        )
        lines.append(
            f"{attempt.number}. {_name(attempt)} {account}{_ended(attempt)}: {attempt.reason or 'chosen'}"
        )
    if exchange.attempt and exchange.attempt.rewriting is not None:
        context = exchange.attempt.rewriting
        lines += [f"{rule}: {context.reasons.get(rule, '')}" for rule in context.fired]
        # Fields that nobody asked for are not looked for at the end of each exchange.
        lines += [f"note: {note}" for note in context.said]
    return "\n".join(lines)


def _ended(attempt: Attempt) -> str:
    outcome = attempt.outcome
    if outcome is None:
        return ""
    said = outcome.error or (f"HTTP {outcome.status}" if outcome.status else "")
    return f", {said}" if said else ""
