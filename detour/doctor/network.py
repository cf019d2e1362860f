"""Are the providers reachable from here, through the configured proxy, and is this machine's clock right?"""

from __future__ import annotations

import asyncio
import email.utils
import time
from dataclasses import dataclass
from typing import Final

import httpx

from detour.doctor.finding import Finding, bad, note, ok
from detour.upstream import client
from router_core.config.loader import Loaded
from router_core.config.values import is_loopback

TIMEOUT: Final = 5.0
"""Seconds for each provider."""
SKEW: Final = 120.0
"""Seconds by which the clock may be wrong. Certificates and tokens tolerate a little more."""


@dataclass(frozen=True, slots=True)
class Answer:
    url: str
    milliseconds: float | None = None
    skew: float | None = None
    """Seconds that this machine's clock is ahead."""
    error: str = ""


async def providers(loaded: Loaded, used: set[str]) -> list[Finding]:
    """One finding for each enabled provider, and one for the clock. No credential is sent.

    One that cannot be reached is bad only for those that are `used`.
    """
    wanted = {p.name: p.base_url for p in loaded.registry.providers.values() if p.enabled}
    origins = sorted({str(httpx.URL(url).copy_with(raw_path=b"/")) for url in wanted.values()})
    proxy = loaded.config.upstream.proxy
    try:
        async with client(loaded.config, timeout=TIMEOUT) as http:
            answers = dict(
                zip(origins, await asyncio.gather(*(ask(http, url) for url in origins)), strict=True)
            )
    except (ValueError, OSError) as error:
        return [
            bad(
                "upstream",
                f"the proxy or the CA bundle cannot be used: {error}",
                "mend upstream: in the configuration",
            )
        ]
    found = []
    for name, url in sorted(wanted.items()):
        answer = answers[str(httpx.URL(url).copy_with(raw_path=b"/"))]
        host = httpx.URL(url).host
        if answer.milliseconds is not None:
            found.append(ok(name, f"{host} answers after {answer.milliseconds:.0f} ms"))
        elif name not in used or is_loopback(host):
            found.append(note(name, f"{host} cannot be reached: {answer.error}"))
        else:
            through = f" through the proxy {httpx.URL(proxy).host}" if proxy else ""
            found.append(
                bad(
                    name,
                    f"{host} cannot be reached{through}: {answer.error}",
                    "look at network and upstream.proxy",
                )
            )
    return [*found, clock(list(answers.values()))]


def clock(answers: list[Answer]) -> Finding:
    """Whether this machine's clock agrees with the providers' (their median, in case one is wrong itself)."""
    skews = sorted(answer.skew for answer in answers if answer.skew is not None)
    if not skews:
        return note("clock", "nobody could be asked for the time")
    skew = skews[len(skews) // 2]
    if abs(skew) <= SKEW:
        return ok("clock", "agrees with the providers'")
    way = "ahead of" if skew > 0 else "behind"
    return bad(
        "clock", f"{abs(skew):.0f} s {way} the providers'", "set it, or switch on time synchronisation (NTP)"
    )


async def ask(http: httpx.AsyncClient, url: str) -> Answer:
    """Any answer at all means reachable; the path does not matter."""
    began = time.perf_counter()
    try:
        response = await http.head(url)
    except httpx.HTTPError as error:
        return Answer(url, error=str(error) or type(error).__name__)
    now = time.time()
    said = email.utils.parsedate_to_datetime(response.headers["date"]) if "date" in response.headers else None
    return Answer(url, (time.perf_counter() - began) * 1000, now - said.timestamp() if said else None)
