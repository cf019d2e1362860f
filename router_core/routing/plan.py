"""The attempts of one request, taken one at a time.

A plan walks its targets in the order of their strategy and takes, for each attempt, the first credential
that may serve: in each target's highest priority tier one that is ready, else one that is due for a probe.
Each credential has one turn in a round. When all that remain are cooling and the first will be ready
within ``max_wait``, the plan waits and begins another round.

What a plan holds (a place under a concurrency limit, a probe) it gives back in `report`, which has to
follow every attempt, or in `close`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from router_core.config.schema import CredentialConfig
from router_core.credentials.model import Credential, CredentialError, Token
from router_core.errors import Refusal
from router_core.exchange import Attempt, Exchange, Headers, Outcome
from router_core.formats import Operation
from router_core.providers.model import Endpoint
from router_core.routing.affinity import Binding, SessionName, answer_names
from router_core.routing.breaker import Circuit
from router_core.routing.continuity import Carried, carried
from router_core.routing.failure_table import FailureKind
from router_core.routing.failures import RETRIED, Failure, classify
from router_core.routing.health import CredentialState
from router_core.routing.names import Branch, Leaf, Tree, leaves
from router_core.routing.scheduler import Scheduler, bits

if TYPE_CHECKING:
    from router_core.routing.router import Router

FREE: Final = frozenset({Operation.COUNT_TOKENS, Operation.LIST_MODELS, Operation.PASSTHROUGH})
"""Operations that cost nothing: a limit on a model's generation does not hold them up."""


MIN_PAUSE: Final = 0.05
"""Seconds between two rounds at least."""


@dataclass(frozen=True, slots=True)
class Target:
    """A leaf that can take the request, and the endpoint that it would take it at."""

    leaf: Leaf
    endpoint: Endpoint

    @property
    def name(self) -> str:
        return self.leaf.name


@dataclass(frozen=True, slots=True)
class Skipped:
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    kind: FailureKind
    retry: bool
    """Whether `Plan.next` may be asked for another attempt."""
    until: float | None
    """Until when the credential rests (seconds since the epoch), or None."""
    reason: str


@dataclass(slots=True)
class _Running:
    """An attempt without its report. Without a target it is the client's own request to its own host."""

    started: float
    target: Target | None = None
    state: CredentialState | None = None
    circuit: Circuit | None = None
    """Until the breaker has heard how it went."""
    secret: str = field(default="", repr=False)
    oauth: bool = False
    lease: object | None = None
    answered: bool = False


@dataclass(frozen=True, slots=True)
class _Choice:
    target: Target
    state: CredentialState
    reason: str


class Plan:
    """Made by `Router.plan`."""

    def __init__(
        self,
        router: Router,
        exchange: Exchange,
        tree: Tree | None,
        targets: dict[int, Target],
        skipped: list[Skipped],
        names: list[SessionName],
        binding: Binding | None,
    ):
        self.exchange = exchange
        self.skipped = skipped
        """What was passed over, and why; grows while attempts are taken."""
        self.waited = 0.0
        """Seconds spent waiting for credentials."""
        self._router, self._tree, self._by_leaf = router, tree, targets
        self._names, self._binding = names, binding
        self._limit = router.config.routing.max_attempts
        self._count = 0
        self._turn_taken = False
        self._tried: set[tuple[str, str | None, str]] = set()
        self._spent: set[tuple[str, str | None, str]] = set()
        self._passed: set[int] = set()
        self._running: dict[int, _Running] = {}
        self._verdicts: dict[int, tuple[Verdict, Failure]] = {}
        self._failed_tokens: list[str] = []
        self._refreshed: set[str] = set()
        self._renewed_id: str | None = None
        self._carried: Carried | None = None

    # -- what may be tried

    @property
    def targets(self) -> list[Target]:
        """What would be tried, in the order of now; taking an attempt may change it."""
        return list(self._ordered())

    def preview(self) -> list[tuple[Target, str | None, str]]:
        """(target, credential id, why) in order, without taking a turn; for `detour explain`."""
        found: list[tuple[Target, str | None, str]] = []
        for target in self._ordered():
            scheduler = self._router.schedulers.get(target.leaf.provider.name)
            if scheduler is None:
                found.append((target, None, "no active credential"))
                continue
            members = self._members(target, scheduler)
            ready = scheduler.ready(target.leaf.model, members)
            state = self._bound(target, scheduler, ready) or scheduler.peek(target.leaf.model, ready)
            if state is not None:
                found.append((target, state.credential.id, self._reason(state, scheduler)))
            for i in bits(members & ~ready):
                resting = scheduler.states[i]
                found.append((target, resting.credential.id, self._router.why(resting, target.leaf.model)))
        return found

    def _ordered(self) -> Iterator[Target]:
        if self._tree is not None:
            yield from self._walk(self._tree)

    def _walk(self, tree: Tree) -> Iterator[Target]:
        if isinstance(tree, Leaf):
            target = self._by_leaf.get(id(tree))
            if target is not None and id(tree) not in self._passed:
                yield target
            return
        for tier, children in tree.tiers():
            usable = [c for c in children if any(id(leaf) in self._by_leaf for leaf in leaves(c))]
            if tree.strategy != "fallback" and len(usable) > 1:
                usable = self._router.rotation.order(tree, tier, usable, self._standing, self._binding)
            for child in usable:
                yield from self._walk(child)

    def _standing(self, tree: Tree) -> tuple[int, int] | None:
        """(highest priority with a ready credential, how many are ready there), or None."""
        best: tuple[int, int] | None = None
        for target in self._walk(tree):
            scheduler = self._router.schedulers.get(target.leaf.provider.name)
            if scheduler is None:
                continue
            ready = scheduler.ready(target.leaf.model, self._members(target, scheduler))
            tier = scheduler.top(ready)
            if tier is None:
                continue
            count = (ready & tier.mask).bit_count()
            if isinstance(tree, Branch) and tree.strategy == "fallback":
                return tier.priority, count
            if best is None or tier.priority > best[0]:
                best = (tier.priority, count)
            elif tier.priority == best[0]:
                best = (best[0], best[1] + count)
        return best

    def _members(self, target: Target, scheduler: Scheduler) -> int:
        """The credentials of `target` that this plan may still use in this round."""
        mask = scheduler.members(target.leaf.model, target.leaf.prefix)
        if self.exchange.websocket:
            mask &= scheduler.websocket(target.endpoint.websocket)
        for provider, model, credential_id in self._tried:
            if provider == target.leaf.provider.name and model == target.leaf.model:
                place = scheduler.place.get(credential_id)
                if place is not None:
                    mask &= ~(1 << place)
        if self._router.breakers.wait((target.endpoint.base_url, target.leaf.model)) > 0:
            mask &= scheduler.own_base
        return mask

    # -- attempts

    async def next(self) -> Attempt | Refusal | None:
        """The next attempt; None when nothing is left; a Refusal when nothing could be tried at all.

        May wait up to ``max_wait`` in all. Cancelling it gives back what it held.
        """
        if self._tree is None:
            return self._passthrough()
        while self._count < self._limit:
            choice = self._pick()
            if choice is not None:
                attempt = await self._prepare(choice)
                if attempt is not None:
                    return attempt
                continue
            if not await self._wait():
                break
        return None if self._count else self._refusal()

    def _passthrough(self) -> Attempt | None:
        """The client's own request to its own host."""
        if self._count:
            return None
        self._count = 1
        surface = self.exchange.surface
        assert surface.provider is not None and surface.endpoint is not None
        self._running[1] = _Running(self._router.clock())
        return Attempt(
            number=1,
            provider=surface.provider,
            endpoint=surface.endpoint,
            model=self.exchange.model,
            credential_id=None,
            reason="no credential is configured: the client's own",
            started=self._router.clock(),
        )

    def _pick(self) -> _Choice | None:
        """The target and credential of the next attempt."""
        renewed, self._renewed_id = self._renewed_id, None
        found = self._find(renewed, None)
        binding = self._binding
        if binding is None or (found is not None and found.state.credential.id == binding.credential_id):
            return found
        # Looking into the request is only worth its time when the conversation would move.
        held = self._held()
        return found if held is None else self._find(renewed, held)

    def _find(self, renewed: str | None, held: str | None) -> _Choice | None:
        """By decreasing claim; `renewed` has a fresh token, `held` is the only one that may serve."""
        for target, scheduler in self._reachable():
            model, members = target.leaf.model, self._members(target, scheduler) & scheduler.only(held)
            if not members:
                continue
            if renewed is not None and members & scheduler.only(renewed):
                return _Choice(target, scheduler.states[scheduler.place[renewed]], "its token was refreshed")
            ready = scheduler.ready(model, members)
            # One that cools is not probed while another of its tier is ready.
            higher = members & ~scheduler.full & (scheduler.above(ready) if ready else members)
            probe = scheduler.health.probe(model, higher) if higher else None
            if probe is not None:
                return _Choice(target, probe, "tests whether its cooldown can end")
            if ready:
                state = self._bound(target, scheduler, ready) or scheduler.pick(model, ready)
                assert state is not None
                return _Choice(target, state, self._reason(state, scheduler))
        return self._last_resort(held)

    def _last_resort(self, held: str | None) -> _Choice | None:
        """Nothing is ready: what costs nothing goes on, and servers that failed moments ago may be tested."""
        for target, scheduler in self._reachable():
            members = self._members(target, scheduler) & scheduler.only(held) & ~scheduler.full
            if self.exchange.surface.operation in FREE:
                members &= ~scheduler.health.refused()
                state = scheduler.pick(target.leaf.model, members)
                if state is not None:
                    return _Choice(target, state, "it costs nothing, so a cooldown does not hold it up")
            probe = scheduler.health.probe(target.leaf.model, members, last_resort=True)
            if probe is not None:
                return _Choice(target, probe, "nothing else is ready: tests whether its cooldown can end")
        return None

    def _reachable(self) -> Iterator[tuple[Target, Scheduler]]:
        for target in self._ordered():
            scheduler = self._router.schedulers.get(target.leaf.provider.name)
            if scheduler is not None:
                yield target, scheduler

    def _bound(self, target: Target, scheduler: Scheduler, ready: int) -> CredentialState | None:
        """The credential that the conversation is on, when it is in the tier that serves now."""
        binding = self._binding
        if binding is None or binding.provider != target.leaf.provider.name:
            return None
        tier = scheduler.top(ready)
        if tier is None or not ready & tier.mask & scheduler.only(binding.credential_id):
            return None
        return scheduler.states[scheduler.place[binding.credential_id]]

    def _held(self) -> str | None:
        """The only credential that may serve: the request carries state that nobody else can read."""
        binding = self._binding
        if binding is None or binding.credential_id not in self._router.credentials:
            return None
        state = self._state()
        if state.fixed:
            return binding.credential_id
        # Leaving in the middle of a turn costs its thinking: only a failure is worth that.
        if state.kinds and state.open_turn and self._serves_now(binding):
            return binding.credential_id
        return None

    def _state(self) -> Carried:
        if self._carried is None:
            self._carried = carried(self.exchange.document, self.exchange.surface.format)
        return self._carried

    def _serves_now(self, binding: Binding) -> bool:
        return any(
            target.leaf.provider.name == binding.provider
            and scheduler.ready(target.leaf.model, self._members(target, scheduler))
            & scheduler.only(binding.credential_id)
            for target, scheduler in self._reachable()
        )

    def _reason(self, state: CredentialState, scheduler: Scheduler) -> str:
        if self._binding is not None and self._binding.credential_id == state.credential.id:
            return "the conversation is on it"
        return f"priority {state.credential.config.priority}, {scheduler.strategy}"

    async def _prepare(self, choice: _Choice) -> Attempt | None:
        """The attempt with its secret; None when that cannot be had."""
        router, leaf, state = self._router, choice.target.leaf, choice.state
        credential, started = state.credential, router.clock()
        endpoint = _endpoint(choice.target.endpoint, credential.config)
        circuit = (endpoint.base_url, leaf.model)
        key = (leaf.provider.name, leaf.model, credential.id)
        if not self._turn_taken and self._tree is not None:
            router.rotation.took(self._tree, leaf, self._standing, self._binding)
            self._turn_taken = True
        self._tried.add(key)
        if router.breakers.wait(circuit) > 0:
            self._skip(key, "its endpoint is down")
            return None
        running = _Running(started, choice.target, state, circuit)
        state.scheduler.acquire(state)
        state.scheduler.health.begin(state, leaf.model)
        router.breakers.begin(circuit)
        try:
            running.lease = await router.lease(credential)
            if running.lease is False:
                self._release(running)
                self._skip(key, "at its concurrency limit elsewhere")
                return None
            token = credential.source.current() or await credential.source.token()
        except CredentialError as e:
            self._release(running)
            self._failed_tokens.append(f"{credential.id}: {e}")
            cooldown, backoff = (1800.0, 0.0) if e.permanent else (0.0, 5.0)
            failure = Failure(
                FailureKind.AUTH, str(e), scope="credential", cooldown=cooldown, backoff=backoff
            )
            state.scheduler.health.fail(state, leaf.model, failure, started)
            self._skip(key, str(e))
            return None
        except BaseException:
            self._release(running)
            raise
        self._count += 1
        running.secret, running.oauth = token.secret, token.oauth
        self._running[self._count] = running
        router.charge_request(credential)
        return Attempt(
            number=self._count,
            provider=leaf.provider,
            endpoint=endpoint,
            model=leaf.model,
            credential_id=credential.id,
            auth=auth_headers(leaf, token),
            headers={**credential.config.headers, **router.token_headers(leaf.provider.name, token)},
            proxy=router.proxy(credential),
            effort=leaf.effort,
            reason=choice.reason,
            started=started,
            drop_state=self._dropped(credential),
        )

    def _skip(self, key: tuple[str, str | None, str], reason: str) -> None:
        self.skipped.append(Skipped(f"{key[0]}/{key[1]} [{key[2]}]", reason))

    def _dropped(self, credential: Credential) -> bool:
        """Whether the conversation moves here from an account that made state which it carries."""
        binding = self._binding
        return binding is not None and binding.credential_id != credential.id and bool(self._state().kinds)

    async def _wait(self) -> bool:
        """Waits until a credential may be ready and begins another round; False when that is too far off."""
        router = self._router
        budget = router.config.routing.max_wait - self.waited
        shortest = self._shortest_wait()
        if shortest > budget:
            return False
        jitter = router.random() * min(shortest / 4, 2.0)
        before = router.clock()
        await router.pause(max(MIN_PAUSE, min(shortest + jitter, budget)))
        self.waited += max(router.clock() - before, 0.001)
        self._tried = set(self._spent)
        return True

    def _shortest_wait(self) -> float:
        """Seconds until one of the targets may be ready for another round; inf for never."""
        tried, self._tried = self._tried, set(self._spent)
        shortest, held = math.inf, self._held()
        for target, scheduler in self._reachable():
            model, only = target.leaf.model, scheduler.only(held)
            members = self._members(target, scheduler) & only
            if not members:
                everyone = scheduler.members(model, target.leaf.prefix) & only
                opens = self._router.breakers.wait((target.endpoint.base_url, model)) if everyone else 0.0
                shortest = min(shortest, opens or math.inf, 1.0 if opens == math.inf else math.inf)
                continue
            # A place under a concurrency limit may come free at any time, of which pausing plans are told.
            full = members & scheduler.full & ~scheduler.health.blocked(model)
            shortest = min(shortest, 1.0 if full else scheduler.health.wait(model, members))
        self._tried = tried
        return shortest

    def _refusal(self) -> Refusal:
        return self._router.refusal(
            self.exchange, self.skipped, self._shortest_wait(), self._failed_tokens, self._held()
        )

    # -- outcomes

    def answered(self, attempt: Attempt, headers: Headers | None = None) -> None:
        """Content has begun: the credential works. Ends a probe early, so that others need not wait for it."""
        running = self._running.get(attempt.number)
        if running is None or running.answered or running.state is None:
            return
        running.answered = True
        self._succeeded(running)
        if headers is not None:
            self._router.observe(running.state, headers)

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
        router, exchange = self._router, self.exchange
        failure = classify(
            outcome,
            provider=attempt.provider.name,
            oauth=running.oauth,
            operation=exchange.surface.operation,
            now=router.wall(),
            rows=router.rows,
        )
        begun = outcome.phase in ("body", "done")
        retry = failure.kind in RETRIED and not begun and self._count < self._limit
        until = None
        state = running.state
        if state is None or running.target is None:
            retry = False
        else:
            router.observe(state, outcome.headers)
            model = running.target.leaf.model
            if failure.kind is FailureKind.AUTH and retry and await self._renewed(state, running):
                failure = replace(failure, reason=f"{failure.reason}; its token was refreshed")
                state.scheduler.health.release(state, model, running.started)
            else:
                until = self._record(running, failure)
                if not failure.cools and retry:
                    self._spent.add((attempt.provider.name, model, state.credential.id))
            router.charge_tokens(exchange, attempt, state.credential)
            if failure.kind is FailureKind.SUCCESS:
                names = [*self._names, *answer_names(outcome.headers, outcome.response_id)]
                binding = Binding(state.credential.id, attempt.provider.name, model)
                router.affinity.bind(names, exchange.model, binding)
        verdict = Verdict(failure.kind, retry, until, failure.reason)
        self._verdicts[attempt.number] = (verdict, failure)
        return verdict

    async def _renewed(self, state: CredentialState, running: _Running) -> bool:
        """Whether another token was found for a credential whose token was refused; once per request."""
        credential = state.credential
        if credential.id in self._refreshed:
            return False
        self._refreshed.add(credential.id)
        try:
            renewed = await credential.source.rejected(running.secret)
        except CredentialError as e:
            self._failed_tokens.append(f"{credential.id}: {e}")
            return False
        if renewed and running.target is not None:
            leaf = running.target.leaf
            self._tried.discard((leaf.provider.name, leaf.model, credential.id))
            self._renewed_id = credential.id
        return renewed

    def _succeeded(self, running: _Running) -> None:
        assert running.state and running.target
        if running.circuit is not None:
            self._router.breakers.success(running.circuit, running.started)
            running.circuit = None
        if self.exchange.surface.operation not in FREE:
            running.state.scheduler.health.succeed(running.state, running.target.leaf.model, running.started)
            self._router.wake()

    def _record(self, running: _Running, failure: Failure) -> float | None:
        assert running.state and running.target
        state, model = running.state, running.target.leaf.model
        if failure.kind is FailureKind.SUCCESS:
            self._succeeded(running)
            return None
        if running.circuit is not None:
            self._tell_breaker(running.circuit, running, failure)
            running.circuit = None
        if failure.kind in RETRIED:
            return state.scheduler.health.fail(state, model, failure, running.started)
        return None

    def _tell_breaker(self, circuit: Circuit, running: _Running, failure: Failure) -> None:
        assert running.state
        breakers = self._router.breakers
        own_road = failure.transport and running.state.credential.config.proxy is not None
        if failure.kind is FailureKind.CANCELLED or own_road:
            breakers.release(circuit, running.started)
        elif failure.transport or (failure.status or 0) >= 500:
            breakers.failure(circuit, running.started)
        else:
            # It answered, so it is up.
            breakers.success(circuit, running.started)

    def _release(self, running: _Running) -> None:
        state, running.state = running.state, None
        if state is None or running.target is None:
            return
        state.scheduler.health.release(state, running.target.leaf.model, running.started)
        if running.circuit is not None:
            self._router.breakers.release(running.circuit, running.started)
        state.scheduler.release(state)
        self._router.give_back(running.lease)
        self._router.wake()

    def pass_over(self, attempt: Attempt, reason: str) -> None:
        """`attempt` was never sent: the request cannot be expressed for its target, which is left out."""
        running = self._running.pop(attempt.number, None)
        if running is None:
            return
        self._count -= 1
        if running.target is not None:
            self._passed.add(id(running.target.leaf))
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


def auth_headers(leaf: Leaf, token: Token) -> Headers:
    """The headers that carry `token` to the leaf's provider."""
    carriers = leaf.provider.oauth if token.oauth else leaf.provider.auth
    return [*((h.header, h.value(token.secret)) for h in carriers), *token.headers]


def _endpoint(endpoint: Endpoint, config: CredentialConfig) -> Endpoint:
    if config.base_url is None:
        return endpoint
    return replace(endpoint, base_url=config.base_url.rstrip("/") + endpoint.path)
