"""Does a provider accept a credential? Its list of models is asked for, which costs nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import httpx

from detour.upstream import client
from router_core.config.loader import Loaded
from router_core.credentials.model import Credential, CredentialError
from router_core.credentials.pool import Pool
from router_core.formats import Operation
from router_core.paths import paths
from router_core.providers.model import Provider

TIMEOUT: Final = 15.0
"""Seconds for each credential, with the refresh of its token."""
KEY_PATHS: Final = {
    # Its list of models is public. https://openrouter.ai/docs/api-reference/get-current-key
    "openrouter": "/key",
}
"""Below the base URL, where the list of models would not do."""
REFUSED: Final = frozenset({401, 402, 403})


@dataclass(frozen=True, slots=True)
class Result:
    id: str
    provider: str
    result: Literal["ok", "failed", "untried"]
    what: str
    status: int | None = None
    milliseconds: int | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


async def probe_all(loaded: Loaded, ids: Iterable[str] | None = None) -> list[Result]:
    """Try the credentials of those `ids`, or all active ones, at the same time."""
    pool = Pool(loaded.config, loaded.registry, folder=paths(loaded.config).credentials)
    wanted = set(ids) if ids else {c.id for c in pool.credentials.values() if c.active}
    await pool.start()
    try:
        chosen = [c for c in pool.credentials.values() if c.id in wanted]
        return list(await asyncio.gather(*(probe(loaded, c) for c in chosen)))
    finally:
        await pool.close()


async def probe(loaded: Loaded, credential: Credential) -> Result:
    def result(kind: Literal["ok", "failed", "untried"], what: str, *figures: int) -> Result:
        return Result(credential.id, credential.provider, kind, what, *figures)

    if credential.inactive:
        return result("failed", credential.inactive)
    provider = loaded.registry.providers[credential.provider]
    url = _url(provider, credential)
    if url is None:
        return result("untried", "the provider lists no models, so only a real request would tell")
    began = time.perf_counter()
    try:
        async with asyncio.timeout(TIMEOUT), client(loaded.config, credential.config.proxy) as http:
            answer = await http.get(url, headers=await _headers(provider, credential))
    except CredentialError as error:
        return result("failed", str(error))
    except TimeoutError:
        return result("failed", f"no answer within {TIMEOUT:g} s")
    except httpx.HTTPError as error:
        return result("failed", f"{httpx.URL(url).host} cannot be reached: {error or type(error).__name__}")
    figures = answer.status_code, round((time.perf_counter() - began) * 1000)
    if answer.is_success:
        return result("ok", f"accepted after {figures[1]} ms", *figures)
    if answer.status_code in REFUSED:
        return result("failed", f"refused with {answer.status_code}", *figures)
    if answer.status_code == 429:
        return result("ok", "accepted, though its limit is reached at present (429)", *figures)
    return result("untried", f"the answer {answer.status_code} says nothing about the credential", *figures)


def _url(provider: Provider, credential: Credential) -> str | None:
    for endpoint in provider.endpoints:
        if Operation.LIST_MODELS in endpoint.operations:
            base = endpoint.under(credential.config.base_url).base_url
            return base + (KEY_PATHS.get(provider.name) or endpoint.routes(Operation.LIST_MODELS)[0][1])
    return None


async def _headers(provider: Provider, credential: Credential) -> list[tuple[str, str]]:
    token = await credential.source.token()
    carriers = provider.oauth if token.oauth else provider.auth
    headers = {**provider.headers, **credential.config.headers, **dict(token.headers)}
    return [*headers.items(), *((carrier.header, carrier.value(token.secret)) for carrier in carriers)]
