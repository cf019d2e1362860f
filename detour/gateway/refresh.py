"""Keeps the providers' addresses in the rules while Detour serves: each host is asked for before its answer
runs out, and what it had before stays for the time of grace.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

from detour.gateway import nft
from detour.gateway.hosts import redirected
from detour.gateway.resolve import Answer, ResolveError, ask, make_resolver, without_address
from detour.gateway.ruleset import MAX_ADDRESSES, IPAddress, addition
from router_core.core import Core

logger = logging.getLogger(__name__)

SOONEST: Final = 10.0
LATEST: Final = 300.0
"""Seconds after which a host is asked for again, at the soonest and at the latest."""
EARLY: Final = 0.9
"""Share of an answer's time after which it is asked for again."""
LOOK: Final = 30.0
"""Seconds after which a change of the configuration is noticed, at the latest."""

type Ask = Callable[[Iterable[str], Sequence[int]], Awaitable[list[Answer]]]


class Refresher:
    """`run` until it is cancelled."""

    def __init__(
        self,
        core: Core,
        families: Sequence[int],
        ask: Ask,
        apply: Callable[[str], Awaitable[None]] = nft.apply_soon,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.core = core
        self.families = families
        self._ask = ask
        self._apply = apply
        self._clock = clock
        self._due: dict[str, float] = {}
        """Host to when it is to be asked for again."""
        self._failing: set[str] = set()
        """Hosts whose failure is in the log."""
        self._problem = ""
        """Why the rules cannot be changed, as the log has it."""

    async def run(self) -> None:
        while True:
            await self.refresh()
            await asyncio.sleep(self.pause())

    def pause(self) -> float:
        """Seconds until there is something to do."""
        return min(LOOK, max(1.0, min(self._due.values(), default=0.0) - self._clock()))

    async def refresh(self) -> None:
        """Ask for every host that is due, and put the answers into the rules."""
        hosts = redirected(self.core.config, self.core.registry)
        self._due = {host: self._due.get(host, 0.0) for host in hosts}
        wanted = [host for host in hosts if self._due[host] <= self._clock()]
        if not wanted:
            return
        answers = await self._ask(wanted, self.families)
        for answer in answers:
            self._due[answer.host] = self._clock() + min(LATEST, max(SOONEST, EARLY * answer.ttl))
        self._note(answers)
        if found := {address for answer in answers for address in answer.addresses}:
            await self._put(sorted(found, key=lambda address: (address.version, int(address))))

    async def _put(self, addresses: list[IPAddress]) -> None:
        problem = ""
        try:
            await self._apply(addition(addresses[:MAX_ADDRESSES]))
        except nft.NftError as error:
            problem = str(error)
        except OSError as error:
            problem = f"nft: {error.strerror}"
        if problem and problem != self._problem:
            logger.warning("the providers' addresses cannot be put into the rules: %s", problem)
        elif self._problem and not problem:
            logger.info("the providers' addresses are in the rules again")
        self._problem = problem

    def _note(self, answers: list[Answer]) -> None:
        """Log whose addresses cannot be had, when that begins and when it ends."""
        failing = [answer for answer in answers if not answer.addresses]
        for line in without_address(a for a in failing if a.host not in self._failing):
            logger.warning("no address of %s; what there was stays", line)
        back = {answer.host for answer in answers if answer.addresses} & self._failing
        if back:
            logger.info("there are addresses again of %s", ", ".join(sorted(back)))
        self._failing = (self._failing - back) | {answer.host for answer in failing}


def start(core: Core, families: Sequence[int]) -> asyncio.Task[None] | None:
    """Begin to refresh, in a task to be cancelled; None, with a warning, where it cannot be done."""
    try:
        resolver = make_resolver()
        nft.program()
        if not nft.may_change():
            raise nft.NftError(
                "filling the rules needs CAP_NET_ADMIN; grant it, or leave it to dnsmasq (transparent.addresses)"
            )
    except (ResolveError, nft.NftError) as error:
        logger.warning("the providers' addresses are not kept in the rules: %s", error)
        return None

    async def asking(hosts: Iterable[str], families: Sequence[int]) -> list[Answer]:
        return await ask(resolver, hosts, families)

    task = asyncio.create_task(Refresher(core, families, asking).run(), name="addresses of providers")
    task.add_done_callback(_report)
    return task


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        logger.error("the providers' addresses are no longer kept up to date", exc_info=error)
