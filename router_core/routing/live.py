"""The live routing state of one configuration, and how it moves to the next one.

Everything here is memory. The store hears of each change and hands back, when it starts, what a file or
other processes know (see `router_core.routing.copies`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from typing import Protocol

from router_core.config.schema import Breaker, Config
from router_core.credentials.model import Credential
from router_core.credentials.pool import Pool
from router_core.providers.registry import Registry
from router_core.routing.affinity import Affinity, Binding
from router_core.routing.allowances import Allowances, Seen
from router_core.routing.breaker import Breakers, Circuit, Opening
from router_core.routing.cooldown import Cooldown, CredentialState, Key, Over
from router_core.routing.failure_table import Row
from router_core.routing.failures import parse_row
from router_core.routing.health import Health
from router_core.routing.names import Names
from router_core.routing.records import (
    Record,
    binding_change,
    circuit_change,
    cooldown_change,
    count_record,
    switch_change,
    windows_change,
)
from router_core.routing.rotation import Rotation
from router_core.routing.scheduler import Scheduler
from router_core.routing.status import log_change
from router_core.routing.windows import Count
from router_core.state.store import Change, Store
from router_core.usage.budgets import Allowed, Decision, PassOver, Refuse

logger = logging.getLogger(__name__)


class Budgets(Protocol):
    """See `router_core.usage.budgets`."""

    def check(self, client: str | None, credential: str | None, model: str | None) -> Decision:
        """Whether the target may be used."""


class Live:
    config: Config
    registry: Registry
    pool: Pool
    rows: list[Row]
    """The user's rows of the failure table."""
    names: Names
    breakers: Breakers

    def __init__(
        self,
        config: Config,
        registry: Registry,
        pool: Pool,
        store: Store,
        clock: Callable[[], float],
        wall: Callable[[], float],
        random: Callable[[], float],
    ):
        self.clock, self.wall, self.random = clock, wall, random
        self.store = store
        self.budgets: Callable[[], Budgets | None] = lambda: None
        """The budgets in force, asked for each choice."""
        self.credentials: dict[str, CredentialState] = {}
        """The active ones, by id."""
        self.schedulers: dict[str, Scheduler] = {}
        """By provider; providers without an active credential have none."""
        self.rotation = Rotation()
        self.affinity = Affinity(config.routing.affinity_ttl, clock, self._binding_changed)
        self.allowances = Allowances(
            lambda: self.wall(), lambda id: self.credentials.get(id), self._windows_seen, self._count_changed
        )
        self.switches: dict[str, Record] = {}
        """What was decided by hand about credentials, by id: ``off`` and ``at``."""
        self._pausing: set[asyncio.Future[None]] = set()
        self.apply(config, registry, pool)

    def over_budget(
        self, client: str | None, credential: str | None, model: str | None
    ) -> PassOver | Refuse | None:
        """What keeps a target from being used, if a budget does; of those that only warn, the log hears."""
        budgets = self.budgets()
        decision = budgets.check(client, credential, model) if budgets is not None else None
        if isinstance(decision, Allowed):
            for warning in decision.warnings:
                logger.warning("%s", warning)
            return None
        return decision

    def apply(self, config: Config, registry: Registry, pool: Pool) -> None:
        """Puts a configuration in force. Raises ValueError, and changes nothing, if it cannot.

        State goes on for a credential that was active before and is the same one now; one that left and
        comes back starts anew.
        """
        rows = [parse_row(entry) for entry in config.routing.failures]
        self.switches = {name: v for name, v in self.switches.items() if name in pool.credentials}
        active = [c for c in pool.credentials.values() if c.active and not self.is_off(c.id)]
        names = Names(config, registry.providers, active)
        self.config, self.registry, self.pool, self.rows, self.names = config, registry, pool, rows, names
        self._seat(active)
        breakers = Breakers(
            config.routing.breaker,
            self.clock,
            _own_breakers(registry, active),
            wall=lambda: self.wall(),
            changed=self._circuit_changed,
        )
        known = getattr(self, "breakers", None)
        if known is None or (known.settings, known.own) != (breakers.settings, breakers.own):
            self.breakers = breakers
        if config.routing.affinity_ttl != self.affinity.ttl:
            old, self.affinity = (
                self.affinity,
                Affinity(config.routing.affinity_ttl, self.clock, self._binding_changed),
            )
            for key, binding in old.items():
                self.affinity.adopt(key, binding)
        self.affinity.keep(set(self.credentials))
        limits = {f"credential:{c.id}": c.config.limits for c in active}
        limits |= {f"client:{k.name}": k.limits for k in config.access.keys}
        self.allowances.apply(limits, config.routing.reserve)
        for state in self.credentials.values():
            self.allowances.check(state)
        self.wake()

    def _seat(self, active: list[Credential]) -> None:
        before, self.credentials = self.credentials, {}
        by_provider: dict[str, list[CredentialState]] = {}
        for credential in active:
            fingerprint = credential.source.fingerprint()
            state = before.get(credential.id)
            if state is None or not state.is_still(credential, fingerprint):
                state = CredentialState(credential, fingerprint)
            state.credential = credential
            self.credentials[credential.id] = state
            by_provider.setdefault(credential.provider, []).append(state)
        for credential_id, state in before.items():
            if self.credentials.get(credential_id) is not state:
                state.index = -1
                self.allowances.leave(credential_id)
                self.store.changed(Change("drop", credential_id))
        self.schedulers = {
            name: Scheduler(
                states,
                self.config.routing.strategy,
                self._health(),
                self._turn_taken,
                self.schedulers.get(name),
            )
            for name, states in by_provider.items()
        }

    def _health(self) -> Health:
        return Health(
            self.config.routing,
            clock=self.clock,
            wall=self.wall,
            random=self.random,
            changed=self._cooldown_changed,
        )

    def secret_changed(self, credential_id: str) -> None:
        """A credential's secret was replaced, its token renewed, or it has become usable or unusable."""
        credential = self.pool.credentials.get(credential_id)
        state = self.credentials.get(credential_id)
        if credential is None:
            return
        if (
            state is None
            or not credential.active
            or not state.is_still(credential, credential.source.fingerprint())
        ):
            self.apply(self.config, self.registry, self.pool)
        else:
            state.credential = credential
            state.scheduler.health.authorised(state)
            self.wake()

    # -- decided by hand

    def is_off(self, credential_id: str) -> bool:
        """Whether somebody took the credential out of use."""
        switch = self.switches.get(credential_id)
        return switch is not None and switch["off"]

    def switch(self, credential_id: str, off: bool) -> None:
        """Takes a credential out of use until it is switched back, also over restarts."""
        self.switches[credential_id] = {"off": off, "at": self.wall()}
        self.apply(self.config, self.registry, self.pool)
        self.store.changed(switch_change(credential_id, self.switches[credential_id]))

    def adopt_switch(self, credential_id: str, switch: Record) -> None:
        """What was decided in another process; what was decided last holds."""
        known = self.switches.get(credential_id, {"at": 0.0})
        if credential_id in self.pool.credentials and switch["at"] > known["at"]:
            self.switches[credential_id] = switch
            self.apply(self.config, self.registry, self.pool)

    # -- waiting

    def wake(self) -> None:
        """Plans that pause look again."""
        pausing, self._pausing = self._pausing, set()
        for future in pausing:
            if not future.done():
                future.set_result(None)

    async def pause(self, seconds: float) -> None:
        """Returns after `seconds`, or sooner when something may have become ready."""
        future = asyncio.get_running_loop().create_future()
        self._pausing.add(future)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await future
        finally:
            self._pausing.discard(future)

    # -- news for the store

    def _cooldown_changed(self, state: CredentialState, key: Key, news: Cooldown | Over) -> None:
        log_change(state, key, None if isinstance(news, Over) else news, self.wall())
        self.store.changed(cooldown_change(state, key, news))
        if isinstance(news, Over):
            self.wake()

    def _circuit_changed(self, circuit: Circuit, news: Opening | Over) -> None:
        self.store.changed(circuit_change(circuit, news))

    def _turn_taken(self, provider: str, model: Key, priority: int, credential_id: str) -> None:
        if self.store.shared:
            self.store.changed(Change("turn", provider, [credential_id], [model, priority]))

    def _binding_changed(self, key: str, binding: Binding) -> None:
        self.store.changed(binding_change(key, binding))

    def _windows_seen(self, credential_id: str, seen: Seen) -> None:
        self.store.changed(windows_change(credential_id, seen))

    def _count_changed(self, owner: str, key: str, count: Count, tokens: int, requests: int) -> None:
        record: Record = {**count_record(count), "add": [tokens, requests]}
        self.store.changed(Change("count", owner, record, key))


def _own_breakers(registry: Registry, active: Iterable[Credential]) -> dict[str, Breaker]:
    """The circuit breakers of providers that have one, by the base URLs that requests to them go to."""
    found: dict[str, Breaker] = {}
    for credential in active:
        provider = registry.providers.get(credential.provider)
        if provider is not None and provider.breaker is not None:
            urls = (e.under(credential.config.base_url).base_url for e in provider.endpoints)
            found |= dict.fromkeys(urls, provider.breaker)
    return found
