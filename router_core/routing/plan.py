"""The attempts of one request, taken one at a time.

Each candidate has one turn in a round. When all that remain are cooling and the first will be ready within
``max_wait``, the plan waits and begins another round.

What a plan holds (a place under a concurrency limit, a probe) it gives back in `report`, which has to
follow every attempt, or in `close`.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field, replace
from typing import Final

import orjson

from router_core.config.schema import CredentialConfig
from router_core.credentials.model import Credential, CredentialError
from router_core.errors import Code, Refusal
from router_core.exchange import Attempt, Exchange, Headers, Outcome
from router_core.formats import Operation
from router_core.providers.model import Endpoint
from router_core.routing.affinity import Binding, SessionName, answer_names
from router_core.routing.breaker import Circuit
from router_core.routing.choice import FREE, Choice, Chooser
from router_core.routing.cooldown import CredentialState
from router_core.routing.failures import RETRIED, Failure, classify
from router_core.routing.health import Probe
from router_core.routing.live import Live
from router_core.routing.status import describe
from router_core.routing.targets import UPGRADE_REQUIRED, Skipped, Target, told
from router_core.routing.websocket import Message, handshake_refused
from router_core.verdict import FailureKind, Verdict

logger = logging.getLogger(__name__)

MIN_PAUSE: Final = 0.05
"""Seconds between two rounds at least."""

FULL_PAUSE: Final = 0.5
"""The same where a place was taken in another process, which does not tell when it is free."""


@dataclass(slots=True)
class _Running:
    """An attempt without its report."""

    started: float
    target: Target
    state: CredentialState | None
    circuit: Circuit | None
    """Until the breaker has heard how it went."""
    secret: str = field(default="", repr=False)
    oauth: bool = False
    probe: Probe | None = None
    leases: list[object] = field(default_factory=list)
    """Places under limits that all processes share, given back when the attempt ends."""
    test: object = None
    """The one of them that says that this is the test of a long cooldown."""
    answered: bool = False


class Plan:
    """Made by `Router.plan`."""

    def __init__(
        self,
        live: Live,
        exchange: Exchange,
        chooser: Chooser,
        skipped: list[Skipped],
        names: list[SessionName],
    ):
        self.exchange = exchange
        self.skipped = skipped
        """What was passed over, and why; grows while attempts are taken."""
        self.waited = 0.0
        """Seconds spent waiting for credentials."""
        self._live, self._chooser, self._names = live, chooser, names
        self._limit = live.config.routing.max_attempts
        self._count = 0
        self._running: dict[int, _Running] = {}
        self._verdicts: dict[int, tuple[Verdict, Failure]] = {}
        self._token_errors: list[str] = []
        self._inexpressible: list[str] = []
        self._refreshed: set[str] = set()
        self._renewed: str | None = None
        self._no_websockets = False
        self._pause = MIN_PAUSE
        self._budget_ends = math.inf

    @property
    def targets(self) -> list[Target]:
        """What can be tried, in the order of now."""
        return list(self._chooser.targets())

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
            renewed, self._renewed = self._renewed, None
            choice = self._chooser.choose(renewed)
            if choice is not None and self._over_budget(choice):
                continue
            if choice is not None:
                attempt = await self._prepare(choice)
                if attempt is not None:
                    return attempt
            elif not await self._wait():
                break
        if self._no_websockets and all(failure.transport for _, failure in self._verdicts.values()):
            return Refusal(
                Code.UNSUPPORTED, "The upstream takes no WebSockets; use HTTP.", status=UPGRADE_REQUIRED
            )
        return None if self._count else self._refusal()

    def _over_budget(self, choice: Choice) -> bool:
        """Whether a budget keeps the choice from being taken; it is not chosen again then."""
        budgets = self._live.budgets()
        if budgets is None or self.exchange.surface.operation in FREE:
            return False
        decision = budgets.check(
            self.exchange.client.name, choice.state.credential.id, choice.target.leaf.model
        )
        # Told apart by shape: the routing core does not load the ledger's database.
        until = getattr(decision, "until", None)
        if until is None:
            for warning in decision.warnings:
                logger.warning("%s", warning)
            return False
        self._budget_ends = min(self._budget_ends, until)
        self._skip(choice, decision.reason)
        self._chooser.tried.add(choice.key)
        self._chooser.spent.add(choice.key)
        return True

    async def _prepare(self, choice: Choice) -> Attempt | None:
        """The attempt with its secret; None when that cannot be had."""
        live, leaf, state = self._live, choice.target.leaf, choice.state
        credential, started = state.credential, live.clock()
        endpoint = _endpoint(choice.target.endpoint, credential.config)
        circuit = (endpoint.base_url, leaf.model)
        self._chooser.took(choice)
        if live.breakers.wait(circuit) > 0:
            self._skip(choice, "its endpoint is down")
            return None
        running = _Running(started, choice.target, state, circuit)
        state.scheduler.acquire(state)
        if choice.ends_cooldown and self.exchange.surface.operation not in FREE:
            running.probe = state.scheduler.health.begin(state, leaf.model)
        live.breakers.begin(circuit)
        try:
            refused = await self._lease(running, credential) if live.store.shared else None
            if refused is not None:
                self._release(running)
                if running.probe is not None:
                    state.scheduler.health.defer(state, running.probe)
                self._skip(choice, refused)
                self._pause = FULL_PAUSE
                return None
            token = credential.source.current() or await credential.source.token()
        except CredentialError as e:
            self._release(running)
            self._without_token(choice, e, started)
            return None
        except BaseException:
            self._release(running)
            raise
        self._count += 1
        running.secret, running.oauth = token.secret, token.oauth
        self._running[self._count] = running
        live.charge(f"credential:{credential.id}", requests=1)
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
            drop_state=self._chooser.moves(credential.id),
            reason=choice.reason,
            started=started,
        )

    async def _lease(self, running: _Running, credential: Credential) -> str | None:
        """Takes the places that the attempt needs among all processes; the reason where there is none."""
        lease, limit, probe = self._live.store.lease, credential.config.concurrency, running.probe
        if limit is not None:
            place = await lease(credential.id, limit)
            if place is False:
                return "at its concurrency limit elsewhere"
            running.leases.append(place)
        if probe is not None:
            kind = "early" if probe.early else "probe"
            place = await lease(f"{kind}:{credential.id}:{orjson.dumps(probe.key).decode()}", 1, probe.life)
            if place is False:
                return "another Detour tests whether its cooldown can end"
            running.leases.append(place)
            running.test = place if probe.early else None
        return None

    def _without_token(self, choice: Choice, error: CredentialError, started: float) -> None:
        credential_id = choice.state.credential.id
        self._token_errors.append(f"{credential_id}: {error}")
        self._skip(choice, str(error))
        self._chooser.spent.add(choice.key)
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
        shortest = self._chooser.wait()
        if budget <= 0 or shortest > budget:
            return False
        jitter = live.random() * min(shortest / 4, 2.0)
        before = live.clock()
        await live.pause(max(self._pause, min(shortest + jitter, budget)))
        self.waited += max(live.clock() - before, MIN_PAUSE)
        self._pause = MIN_PAUSE
        self._chooser.new_round()
        return True

    def _refusal(self) -> Refusal:
        """Why no attempt could be made though there are targets."""
        exchange, held = self.exchange, self._chooser.held()
        unready = self._chooser.unready(3)
        if exchange.websocket and self._chooser.serves_http():
            message = "The credentials that take WebSockets are cooling; use HTTP."
            return Refusal(Code.UNSUPPORTED, message, status=UPGRADE_REQUIRED)
        wait = self._chooser.wait(last_resort=True)
        if wait == math.inf and self._budget_ends < math.inf:
            spent = "; ".join(f"{s.name}: {s.reason}" for s in self.skipped[:3])
            left = max(1.0, math.ceil(self._budget_ends - self._live.wall()))
            return Refusal(Code.BUDGET_EXCEEDED, f"The budget is used up: {spent}.", retry_after=left)
        if wait == math.inf and self._inexpressible and not self._token_errors:
            # A client that asks the same again would hear the same.
            return Refusal(Code.UNSUPPORTED, "; ".join(dict.fromkeys(self._inexpressible[:3])))
        if wait == math.inf or len(self._token_errors) >= self._chooser.count():
            reasons = self._token_errors or [f"{s.name}: {s.reason}" for s in (*self.skipped, *unready)]
            return Refusal(
                Code.NO_CREDENTIAL, f"No credential can be used: {'; '.join(reasons[:3]) or 'none is left'}."
            )
        seconds = max(1.0, math.ceil(wait))
        who = (
            f"The credential {held}, which holds this conversation's state, is"
            if held
            else "All credentials are"
        )
        details = "; ".join(f"{s.name}: {s.reason}" for s in unready)
        return Refusal(
            Code.ALL_COOLING,
            f"{who} cooling for {exchange.model or 'this request'}; try again in {describe(seconds)}"
            + (f" ({details})." if details else "."),
            retry_after=seconds,
        )

    # -- outcomes

    def answered(self, attempt: Attempt, headers: Headers | None = None, status: int = 200) -> None:
        """The answer has begun, with `status`. A good one ends a probe now, so that others need not wait."""
        running = self._running.get(attempt.number)
        if running is None or running.answered or running.state is None:
            return
        if headers is not None:
            self._observe(running.state, attempt, headers)
        if status < 400:
            running.answered = True
            self._succeeded(running)

    def _observe(self, state: CredentialState, attempt: Attempt, headers: Headers) -> None:
        self._live.observe(state, headers, attempt.model, free=self.exchange.surface.operation in FREE)

    def learn(self, attempt: Attempt, message: Message) -> None:
        """What a message of a WebSocket session says while the session goes on."""
        running = self._running.get(attempt.number)
        if running is None or running.state is None:
            return
        if message.windows:
            self._live.adopt_windows(running.state, message.windows)
        if message.response_id is not None:
            names = answer_names([], message.response_id)
            binding = Binding(running.state.credential.id, attempt.provider.name, attempt.model)
            self._live.affinity.bind(names, self.exchange.model, binding)
        if message.outcome is not None and message.outcome.phase == "done":
            self.answered(attempt)

    async def report(self, attempt: Attempt, outcome: Outcome) -> Verdict:
        """How `attempt` ended. Once for each; what comes later gets the first verdict."""
        running = self._running.pop(attempt.number, None)
        if running is None:
            known = self._verdicts.get(attempt.number)
            return known[0] if known else Verdict(FailureKind.CANCELLED, False, None, "not under way")
        try:
            return await self._judge(attempt, running, outcome)
        finally:
            self._release(running)

    async def _judge(self, attempt: Attempt, running: _Running, outcome: Outcome) -> Verdict:
        live, exchange, state = self._live, self.exchange, running.state
        assert state is not None
        failure = classify(
            outcome,
            provider=attempt.provider.name,
            oauth=running.oauth,
            operation=exchange.surface.operation,
            now=live.wall(),
            rows=live.rows,
        )
        if exchange.websocket and outcome.phase == "headers" and handshake_refused(outcome.status):
            failure = Failure(FailureKind.NOT_FOUND, f"{outcome.status}: no WebSockets here", transport=True)
            self._no_websockets = True
        retry = (
            failure.kind in RETRIED
            and outcome.phase not in ("body", "done")
            and self._count < self._limit
            and self._repeatable(outcome)
        )
        self._observe(state, attempt, outcome.headers)
        until = None
        if failure.kind is FailureKind.AUTH and retry and await self._renew(state, running):
            failure = replace(failure, reason=f"{failure.reason}; its token was refreshed")
        else:
            until = self._record(running, attempt, failure)
            if retry and not failure.cools:
                self._chooser.spent.add((attempt.provider.name, attempt.model, state.credential.id))
        self._charge(attempt, state)
        if failure.kind is FailureKind.SUCCESS:
            names = [*self._names, *answer_names(outcome.headers, outcome.response_id)]
            live.affinity.bind(
                names, exchange.model, Binding(state.credential.id, attempt.provider.name, attempt.model)
            )
        verdict = Verdict(failure.kind, retry, until, failure.reason)
        self._verdicts[attempt.number] = (verdict, failure)
        return verdict

    def _repeatable(self, outcome: Outcome) -> bool:
        """Whether the request may be sent once more. One that is not interpreted may have made something."""
        if self.exchange.surface.operation is not Operation.PASSTHROUGH:
            return True
        if self.exchange.request.method in ("GET", "HEAD", "OPTIONS"):
            return True
        return outcome.phase == "connect" or (outcome.status is not None and outcome.status < 500)

    def _charge(self, attempt: Attempt, state: CredentialState) -> None:
        usage = attempt.usage or self.exchange.usage
        tokens = (usage.prompt or 0) + (usage.output or 0)
        self._live.charge(f"credential:{state.credential.id}", tokens=tokens)
        if self.exchange.client.name:
            self._live.charge(f"client:{self.exchange.client.name}", tokens=tokens)

    async def _renew(self, state: CredentialState, running: _Running) -> bool:
        """Whether another token was found for a credential whose token was refused; once per request."""
        credential = state.credential
        if credential.id in self._refreshed:
            return False
        self._refreshed.add(credential.id)
        try:
            renewed = await credential.source.rejected(running.secret)
        except CredentialError as e:
            self._token_errors.append(f"{credential.id}: {e}")
            return False
        if renewed:
            leaf = running.target.leaf
            self._chooser.tried.discard((leaf.provider.name, leaf.model, credential.id))
            self._renewed = credential.id
        return renewed

    def _succeeded(self, running: _Running) -> None:
        assert running.state is not None
        if running.circuit is not None:
            self._live.breakers.success(running.circuit, running.started)
            running.circuit = None
        if self.exchange.surface.operation not in FREE:
            running.state.scheduler.health.succeed(running.state, running.target.leaf.model, running.started)
            self._live.wake()

    def _record(self, running: _Running, attempt: Attempt, failure: Failure) -> float | None:
        assert running.state is not None
        state = running.state
        if failure.kind is FailureKind.SUCCESS:
            self._succeeded(running)
            return None
        if running.circuit is not None:
            self._tell_breaker(running.circuit, running, failure)
            running.circuit = None
        if failure.cools and running.test in running.leases:
            # Nobody else needs to find out the same for a while.
            running.leases.remove(running.test)
        if failure.kind in RETRIED:
            # A WebSocket session learns its model from its messages.
            health, tests = state.scheduler.health, running.probe is not None
            return health.fail(state, attempt.model, failure, running.started, tests=tests)
        return None

    def _tell_breaker(self, circuit: Circuit, running: _Running, failure: Failure) -> None:
        assert running.state
        breakers = self._live.breakers
        own_road = failure.transport and running.state.credential.config.proxy is not None
        if failure.kind is FailureKind.CANCELLED or own_road:
            breakers.release(circuit, running.started)
        elif (failure.transport and failure.kind is FailureKind.TRANSIENT) or (failure.status or 0) >= 500:
            breakers.failure(circuit, running.started)
        else:
            # It answered, so it is up.
            breakers.success(circuit, running.started)

    def _release(self, running: _Running) -> None:
        state, running.state = running.state, None
        if state is None:
            return
        if running.probe is not None:
            state.scheduler.health.release(state, running.target.leaf.model, running.started)
        if running.circuit is not None:
            self._live.breakers.release(running.circuit, running.started)
        state.scheduler.release(state)
        for lease in running.leases:
            if lease:
                self._live.store.give_back(lease)
        running.leases.clear()
        self._live.wake()

    def pass_over(self, attempt: Attempt, reason: str) -> None:
        """`attempt` was never sent: the request cannot be expressed for its target, which is left out."""
        running = self._running.pop(attempt.number, None)
        if running is None:
            return
        self._count -= 1
        self._chooser.pass_over(running.target.leaf)
        self._inexpressible.append(reason)
        self.skipped.append(Skipped(running.target.name, reason))
        self._release(running)

    def close(self) -> None:
        """Gives back whatever attempts without a report still hold."""
        for number in list(self._running):
            self._release(self._running.pop(number))

    def best_answer(self, attempts: list[Attempt] | None = None) -> Attempt | None:
        """The failed attempt whose answer tells the client most; None when none of them got an answer.

        First what the request itself did wrong, then limits (a known end before an unknown one, the
        nearest first), then full and refusing accounts, and servers' troubles last.
        """
        ranked = []
        for attempt in self.exchange.attempts if attempts is None else attempts:
            known = self._verdicts.get(attempt.number)
            if known is None or known[1].status is None or known[1].transport:
                continue
            verdict, failure = known
            stated = failure.reset.until if failure.reset else math.inf
            ranked.append((_USEFULNESS.index(verdict.kind), stated, attempt.number, attempt))
        return min(ranked, key=lambda r: r[:3])[3] if ranked else None


_USEFULNESS: Final = (
    FailureKind.SUCCESS,
    FailureKind.CLIENT_FAULT,
    FailureKind.REQUEST_MISS,
    FailureKind.RATE_LIMIT,
    FailureKind.CAPACITY,
    FailureKind.PAYMENT,
    FailureKind.AUTH,
    FailureKind.MODEL_UNSUPPORTED,
    FailureKind.NOT_FOUND,
    FailureKind.TRANSIENT,
    FailureKind.CHALLENGE,
    FailureKind.CANCELLED,
)


def _endpoint(endpoint: Endpoint, config: CredentialConfig) -> Endpoint:
    """`endpoint` under the credential's own base URL, where it has one."""
    if config.base_url is None:
        return endpoint
    return replace(endpoint, base_url=config.base_url.rstrip("/") + endpoint.path)


def _proxy(default: str | None, credential: Credential) -> str | None:
    """The outbound proxy of `credential`; None for none."""
    configured = credential.config.proxy
    if configured is None:
        return default
    return None if configured in ("direct", "none") else configured
