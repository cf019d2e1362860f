"""From an exchange to the upstream attempts that may serve it.

The router holds all live routing state of one configuration; `reload` moves it to another. It does no
I/O: plans await tokens from the credential pool, and the store, which only carries copies of the state to
disk or to other processes, is told of changes and never asked on the way of a request, except for a
place under a concurrency limit that several processes share.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random as _random
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from router_core.config.schema import Config
from router_core.credentials.model import Credential, Token
from router_core.credentials.pool import Pool
from router_core.errors import Code, Refusal
from router_core.exchange import Attempt, Exchange, Headers
from router_core.formats import Format, Operation
from router_core.providers.model import Endpoint, Provider
from router_core.providers.registry import Registry
from router_core.routing.affinity import Affinity, Binding, continues, session_names
from router_core.routing.breaker import Breakers
from router_core.routing.conditions import Needs, incapable, unmet
from router_core.routing.failures import parse_row
from router_core.routing.health import QUOTA, Cooldown, CredentialState, Health, Key
from router_core.routing.models import ModelEntry, list_models
from router_core.routing.names import Branch, Leaf, Names, Tree, UnknownModel, leaves
from router_core.routing.plan import Plan, Skipped, Target
from router_core.routing.records import (
    binding_of,
    binding_record,
    cooldown_of,
    cooldown_record,
    count_of,
    count_record,
    window_of,
    window_record,
)
from router_core.routing.rotation import Rotation
from router_core.routing.scheduler import Scheduler
from router_core.routing.status import CredentialStatus, describe, status_of
from router_core.routing.windows import Count, Quotas, Window, read_windows
from router_core.state.store import Change, Store

type Translatable = Callable[[Format, Format, Operation], bool]
"""Whether a request of the client's format can be expressed in an upstream's, for an operation."""

UPGRADE_REQUIRED = 426


def same_format(client: Format, upstream: Format, operation: Operation) -> bool:
    return client is upstream


class Router:
    def __init__(
        self,
        config: Config,
        registry: Registry,
        pool: Pool,
        store: Store,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        random: Callable[[], float] = _random.random,
        translatable: Translatable = same_format,
    ):
        self.clock, self.wall, self.random = clock, wall, random
        self.translatable = translatable
        self.store = store
        self.schedulers: dict[str, Scheduler] = {}
        self.credentials: dict[str, CredentialState] = {}
        self.rotation = Rotation()
        self._windows: dict[str, dict[str, Window]] = {}
        self._waiting: set[asyncio.Future[None]] = set()
        self.affinity = Affinity(config.routing.affinity_ttl, clock, self._binding_changed)
        self.quotas = Quotas({}, wall)
        self._apply(config, registry, pool)

    def reload(self, config: Config, registry: Registry, pool: Pool) -> None:
        """Puts another configuration in force at once. Raises ValueError, and changes nothing, if it cannot.

        The state of a credential survives while it stays active; plans under way go on with what they have.
        """
        self._apply(config, registry, pool)

    def _apply(self, config: Config, registry: Registry, pool: Pool) -> None:
        rows = [parse_row(entry) for entry in config.routing.failures]
        active = [c for name in registry.providers for c in pool.active(name)]
        names = Names(config, registry.providers, active)
        self.config, self.registry, self.pool = config, registry, pool
        self.rows, self.names = rows, names
        before, self.credentials = self.credentials, {}
        by_provider: dict[str, list[CredentialState]] = {}
        for credential in active:
            state = before.get(credential.id)
            if state is None or not _same(state.credential, credential):
                state = CredentialState(credential)
                self._windows.pop(credential.id, None)
            state.credential = credential
            self.credentials[credential.id] = state
            by_provider.setdefault(credential.provider, []).append(state)
        for credential_id, state in before.items():
            if self.credentials.get(credential_id) is not state:
                state.index = -1
                self._windows.pop(credential_id, None)
                self.store.changed(Change("drop", credential_id))
        schedulers = {}
        for name, states in by_provider.items():
            health = Health(
                config.routing,
                clock=self.clock,
                wall=self.wall,
                random=self.random,
                changed=self._cooldown_changed,
            )
            schedulers[name] = Scheduler(states, config.routing.strategy, health, self.schedulers.get(name))
        self.schedulers = schedulers
        self.breakers = Breakers(config.routing.breaker, self.clock)
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

    # -- requests

    def plan(self, exchange: Exchange) -> Plan | Refusal:
        """The attempts that may serve `exchange`, or why there are none. Sets ``exchange.session``."""
        surface = exchange.surface
        if surface.provider is not None:
            provider = self.registry.providers.get(surface.provider.name, surface.provider)
            if not provider.enabled:
                return _disabled(provider)
        spent = self.quotas.closed(f"client:{exchange.client.name}") if exchange.client.name else None
        if spent is not None:
            return Refusal(
                Code.ALL_COOLING,
                f"The limit of the client key {exchange.client.name!r} is reached: {spent[1]}.",
                retry_after=max(1.0, spent[0] - self.wall()),
            )
        if exchange.client.name:
            self.quotas.charge(f"client:{exchange.client.name}", requests=1)
        names = session_names(exchange.request.headers, exchange.document, exchange.client.name)
        if names and exchange.session is None:
            exchange.session = names[0].value if not names[0].derived else names[0].key
        tree = self._tree(exchange)
        if isinstance(tree, Refusal):
            return tree
        if self._unconfigured(exchange, tree):
            return self._passed_through(exchange)
        targets, skipped = self._targets(exchange, tree)
        if not targets:
            return self._nothing(exchange, tree, skipped)
        first_turn = bool(names) and names[0].derived and not continues(exchange.document)
        binding = self.affinity.find(names, exchange.model, first_turn=first_turn)
        return Plan(self, exchange, tree, targets, skipped, names, binding)

    def _tree(self, exchange: Exchange) -> Tree | Refusal:
        surface = exchange.surface
        provider = surface.provider
        if exchange.model is None:
            if provider is not None:
                return Leaf(self.registry.providers.get(provider.name, provider), None)
            if exchange.websocket and (able := self._websocket_leaves(surface.format)):
                return Branch("websocket", "fallback", able)
            return Refusal(Code.INVALID_REQUEST, "The request names no model, so there is nothing to route it by.")
        try:
            return self.names.resolve(
                exchange.model, provider if surface.pinned or surface.via == "proxy" else None
            )
        except UnknownModel as e:
            return Refusal(Code.MODEL_NOT_FOUND, f"{e}.")

    def _websocket_leaves(self, format: Format) -> tuple[Leaf, ...]:
        """Who can take a session whose model is only named in its messages, by their credentials' priority."""
        highest: dict[str, int] = {}
        for state in self.credentials.values():
            config = state.credential.config
            highest[config.provider] = max(config.priority, highest.get(config.provider, config.priority))
        able = [
            provider
            for name in sorted(highest, key=lambda n: -highest[n])
            if (endpoint := (provider := self.registry.providers[name]).endpoint(format)) and endpoint.websocket
        ]
        return tuple(Leaf(provider, None) for provider in able)

    def _unconfigured(self, exchange: Exchange, tree: Tree) -> bool:
        """Whether the request is for a provider of which no credential is configured."""
        surface = exchange.surface
        return (
            surface.via == "proxy"
            and surface.provider is not None
            and isinstance(tree, Leaf)
            and tree.provider.name == surface.provider.name
            and surface.provider.name not in self.schedulers
        )

    def passes_through(self, exchange: Exchange) -> bool:
        """Whether `exchange`, whatever its body says, is for the client's own credential and host."""
        provider = exchange.surface.provider
        return (
            provider is not None
            and self.config.routing.unconfigured == "passthrough"
            and self._unconfigured(exchange, Leaf(provider, None))
        )

    def _passed_through(self, exchange: Exchange) -> Plan | Refusal:
        provider = exchange.surface.provider
        assert provider is not None
        if self.config.routing.unconfigured == "reject":
            return Refusal(
                Code.NO_CREDENTIAL,
                f"No credential is configured for {provider.name}, and routing.unconfigured is reject. "
                f"Add one to credentials, or set the variable that one of them names.",
            )
        return Plan(self, exchange, None, {}, [], [], None)

    def _targets(self, exchange: Exchange, tree: Tree) -> tuple[dict[int, Target], list[Skipped]]:
        """What of `tree` can serve the request, and what cannot, with the reason."""
        needs = Needs(exchange.document)
        now = self.wall()
        targets: dict[int, Target] = {}
        skipped: list[Skipped] = []

        def visit(node: Tree, among_others: bool) -> None:
            reason = unmet(node.when, needs, now)
            if reason is not None:
                skipped.extend(Skipped(leaf.name, reason) for leaf in leaves(node))
            elif isinstance(node, Branch):
                for child in node.children:
                    visit(child, True)
            else:
                found = self._target(exchange, node, needs if among_others else None)
                if isinstance(found, Target):
                    targets[id(node)] = found
                else:
                    skipped.append(Skipped(node.name, found))

        visit(tree, False)
        return targets, skipped

    def _target(self, exchange: Exchange, leaf: Leaf, needs: Needs | None) -> Target | str:
        provider = leaf.provider
        if not provider.enabled:
            return "its provider is disabled"
        scheduler = self.schedulers.get(provider.name)
        if scheduler is None:
            return "it has no active credential"
        if not scheduler.members(leaf.model, leaf.prefix):
            return "none of its credentials serves the model"
        if needs is not None:
            # Where there is nothing else to choose, the provider itself knows best what it can do.
            reason = incapable(provider.model(leaf.model) if leaf.model else None, needs)
            if reason is not None:
                return reason
        endpoint = self._endpoint(exchange, provider, scheduler)
        if endpoint is None:
            what = (
                "a WebSocket"
                if exchange.websocket
                else f"{exchange.surface.operation} requests of the format"
            )
            return f"it cannot take {what} {'' if exchange.websocket else exchange.surface.format}".rstrip()
        return Target(leaf, endpoint)

    def _endpoint(self, exchange: Exchange, provider: Provider, scheduler: Scheduler) -> Endpoint | None:
        """The endpoint of the client's own format where there is one, else the first that can be translated to."""
        surface = exchange.surface
        operation = surface.operation
        own = provider.endpoint(surface.format)
        if (
            surface.endpoint is not None
            and surface.provider is not None
            and surface.provider.name == provider.name
        ):
            own = surface.endpoint
        if own is not None and (operation in own.operations or surface.endpoint is own):
            return own if not exchange.websocket or scheduler.websocket(own.websocket) else None
        if exchange.websocket:
            return None
        return next(
            (
                e
                for e in provider.endpoints
                if e is not own
                and operation in e.operations
                and self.translatable(surface.format, e.format, operation)
            ),
            None,
        )

    # -- refusals

    def _nothing(self, exchange: Exchange, tree: Tree, skipped: list[Skipped]) -> Refusal:
        """Why none of the targets can take the request."""
        found = list(leaves(tree))
        if len(found) == 1 and not found[0].provider.enabled:
            return _disabled(found[0].provider)
        reasons = "; ".join(f"{s.name}: {s.reason}" for s in skipped)
        if exchange.websocket and any("WebSocket" in s.reason for s in skipped):
            return Refusal(Code.UNSUPPORTED, f"Use HTTP: {reasons}.", status=UPGRADE_REQUIRED)
        if all(s.reason == "it has no active credential" for s in skipped):
            names = ", ".join(dict.fromkeys(leaf.provider.name for leaf in found))
            return Refusal(
                Code.NO_CREDENTIAL,
                f"No credential is active for {names}. Add one to credentials, or set the variable that one of them names.",
            )
        if any(
            s.reason.startswith("it cannot take") or " has no " in s.reason or "tokens, more" in s.reason
            for s in skipped
        ):
            return Refusal(
                Code.UNSUPPORTED, f"No target of {exchange.model!r} can take the request: {reasons}."
            )
        return Refusal(Code.MODEL_NOT_FOUND, f"No target serves {exchange.model!r}: {reasons}.")

    def refusal(
        self,
        exchange: Exchange,
        skipped: list[Skipped],
        wait: float,
        token_errors: list[str],
        held: str | None,
    ) -> Refusal:
        """Why a plan with targets could make no attempt; `wait` is the time until one may be ready."""
        if exchange.websocket and self._http_is_ready(exchange):
            return Refusal(
                Code.UNSUPPORTED,
                "The credentials that take WebSockets are cooling; use HTTP.",
                status=UPGRADE_REQUIRED,
            )
        if wait < math.inf and not (token_errors and self._all_refused()):
            seconds = max(1.0, math.ceil(wait))
            who = (
                f"The credential {held}, which holds this conversation's state, is"
                if held
                else "All credentials are"
            )
            details = self._cooling_reasons(exchange)
            return Refusal(
                Code.ALL_COOLING,
                f"{who} cooling for {exchange.model or 'this request'}; the first is back in {describe(seconds)}.{details}",
                retry_after=seconds,
            )
        reasons = (
            "; ".join(token_errors) or "; ".join(f"{s.name}: {s.reason}" for s in skipped) or "none is usable"
        )
        return Refusal(Code.NO_CREDENTIAL, f"No credential can be used: {reasons}.")

    def _all_refused(self) -> bool:
        return all(s.health.refused() == s.all for s in self.schedulers.values())

    def _http_is_ready(self, exchange: Exchange) -> bool:
        tree = self._tree(exchange)
        if isinstance(tree, Refusal):
            return False
        for leaf in leaves(tree):
            scheduler = self.schedulers.get(leaf.provider.name)
            if scheduler is not None and scheduler.ready(
                leaf.model, scheduler.members(leaf.model, leaf.prefix)
            ):
                return True
        return False

    def _cooling_reasons(self, exchange: Exchange) -> str:
        tree = self._tree(exchange)
        found: list[str] = []
        for leaf in () if isinstance(tree, Refusal) else leaves(tree):
            scheduler = self.schedulers.get(leaf.provider.name)
            for state in scheduler.states if scheduler else ():
                if len(found) < 3 and (why := self.why(state, leaf.model)) != "ready":
                    found.append(f"{state.credential.id}: {why}")
        return f" ({'; '.join(found)})" if found else ""

    def why(self, state: CredentialState, model: str | None) -> str:
        """In words, what keeps `state` from serving `model` now; ``ready`` if nothing does."""
        now = self.wall()
        for key in (None, QUOTA, model):
            cooldown = state.cooldowns.get(key)
            if cooldown is not None and cooldown.until > now:
                return f"{cooldown.reason or cooldown.kind}, until {describe(cooldown.until - now)} from now"
            if cooldown is not None and cooldown.probing is not None:
                return "its cooldown is over and one request is testing it"
        if state.bit & state.scheduler.full:
            return f"{state.in_flight} requests are under way, its limit"
        return "ready"

    # -- what plans use

    def proxy(self, credential: Credential) -> str | None:
        """The outbound proxy of `credential`; None for none."""
        configured = credential.config.proxy
        if configured is None:
            return self.config.upstream.proxy
        return None if configured in ("direct", "none") else configured

    def token_headers(self, provider: str, token: Token) -> dict[str, str]:
        """Extra headers that an OAuth token of `provider` needs; see `router_core.credentials.model`."""
        return OAUTH_HEADERS.get(provider, {}) if token.oauth else {}

    def observe(self, state: CredentialState, headers: Headers) -> None:
        """An answer's headers, for what they reveal of the quota."""
        windows = read_windows(headers, self.wall())
        if not windows or state.index < 0:
            return
        known = self._windows.setdefault(state.credential.id, {})
        for window in windows:
            known[window.name] = window
        self.store.changed(_windows_change(state.credential.id, known))
        self._check_quota(state)

    def charge_request(self, credential: Credential) -> None:
        owner = f"credential:{credential.id}"
        if owner in self.quotas.limits:
            self.quotas.charge(owner, requests=1)
            self._check_quota(self.credentials.get(credential.id))

    def charge_tokens(self, exchange: Exchange, attempt: Attempt, credential: Credential) -> None:
        owners = [
            o
            for o in (f"credential:{credential.id}", f"client:{exchange.client.name}")
            if o in self.quotas.limits
        ]
        if not owners:
            return
        usage = attempt.usage or exchange.usage
        tokens = (usage.prompt or 0) + (usage.output or 0)
        for owner in owners if tokens else ():
            self.quotas.charge(owner, tokens=tokens)
        self._check_quota(self.credentials.get(credential.id))

    def _check_quota(self, state: CredentialState | None) -> None:
        if state is None:
            return
        credential_id, reserve, now = state.credential.id, self.config.routing.reserve, self.wall()
        closed = self.quotas.closed(f"credential:{credential_id}", reserve)
        for window in self._windows.get(credential_id, {}).values():
            if window.closed(reserve, now) and (closed is None or (window.reset or 0) > closed[0]):
                closed = (
                    window.reset or now,
                    f"{min(window.used, 9.99):.0%} of the {window.name} window are used",
                )
        health = state.scheduler.health
        if closed is None:
            health.replenish(state)
        else:
            health.exhaust(state, *closed)

    async def lease(self, credential: Credential) -> Any:
        """A place under a concurrency limit that processes share; False when there is none, None when not needed."""
        limit = credential.config.concurrency
        return (
            await self.store.lease(credential.id, limit) if limit is not None and self.store.shared else None
        )

    def give_back(self, lease: Any) -> None:
        if lease:
            self.store.give_back(lease)

    def wake(self) -> None:
        """Plans that wait look again."""
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def pause(self, seconds: float) -> None:
        """Returns after `seconds`, or sooner when something may have become ready."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await future
        finally:
            self._waiting.discard(future)

    # -- for people

    def models(self, client: str | None = None, provider: str | None = None) -> list[ModelEntry]:
        """What can be asked for: of everything, or on the surfaces of one provider."""
        return list_models(
            self.config, self.registry.providers, [s.credential for s in self.credentials.values()], provider
        )

    def status(self) -> list[CredentialStatus]:
        """Every configured credential with its state, for `detour credentials` and the API. No secrets."""
        now = self.wall()
        return [
            status_of(credential, self.credentials.get(credential.id), self.windows(credential.id), now)
            for credential in self.pool.credentials.values()
        ]

    def windows(self, credential_id: str) -> list[Window]:
        now = self.wall()
        seen = [w for w in self._windows.get(credential_id, {}).values() if w.reset is None or w.reset > now]
        return [*seen, *self.quotas.windows(f"credential:{credential_id}")]

    def reset(self, credential_id: str) -> bool:
        """Ends all cooldowns of a credential; False when none of that id is active."""
        state = self.credentials.get(credential_id)
        if state is None:
            return False
        state.scheduler.health.reset(state)
        self._windows.pop(credential_id, None)
        self._check_quota(state)
        self.wake()
        return True

    # -- copies of the state

    def snapshot(self) -> list[Change]:
        """All state that outlives the process: cooldowns, quota windows, counts and bindings."""
        changes = []
        for state in self.credentials.values():
            for key, cooldown in state.cooldowns.items():
                changes.append(self._cooldown_change(state, key, cooldown))
        for credential_id, windows in self._windows.items():
            changes.append(_windows_change(credential_id, windows))
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
            case "cooldown":
                state = self.credentials[change.name]
                if change.value is None:
                    state.scheduler.health.adopt(state, change.key, None)
                elif change.value["of"] == state.credential.source.fingerprint():
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
                self.schedulers[change.name].count_turn(model, priority, change.value)

    def _cooldown_changed(self, state: CredentialState, key: Key, cooldown: Cooldown | None) -> None:
        self.store.changed(self._cooldown_change(state, key, cooldown))
        if cooldown is None:
            self.wake()

    @staticmethod
    def _cooldown_change(state: CredentialState, key: Key, cooldown: Cooldown | None) -> Change:
        record = cooldown and cooldown_record(cooldown, state.credential.source.fingerprint())
        return Change("cooldown", state.credential.id, record, key)

    def _binding_changed(self, key: str, binding: Binding) -> None:
        self.store.changed(Change("binding", key, binding_record(binding)))

    def _count_changed(self, owner: str, key: str, count: Count, tokens: int, requests: int) -> None:
        self.store.changed(Change("count", owner, {**count_record(count), "add": [tokens, requests]}, key))


OAUTH_HEADERS: Final[dict[str, dict[str, str]]] = {
    # https://docs.anthropic.com/en/api/beta-headers; what Claude Code sends with a subscription's token.
    "anthropic": {"anthropic-beta": "oauth-2025-04-20"},
}


def _same(old: Credential, new: Credential) -> bool:
    """Whether what is known of the one holds for the other."""
    return (
        old.provider == new.provider
        and old.config.base_url == new.config.base_url
        and old.source.fingerprint() == new.source.fingerprint()
    )


def _disabled(provider: Provider) -> Refusal:
    return Refusal(
        Code.PROVIDER_DISABLED,
        f"The provider {provider.name} is disabled; providers.{provider.name}.enabled turns it on.",
    )


def _windows_change(credential_id: str, windows: dict[str, Window]) -> Change:
    return Change("windows", credential_id, {w.name: window_record(w) for w in windows.values()})
