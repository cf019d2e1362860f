"""What is left of each credential's quota: by what providers reveal, and by the limits that the user sets.

A credential whose allowance is used, but for the reserve, is closed until it begins anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from router_core.config.schema import QuotaLimit
from router_core.exchange import Headers
from router_core.routing.cooldown import CredentialState, Key, Limit, key_of
from router_core.routing.windows import Count, Quotas, Window, laid_over, read_windows


@dataclass(frozen=True, slots=True)
class Seen:
    """The windows that a provider has revealed of one credential."""

    at: float
    """When they were heard of, in seconds since the epoch."""
    windows: dict[str, Window] = field(default_factory=dict)


class Allowances:
    def __init__(
        self,
        wall: Callable[[], float],
        state: Callable[[str], CredentialState | None],
        seen: Callable[[str, Seen], None],
        counted: Callable[[str, str, Count, int, int], None],
    ):
        """`state` finds an active credential by its id. `seen` and `counted` hear of what changes."""
        self.quotas = Quotas({}, wall)
        self._wall, self._state, self._heard, self._counted = wall, state, seen, counted
        self._seen: dict[str, Seen] = {}
        self._reserve = 0.0

    def apply(self, limits: Mapping[str, tuple[QuotaLimit, ...]], reserve: float) -> None:
        """Puts limits in force, by ``credential:ID`` and ``client:NAME``; `reserve` is the share to keep."""
        self._reserve = reserve
        self.quotas = Quotas(limits, self._wall, self._counted, self.quotas)

    def observe(self, state: CredentialState, headers: Headers, model: Key, *, free: bool) -> None:
        """An answer's headers, for what they reveal of the quota.

        `free` operations have limits of their own, which say nothing about the model's generation.
        """
        windows = read_windows(headers, self._wall())
        own = [w.of(key_of(model)) for w in windows if not w.shared and not free]
        self.learn(state, [*(w for w in windows if w.shared), *own])

    def learn(self, state: CredentialState, windows: Iterable[Window]) -> None:
        found = list(windows)
        if not found or state.index < 0:
            return
        now, known = self._wall(), self._seen.get(state.credential.id)
        self._see(state, Seen(now, laid_over(known.windows if known else {}, found, now)))

    def _see(self, state: CredentialState, seen: Seen) -> None:
        self._seen[state.credential.id] = seen
        self._heard(state.credential.id, seen)
        self.check(state)

    def forget(self, state: CredentialState) -> None:
        """A person says that `state` has quota."""
        if state.credential.id in self._seen:
            self._see(state, Seen(self._wall()))

    def leave(self, credential_id: str) -> None:
        """The credential is no longer active."""
        self._seen.pop(credential_id, None)

    def charge(self, owner: str, *, tokens: int = 0, requests: int = 0) -> None:
        """``credential:ID`` or ``client:NAME`` has used that much."""
        if owner in self.quotas.limits and (tokens or requests):
            self.quotas.charge(owner, tokens=tokens, requests=requests)
            self._check_owner(owner)

    def _check_owner(self, owner: str) -> None:
        state = self._state(owner.removeprefix("credential:"))
        if state is not None:
            self.check(state)

    def check(self, state: CredentialState) -> None:
        """Closes a credential whose allowance is used, but for the reserve, until it begins anew."""
        now = self._wall()
        closed = self.quotas.closed(f"credential:{state.credential.id}", self._reserve)
        spent: dict[str, Limit] = {}
        for window in self._revealed(state.credential.id):
            if window.reset is None or not window.closed(self._reserve, now):
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

    def _revealed(self, credential_id: str) -> list[Window]:
        seen = self._seen.get(credential_id)
        return list(seen.windows.values()) if seen else []

    def windows(self, credential_id: str) -> list[Window]:
        """Quota windows of a credential: what the provider reveals, then the user's own limits."""
        now = self._wall()
        seen = [w for w in self._revealed(credential_id) if w.reset is None or w.reset > now]
        return [*seen, *self.quotas.windows(f"credential:{credential_id}")]

    # -- copies

    def seen(self) -> Iterable[tuple[str, Seen]]:
        """All that was revealed, by credential id."""
        return self._seen.items()

    def adopt(self, state: CredentialState, seen: Seen) -> None:
        """What another process heard; what was heard last holds."""
        known = self._seen.get(state.credential.id)
        if known is None or seen.at > known.at:
            self._seen[state.credential.id] = seen
            self.check(state)

    def adopt_count(self, owner: str, key: str, count: Count) -> None:
        self.quotas.adopt(owner, key, count)
        self._check_owner(owner)
