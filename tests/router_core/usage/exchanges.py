"""Exchanges as the proxy leaves them, for the ledger to take down."""

from __future__ import annotations

import itertools
from typing import Any

from router_core.exchange import Attempt, ClientInfo, Exchange, Outcome, Request, Surface, Usage
from router_core.formats import Format, Operation
from router_core.providers.model import AuthHeader, Endpoint, Provider

NOON = 1_789_992_000.0
"""2026-09-21 12:00 UTC."""

_numbers = itertools.count(1)


def provider(name: str = "anthropic", format: Format = Format.ANTHROPIC) -> Provider:
    auth = (AuthHeader("x-api-key"),)
    endpoint = Endpoint(format, f"https://api.{name}.example", "", (Operation.GENERATE,))
    return Provider(name, name.title(), (f"api.{name}.example",), (endpoint,), auth, auth)


def attempt(
    number: int = 1,
    *,
    name: str = "anthropic",
    model: str = "claude-sonnet-4-5-20250929",
    credential: str | None = "work",
    **outcome: Any,
) -> Attempt:
    found = provider(name)
    outcome = outcome or {"phase": "done", "status": 200}
    return Attempt(
        number,
        found,
        found.endpoints[0],
        model,
        credential,
        started=100.0,
        ended=101.0,
        outcome=Outcome(**outcome),
    )


def exchange(*attempts: Attempt, usage: Usage | None = None, **values: Any) -> Exchange:
    tried = list(attempts) or [attempt()]
    endpoint = tried[0].endpoint
    surface = Surface(endpoint.format, Operation.GENERATE, tried[0].provider, endpoint, True, "proxy")
    request = Request("POST", "/v1/messages", values.pop("headers", []), b"{}")
    found = Exchange(
        id=values.pop("id", f"x{next(_numbers):06}"),
        surface=surface,
        client=ClientInfo("127.0.0.1", values.pop("client", None), values.pop("tool", None)),
        request=request,
        model=values.pop("model", tried[-1].model),
        attempts=tried,
        usage=usage or Usage(input=1000, output=200),
        created=values.pop("created", NOON),
        started=100.0,
        first_byte=100.25,
        ended=102.25,
        status=200,
        stream=True,
    )
    for name, value in values.items():
        setattr(found, name, value)
    return found
