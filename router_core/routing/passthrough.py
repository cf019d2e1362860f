"""The plan of a provider's own host without a configured credential: the client's request as it is."""

from __future__ import annotations

from router_core.capture.spellings import carried
from router_core.errors import Refusal
from router_core.exchange import Attempt, Exchange, Headers, Outcome
from router_core.routing.choice import FREE
from router_core.routing.failures import Failure, classify
from router_core.routing.live import Live
from router_core.routing.refusals import over_budget
from router_core.routing.targets import Skipped, Target, told
from router_core.verdict import Verdict


class Passthrough:
    """Stands where a `router_core.routing.plan.Plan` does; nothing is retried and nothing cools."""

    def __init__(self, live: Live, exchange: Exchange):
        self.exchange = exchange
        self.skipped: list[Skipped] = []
        self.targets: list[Target] = []
        self.waited = 0.0
        self._live = live
        self._taken = False
        self._failure: Failure | None = None

    @property
    def told(self) -> list[dict[str, str]]:
        return told(self.targets, self.skipped)

    def preview(self) -> list[tuple[Target, str | None, str]]:
        return []

    async def next(self) -> Attempt | Refusal | None:
        if self._taken:
            return None
        self._taken = True
        surface = self.exchange.surface
        refused = self._over_budget()
        if refused is not None:
            return refused
        assert surface.provider is not None and surface.endpoint is not None
        return Attempt(
            number=1,
            provider=surface.provider,
            endpoint=surface.endpoint,
            model=self.exchange.model,
            credential_id=None,
            reason="no credential is configured: the client's own",
            started=self._live.clock(),
        )

    def _over_budget(self) -> Refusal | None:
        if self.exchange.surface.operation in FREE:
            return None
        over = self._live.over_budget(self.exchange.client.name, None, self.exchange.model)
        return over_budget(over, self._live.wall()) if over else None

    def answered(self, attempt: Attempt, headers: Headers | None = None, status: int = 200) -> None:
        pass

    async def report(self, attempt: Attempt, outcome: Outcome) -> Verdict:
        operation = self.exchange.surface.operation
        self._failure = classify(
            outcome,
            provider=attempt.provider.name,
            operation=operation,
            now=self._live.wall(),
            secrets=carried(self.exchange.request.headers),
        )
        return Verdict(self._failure.kind, False, None, self._failure.reason)

    def pass_over(self, attempt: Attempt, refusal: Refusal) -> None:
        self.skipped.append(Skipped(attempt.provider.name, refusal.message))

    def close(self) -> None:
        pass

    def best_answer(self, attempts: list[Attempt] | None = None) -> Attempt | None:
        known = self.exchange.attempts if attempts is None else attempts
        answered = (
            self._failure is not None and self._failure.status is not None and not self._failure.transport
        )
        return known[0] if known and answered else None
