"""The attempts of one request, taken one at a time.

Each candidate has one turn in a round. When all that remain are cooling and the first will be ready within
``max_wait``, the plan waits and begins another round.

What a plan holds (a place under a concurrency limit, a probe) it gives back in `report`, which has to
follow every attempt, or in `close`.
"""

from __future__ import annotations

import asyncio
import math
from typing import Final

from router_core.credentials.model import Credential, CredentialError, Token
from router_core.errors import Code, Refusal
from router_core.exchange import Attempt, Exchange, Headers, Outcome
from router_core.routing.affinity import Binding, SessionName, answer_names
from router_core.routing.candidates import Candidates
from router_core.routing.choice import FREE, Choice, Chooser
from router_core.routing.failures import Failure, usefulness
from router_core.routing.judge import Judge
from router_core.routing.live import Live
from router_core.routing.refusals import nothing_ready, over_budget
from router_core.routing.running import Running
from router_core.routing.targets import UPGRADE_REQUIRED, Skipped, Target, told
from router_core.routing.websocket import Message
from router_core.usage.budgets import PassOver, Refuse
from router_core.verdict import FailureKind, Verdict

MIN_PAUSE: Final = 0.05
"""Seconds between two rounds at least."""

TOKEN_PATIENCE: Final = 5.0
"""Seconds for which a token is waited for where another credential could serve."""

FULL_PAUSE: Final = 0.5
"""The same where a place was taken in another process, which does not tell when it is free."""


class Plan:
    """Made by `Router.plan`."""

    def __init__(
        self,
        live: Live,
        exchange: Exchange,
        candidates: Candidates,
        skipped: list[Skipped],
        names: list[SessionName],
    ):
        self.exchange = exchange
        self.skipped = skipped
        """What was passed over, and why; grows while attempts are taken."""
        self.waited = 0.0
        """Seconds spent waiting for credentials."""
        self._live, self._candidates, self._chooser = live, candidates, Chooser(candidates)
        self._judge = Judge(live, exchange, candidates, names)
        self._limit = live.config.routing.max_attempts
        self._count = 0
        self._running: dict[int, Running] = {}
        self._verdicts: dict[int, tuple[Verdict, Failure]] = {}
        self._inexpressible: list[Refusal] = []
        self._pause = MIN_PAUSE
        self._budget_ends = math.inf

    @property
    def _free(self) -> bool:
        return self.exchange.surface.operation in FREE

    @property
    def targets(self) -> list[Target]:
        """What can be tried, in the order of now."""
        return list(self._candidates.targets())

    @property
    def told(self) -> list[dict[str, str]]:
        return told(self.targets, self.skipped)

    def preview(self) -> list[tuple[Target, str | None, str]]:
        """(target, credential id, why) in order, without taking a turn; for `detour explain`."""
        return self._chooser.preview()

    # -- attempts

    async def next(self) -> Attempt | Refusal | None:
        """The next attempt; None when nothing is left; a Refusal when nothing could be tried at all.

        May wait up to ``max_wait`` in all. Cancelling it gives back what it held.
        """
        while self._count < self._limit:
            choice = self._chooser.choose(self._judge.take_renewed())
            over = choice and self._over_budget(choice)
            if isinstance(over, Refuse):
                return None if self._count else over_budget(over, self._live.wall())
            if over:
                continue
            if choice is not None:
                attempt = await self._prepare(choice)
                if attempt is not None:
                    return attempt
            elif not await self._wait():
                break
        if self._judge.no_websockets and all(failure.transport for _, failure in self._verdicts.values()):
            return Refusal(
                Code.UNSUPPORTED, "The upstream takes no WebSockets; use HTTP.", status=UPGRADE_REQUIRED
            )
        return None if self._count else self._refusal()

    def _over_budget(self, choice: Choice) -> Refuse | PassOver | None:
        """What keeps the choice from being taken, if a budget does; it is not chosen again then."""
        if self._free:
            return None
        over = self._live.over_budget(
            self.exchange.client.name, choice.state.credential.id, choice.target.leaf.model
        )
        if over is None:
            return None
        self._budget_ends = min(self._budget_ends, over.until)
        self._skip(choice, over.reason)
        self._candidates.tried.add(choice.key)
        self._candidates.spent.add(choice.key)
        return over

    async def _prepare(self, choice: Choice) -> Attempt | None:
        """The attempt with its secret; None when that cannot be had."""
        live, leaf, state = self._live, choice.target.leaf, choice.state
        credential, started = state.credential, live.clock()
        endpoint = choice.target.endpoint.under(credential.config.base_url)
        circuit = (endpoint.base_url, leaf.model)
        self._chooser.took(choice)
        if live.breakers.wait(circuit) > 0:
            self._skip(choice, "its endpoint is down")
            return None
        running = Running.begin(live, choice, circuit, started, free=self._free)
        try:
            refused = await running.lease() if live.store.shared else None
            if refused is not None:
                running.give_up()
                self._skip(choice, refused)
                self._pause = FULL_PAUSE
                return None
            token = credential.source.current() or await self._token(credential)
        except CredentialError as e:
            running.release()
            self._without_token(choice, e, started)
            return None
        except BaseException:
            running.release()
            raise
        self._count += 1
        running.secret, running.oauth = token.secret, token.oauth
        self._running[self._count] = running
        live.allowances.charge(f"credential:{credential.id}", requests=1)
        carriers = leaf.provider.oauth if token.oauth else leaf.provider.auth
        if not token.secret:
            carriers = ()
        return Attempt(
            number=self._count,
            provider=leaf.provider,
            endpoint=endpoint,
            model=leaf.model,
            credential_id=credential.id,
            auth=[*((h.header, h.value(token.secret)) for h in carriers), *token.headers],
            headers=dict(credential.config.headers),
            proxy=_proxy(live.config.upstream.proxy, credential),
            effort=leaf.effort,
            drop_state=self._candidates.moves(credential.id),
            reason=choice.reason,
            started=started,
        )

    async def _token(self, credential: Credential) -> Token:
        """Waits for as long as it takes, or for a moment where another credential is ready; the fetch goes on then.
        Raises CredentialError."""
        patience = TOKEN_PATIENCE if self._candidates.any_ready() else None
        try:
            async with asyncio.timeout(patience):
                return await credential.source.token()
        except TimeoutError:
            raise CredentialError(f"its token did not come within {patience:g} s") from None

    def _without_token(self, choice: Choice, error: CredentialError, started: float) -> None:
        credential_id = choice.state.credential.id
        self._judge.token_errors.append(f"{credential_id}: {error}")
        self._skip(choice, str(error))
        self._candidates.spent.add(choice.key)
        cooldown, backoff = (1800.0, 0.0) if error.permanent else (0.0, 5.0)
        failure = Failure(
            FailureKind.AUTH, str(error), scope="credential", cooldown=cooldown, backoff=backoff
        )
        choice.state.scheduler.health.fail(choice.state, choice.target.leaf.model, failure, started)

    def _skip(self, choice: Choice, reason: str) -> None:
        skipped = Skipped(f"{choice.target.name} [{choice.state.credential.id}]", reason)
        if skipped not in self.skipped:
            self.skipped.append(skipped)

    async def _wait(self) -> bool:
        """Waits until a credential may be ready and begins another round; False when that is too far off."""
        live = self._live
        budget = live.config.routing.max_wait - self.waited
        shortest = self._candidates.wait()
        if budget <= 0 or shortest > budget:
            return False
        jitter = live.random() * min(shortest / 4, 2.0)
        before = live.clock()
        await live.pause(max(self._pause, min(shortest + jitter, budget)))
        self.waited += max(live.clock() - before, MIN_PAUSE)
        self._pause = MIN_PAUSE
        self._candidates.new_round()
        return True

    def _refusal(self) -> Refusal:
        """Why no attempt could be made though there are targets."""
        return nothing_ready(
            self.exchange,
            self._candidates,
            self.skipped,
            token_errors=self._judge.token_errors,
            inexpressible=self._inexpressible,
            budget_ends=self._budget_ends,
            now=self._live.wall(),
        )

    # -- outcomes

    def answered(self, attempt: Attempt, headers: Headers | None = None, status: int = 200) -> None:
        """The answer has begun, with `status`. A good one ends a probe now, so that others need not wait."""
        running = self._running.get(attempt.number)
        if running is None or running.answered:
            return
        if headers is not None:
            self._judge.observe(running.state, attempt, headers)
        if status < 400:
            running.answered = True
            running.succeeded()

    def learn(self, attempt: Attempt, message: Message) -> None:
        """What a message of a WebSocket session says while the session goes on."""
        running = self._running.get(attempt.number)
        if running is None:
            return
        if message.windows:
            self._live.allowances.learn(running.state, message.windows)
        if message.response_id is not None:
            names = answer_names([], message.response_id)
            binding = Binding(running.state.credential.id, attempt.provider.name, attempt.model)
            self._live.affinity.bind(names, self.exchange.model, binding)
        if message.outcome is not None and message.outcome.phase == "done":
            self.answered(attempt)

    def means(self, attempt: Attempt, outcome: Outcome) -> FailureKind | None:
        """What `outcome` would be of `attempt`, which stays under way; None when it is not."""
        running = self._running.get(attempt.number)
        return self._judge.classified(attempt, running, outcome).kind if running is not None else None

    async def report(self, attempt: Attempt, outcome: Outcome) -> Verdict:
        """How `attempt` ended. Once for each; what comes later gets the first verdict."""
        running = self._running.pop(attempt.number, None)
        if running is None:
            known = self._verdicts.get(attempt.number)
            return known[0] if known else Verdict(FailureKind.CANCELLED, False, None, "not under way")
        try:
            verdict, failure = await self._judge.judge(
                attempt, running, outcome, more=self._count < self._limit
            )
        finally:
            running.release()
        self._verdicts[attempt.number] = (verdict, failure)
        return verdict

    def pass_over(self, attempt: Attempt, refusal: Refusal) -> None:
        """`attempt` was never sent: the request cannot be expressed for its target, which is left out."""
        running = self._running.pop(attempt.number, None)
        if running is None:
            return
        self._count -= 1
        self._candidates.pass_over(running.target.leaf)
        self._inexpressible.append(refusal)
        self.skipped.append(Skipped(running.target.name, refusal.message))
        running.release()

    def close(self) -> None:
        """Gives back whatever attempts without a report still hold."""
        for number in list(self._running):
            self._running.pop(number).release()

    def best_answer(self, attempts: list[Attempt] | None = None) -> Attempt | None:
        """The failed attempt whose answer tells the client most; None when none of them got an answer.

        First what the request itself did wrong, then limits (a known end before an unknown one, the
        nearest first), then full and refusing accounts, and servers' troubles last.
        """
        ranked = []
        for attempt in self.exchange.attempts if attempts is None else attempts:
            known = self._verdicts.get(attempt.number)
            if known is not None and known[1].status is not None and not known[1].transport:
                ranked.append((usefulness(known[1]), attempt.number, attempt))
        return min(ranked, key=lambda r: r[:2])[2] if ranked else None


def _proxy(default: str | None, credential: Credential) -> str | None:
    """The outbound proxy of `credential`; None for none."""
    configured = credential.config.proxy
    if configured is None:
        return default
    return None if configured in ("direct", "none") else configured
