"""The live routing state of one configuration, and how it moves to the next one.

Everything here is memory. The store hears of each change and hands back, when it starts, what a file or
other processes know.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from router_core.config.schema import Breaker, Config
from router_core.credentials.model import Credential
from router_core.credentials.pool import Pool
from router_core.exchange import Headers
from router_core.providers.registry import Registry
from router_core.routing.affinity import Affinity, Binding
from router_core.routing.breaker import Breakers
from router_core.routing.cooldown import Cooldown, CredentialState, Key, Limit, key_of
from router_core.routing.failure_table import Row
from router_core.routing.failures import parse_row
from router_core.routing.health import Health
from router_core.routing.names import Names
from router_core.routing.records import (
    binding_of,
    binding_record,
    cooldown_change,
    cooldown_of,
    count_of,
    count_record,
    switch_change,
    switch_of,
    window_of,
    windows_change,
)
from router_core.routing.rotation import Rotation
from router_core.routing.scheduler import Scheduler
from router_core.routing.status import log_change
from router_core.routing.windows import Count, Quotas, Window, laid_over, read_windows
from router_core.state.store import Change, Store


class Budgets(Protocol):
    """See `router_core.usage.budgets`."""

    def check(self, client: str | None, credential: str | None, model: str | None) -> Any:
        """A decision with ``warnings`` where the target may be used, else with ``reason`` and ``until``."""


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
        self.quotas = Quotas({}, wall)
        self._switches: dict[str, dict[str, Any]] = {}
        """What was decided by hand about credentials, by id: ``off`` and ``at``."""
        self._windows: dict[str, dict[str, Window]] = {}
        self._pausing: set[asyncio.Future[None]] = set()
        self.apply(config, registry, pool)

    def apply(self, config: Config, registry: Registry, pool: Pool) -> None:
        """Puts a configuration in force. Raises ValueError, and changes nothing, if it cannot.

        State goes on for a credential that was active before and is the same one now; one that left and
        comes back starts anew.
        """
        rows = [parse_row(entry) for entry in config.routing.failures]
        self._switches = {name: v for name, v in self._switches.items() if name in pool.credentials}
        active = [c for c in pool.credentials.values() if c.active and not self.is_off(c.id)]
        names = Names(config, registry.providers, active)
        self.config, self.registry, self.pool, self.rows, self.names = config, registry, pool, rows, names
        self._seat(active)
        breakers = Breakers(config.routing.breaker, self.clock, _own_breakers(registry, active))
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
        self.quotas = Quotas(limits, self.wall, self._count_changed, self.quotas)
        for state in self.credentials.values():
            self._check_quota(state)
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
                self._windows.pop(credential_id, None)
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
        switch = self._switches.get(credential_id)
        return switch is not None and switch["off"]

    def switch(self, credential_id: str, off: bool) -> None:
        """Takes a credential out of use until it is switched back, also over restarts."""
        self._switches[credential_id] = {"off": off, "at": self.wall()}
        self.apply(self.config, self.registry, self.pool)
        self.store.changed(switch_change(credential_id, self._switches[credential_id]))

    # -- quotas

    def observe(self, state: CredentialState, headers: Headers, model: Key, *, free: bool) -> None:
        """An answer's headers, for what they reveal of the quota.

        `free` operations have limits of their own, which say nothing about the model's generation.
        """
        windows = read_windows(headers, self.wall())
        own = [w.of(key_of(model)) for w in windows if not w.shared and not free]
        self.adopt_windows(state, [*(w for w in windows if w.shared), *own])

    def adopt_windows(self, state: CredentialState, windows: Iterable[Window]) -> None:
        found = list(windows)
        if not found or state.index < 0:
            return
        known = laid_over(self._windows.get(state.credential.id, {}), found, self.wall())
        self._windows[state.credential.id] = known
        self.store.changed(windows_change(state.credential.id, known))
        self._check_quota(state)

    def charge(self, owner: str, *, tokens: int = 0, requests: int = 0) -> None:
        """``credential:ID`` or ``client:NAME`` has used that much."""
        if owner in self.quotas.limits and (tokens or requests):
            self.quotas.charge(owner, tokens=tokens, requests=requests)
            self._check_quota(self.credentials.get(owner.removeprefix("credential:")))

    def _check_quota(self, state: CredentialState | None) -> None:
        """Closes a credential whose allowance is used, but for the reserve, until it begins anew."""
        if state is None:
            return
        reserve, now = self.config.routing.reserve, self.wall()
        closed = self.quotas.closed(f"credential:{state.credential.id}", reserve)
        spent: dict[str, Limit] = {}
        for window in self._windows.get(state.credential.id, {}).values():
            if window.reset is None or not window.closed(reserve, now):
                continue
            words = f"{min(window.used, 9.99):.0%} of the {window.name} window are used"
            if window.model is not None:
                known = spent.get(window.model)
                if known is None or window.reset > known.until:
                    before = state.spent.get(window.model)
                    spent[window.model] = Limit(window.reset, words, before.since if before else now)
            elif window.shared and (closed is None or window.reset > closed[0]):
                closed = (window.reset, words)
        health = state.scheduler.health
        if closed is None:
            health.replenish(state)
        else:
            health.exhaust(state, *closed)
        for model in {*state.spent, *spent}:
            health.spend(state, model, spent.get(model))

    def windows(self, credential_id: str) -> list[Window]:
        """Quota windows of a credential: what the provider reveals, then the user's own limits."""
        now = self.wall()
        seen = [w for w in self._windows.get(credential_id, {}).values() if w.reset is None or w.reset > now]
        return [*seen, *self.quotas.windows(f"credential:{credential_id}")]

    def forget_windows(self, credential_id: str) -> None:
        self._windows.pop(credential_id, None)
        self._check_quota(self.credentials.get(credential_id))

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

    # -- copies

    def snapshot(self) -> list[Change]:
        """All state that outlives the process."""
        changes = [switch_change(name, switch) for name, switch in self._switches.items()]
        changes += [
            cooldown_change(state, key, cooldown)
            for state in self.credentials.values()
            for key, cooldown in state.cooldowns.items()
        ]
        changes += [windows_change(name, windows) for name, windows in self._windows.items()]
        changes += [
            Change("count", owner, count_record(count), key) for owner, key, count in self.quotas.items()
        ]
        changes += [Change("binding", key, binding_record(binding)) for key, binding in self.affinity.items()]
        return changes

    def adopt(self, changes: Iterable[Change]) -> None:
        """What a file or other processes know. What does not fit this configuration is ignored."""
        for change in changes:
            with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
                self._adopt(change)
        self.wake()

    def _adopt(self, change: Change) -> None:
        match change.kind:
            case "switch":
                known = self._switches.get(change.name, {"at": 0.0})
                if change.name in self.pool.credentials and float(change.value["at"]) > known["at"]:
                    self._switches[change.name] = switch_of(change.value)
                    self.apply(self.config, self.registry, self.pool)
            case "cooldown":
                state = self.credentials[change.name]
                if "over" in change.value:
                    state.scheduler.health.adopt_end(state, change.key, float(change.value["over"]))
                elif change.value["of"] == state.fingerprint:
                    state.scheduler.health.adopt(state, change.key, cooldown_of(change.value))
            case "windows":
                state = self.credentials[change.name]
                self._windows[change.name] = {n: window_of(n, r) for n, r in change.value.items()}
                self._check_quota(state)
            case "count":
                self.quotas.adopt(change.name, change.key, count_of(change.value))
                self._check_quota(self.credentials.get(change.name.removeprefix("credential:")))
            case "binding":
                binding = binding_of(change.value)
                if binding.credential_id in self.credentials:
                    self.affinity.adopt(change.name, binding)
            case "turn":
                model, priority = change.key
                for credential_id in change.value:
                    self.schedulers[change.name].count_turn(model, int(priority), str(credential_id))

    def _cooldown_changed(self, state: CredentialState, key: Key, cooldown: Cooldown | None) -> None:
        log_change(state, key, cooldown, self.wall())
        if cooldown is not None:
            self.store.changed(cooldown_change(state, key, cooldown))
        else:
            self.store.changed(Change("cooldown", state.credential.id, {"over": self.wall()}, key))
            self.wake()

    def _turn_taken(self, provider: str, model: Key, priority: int, credential_id: str) -> None:
        if self.store.shared:
            self.store.changed(Change("turn", provider, [credential_id], [model, priority]))

    def _binding_changed(self, key: str, binding: Binding) -> None:
        self.store.changed(Change("binding", key, binding_record(binding)))

    def _count_changed(self, owner: str, key: str, count: Count, tokens: int, requests: int) -> None:
        record: dict[str, Any] = {**count_record(count), "add": [tokens, requests]}
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
