"""From an exchange to the upstream attempts that may serve it."""

from __future__ import annotations

import random as _random
import time
from collections.abc import Callable, Iterable

from router_core.config.schema import Config
from router_core.credentials.pool import Pool
from router_core.errors import Code, Refusal
from router_core.exchange import Exchange
from router_core.providers.model import Provider
from router_core.providers.registry import Registry
from router_core.routing.affinity import continues, session_names
from router_core.routing.candidates import Candidates
from router_core.routing.copies import adopt, snapshot
from router_core.routing.live import Live
from router_core.routing.models import ModelEntry, list_models
from router_core.routing.names import Leaf, Tree, UnknownModel, leaves, split_effort
from router_core.routing.passthrough import Passthrough
from router_core.routing.plan import Plan
from router_core.routing.status import CredentialStatus, status_of
from router_core.routing.targets import Translatable, disabled, nothing, same_format, serving, tree_of
from router_core.state.store import Change, Store


class Router:
    """Does no I/O: plans await tokens from the credential pool, and the store only hears of changes, but for
    a place under a concurrency limit that several processes share, which plans await."""

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
        """Raises ValueError for rows of ``routing.failures`` that mean nothing."""
        self.live = Live(config, registry, pool, store, clock, wall, random)
        self._translatable = translatable
        self._connect(pool)

    def reload(self, config: Config, registry: Registry, pool: Pool) -> None:
        """Puts another configuration in force at once. Raises ValueError, and changes nothing, if it cannot.

        The state of a credential survives while it stays active; plans under way go on with what they have.
        """
        self.live.apply(config, registry, pool)
        self._connect(pool)

    def _connect(self, pool: Pool) -> None:
        pool.changed = self.live.secret_changed
        pool.refresh_tokens.shared = self.live.store

    # -- requests

    def plan(self, exchange: Exchange) -> Plan | Passthrough | Refusal:
        """The attempts that may serve `exchange`, or why there are none. Sets ``exchange.session``."""
        live, surface, client = self.live, exchange.surface, exchange.client.name
        if surface.provider is not None:
            provider = live.registry.providers.get(surface.provider.name, surface.provider)
            if not provider.enabled:
                return disabled(provider)
        refusal = self._over_limit(client) if client else None
        if refusal is not None:
            return refusal
        names = session_names(exchange.request.headers, exchange.document, client)
        if names and exchange.session is None:
            exchange.session = names[0].value
        tree = tree_of(live, exchange)
        if isinstance(tree, Refusal):
            return tree
        if self._unconfigured(exchange, tree):
            return self._passthrough(exchange)
        targets, skipped = serving(live, exchange, tree, self._translatable)
        if not targets:
            return nothing(exchange, tree, skipped)
        if client:
            live.allowances.charge(f"client:{client}", requests=1)
        first_turn = bool(names) and names[0].derived and not continues(exchange.document)
        binding = live.affinity.find(names, exchange.model, first_turn=first_turn)
        return Plan(live, exchange, Candidates(live, exchange, tree, targets, binding), skipped, names)

    def _over_limit(self, client: str) -> Refusal | None:
        closed = self.live.allowances.quotas.closed(f"client:{client}")
        if closed is None:
            return None
        until, words = closed
        message = f"The limit of the client key {client!r} is reached: {words}."
        return Refusal(Code.ALL_COOLING, message, retry_after=max(1.0, until - self.live.wall()))

    def _unconfigured(self, exchange: Exchange, tree: Tree) -> bool:
        """Whether the request is on its own way to a provider of which no credential is configured."""
        surface = exchange.surface
        return (
            surface.via == "proxy"
            and surface.provider is not None
            and isinstance(tree, Leaf)
            and tree.provider.name == surface.provider.name
            and surface.provider.name not in self.live.schedulers
        )

    def _passthrough(self, exchange: Exchange) -> Passthrough | Refusal:
        provider = exchange.surface.provider
        assert provider is not None
        if self.live.config.routing.unconfigured == "passthrough":
            return Passthrough(self.live, exchange)
        return Refusal(
            Code.NO_CREDENTIAL,
            f"No credential is active for {provider.name}, and routing.unconfigured is reject. "
            f"Add one to credentials, or set the variable that one of them names.",
        )

    def upstream_model(self, provider: Provider, name: str) -> tuple[str, str | None]:
        """(upstream's model, effort) of a name that is asked for on a session that is with `provider` already."""
        try:
            tree = self.live.names.resolve(name, provider)
        except UnknownModel:
            return split_effort(name)
        for leaf in leaves(tree):
            if leaf.provider.name == provider.name and leaf.model is not None:
                return leaf.model, leaf.effort
        return split_effort(name)

    def serves(self, provider: Provider, name: str) -> bool:
        """Whether `name` may be asked for on a session that is with `provider` already."""
        try:
            tree = self.live.names.resolve(name, provider)
        except UnknownModel:
            return True
        return any(leaf.provider.name == provider.name for leaf in leaves(tree))

    # -- for people

    def models(self, client: str | None = None, provider: str | None = None) -> list[ModelEntry]:
        """What can be asked for: of everything, or on the surfaces of one provider."""
        live = self.live
        credentials = [s.credential for s in live.credentials.values()]
        return list_models(live.config, live.registry.providers, credentials, provider)

    def status(self) -> list[CredentialStatus]:
        """Every configured credential with its state, for `detour credentials` and the API. No secrets."""
        live = self.live
        now = live.wall()
        return [
            status_of(
                credential,
                live.credentials.get(credential.id),
                live.is_off(credential.id),
                live.allowances.windows(credential.id),
                now,
            )
            for credential in live.pool.credentials.values()
        ]

    def breakers(self) -> dict[tuple[str, str | None], tuple[str, float]]:
        """(base URL, model) to (``open`` or ``half_open``, seconds until it may be tested)."""
        return self.live.breakers.states()

    def reset(self, credential_id: str) -> bool:
        """Ends all cooldowns of a credential; False when none of that id is active."""
        state = self.live.credentials.get(credential_id)
        if state is None:
            return False
        state.scheduler.health.reset(state)
        self.live.allowances.forget(state)
        self.live.breakers.reset()
        self.live.wake()
        return True

    def switch(self, credential_id: str, off: bool) -> bool:
        """Takes a credential out of use, or puts it back; False when there is none of that id."""
        if credential_id not in self.live.pool.credentials:
            return False
        self.live.switch(credential_id, off)
        return True

    # -- what a store asks

    def snapshot(self) -> list[Change]:
        return snapshot(self.live)

    def adopt(self, changes: Iterable[Change]) -> None:
        adopt(self.live, changes)
