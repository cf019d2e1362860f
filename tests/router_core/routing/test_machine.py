"""Whatever happens in whatever order: what must hold of tiers, turns, cooldowns and reloads.

Credentials in two tiers, requests that overlap, outcomes of every kind, time that passes, reloads that take
credentials away and bring them back, and copies of earlier state that somebody else still believes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Coroutine
from typing import Any

from hypothesis import settings, strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
)

from router_core.errors import Refusal
from router_core.exchange import Attempt, Outcome
from router_core.formats import Operation
from router_core.routing.plan import Plan
from tests.router_core.routing.build import World, answer, broken, credential, limited, ok

MODELS = ("claude-a", "claude-b")
OUTCOMES = {
    "ok": ok(),
    "ok, and the last one": ok(
        [
            ("x-ratelimit-limit-requests", "9"),
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "40s"),
        ]
    ),
    "gone": Outcome("headers", cancelled=True),
    "bad request": answer(400),
    "limited": limited(),
    "limited for a minute": limited(60),
    "limited for a day": limited(86_400),
    "usage limit": answer(429, {"error": {"type": "usage_limit_reached", "resets_in_seconds": 900}}),
    "unauthorised": answer(401),
    "missing": answer(404),
    "down": answer(503),
    "overloaded": answer(529),
    "refused": broken(),
    "cut": Outcome("body", 200, error="connection reset"),
}


def run[T](coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never has to wait."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


class Routing(RuleBasedStateMachine):
    running = Bundle("running")
    copies = Bundle("copies")
    strategy = "round_robin"

    @initialize(high=st.integers(1, 3), low=st.integers(1, 3))
    def begin(self, high: int, low: int) -> None:
        self.known = {f"high{i}": credential(f"high{i}", priority=5) for i in range(high)}
        self.known |= {f"low{i}": credential(f"low{i}", weight=1 + i) for i in range(low)}
        self.active = set(self.known)
        # The breaker is another machine; it would only hide this one.
        routing = {
            "strategy": self.strategy,
            "max_wait": 0,
            "breaker": {"failures": 10_000},
            "max_attempts": 20,
        }
        self.world = World(*self.known.values(), routing=routing)
        self.open: Counter[int] = Counter()

    def ready(self, model: str) -> set[str]:
        """By the words that people read, not by the sets that the scheduler works with."""
        now = self.world.time.wall()
        found = set()
        for status in self.world.router.status():
            blocking = [status] if status.until else []
            blocking += [m for m in status.models if m.model == model]  # type: ignore[misc]
            if status.state != "inactive" and all(b.until is None or b.until <= now for b in blocking):
                found.add(status.id)
        return found

    def testing(self, model: str) -> set[str]:
        """Those whose time is over and that another request is testing."""
        states = self.world.router.live.credentials
        return {
            id
            for id, state in states.items()
            for key in (None, model)
            if (c := state.cooldowns.get(key)) is not None and c.probing is not None
        }

    def check_choice(
        self, taken: Attempt, model: str, ready: set[str], testing: set[str], tried: set[str]
    ) -> None:
        chosen = taken.credential_id
        assert chosen in self.active
        assert chosen not in tried
        free = ready - testing - tried
        tier = {id for id in free if (id[:4] == "high") == (str(chosen)[:4] == "high")}
        # Never one that cools while another of its tier is ready; a lower tier only when the higher has none.
        assert chosen in free or not tier
        if str(chosen).startswith("low") and chosen in free:
            assert not any(id.startswith("high") for id in free)

    @rule(target=running, model=st.sampled_from(MODELS))
    def request(self, model: str) -> Any:
        plan = self.world.plan(model)
        return self.take(plan, model, set())

    def take(self, plan: Plan, model: str, tried: set[str]) -> Any:
        ready, testing = self.ready(model), self.testing(model)
        taken = run(plan.next())
        if isinstance(taken, Attempt):
            self.check_choice(taken, model, ready, testing, tried)
            state = self.world.router.live.credentials[str(taken.credential_id)]
            self.open[id(state)] += 1
            return plan, taken, model, tried | {str(taken.credential_id)}, state
        assert not ready - testing - tried
        if isinstance(taken, Refusal):
            assert taken.retry_after is not None
            assert taken.retry_after >= 1
        return None

    @rule(target=running, request=consumes(running), outcome=st.sampled_from(sorted(OUTCOMES)))
    def end(self, request: Any, outcome: str) -> Any:
        if request is None:
            return None
        plan, taken, model, tried, state = request
        verdict = run(plan.report(taken, OUTCOMES[outcome]))
        self.open[id(state)] -= 1
        # What begins after something else ended has a later moment.
        self.world.time.pass_(0.001)
        if outcome in ("ok", "ok, and the last one", "gone", "bad request", "cut"):
            assert not verdict.retry
            return None
        assert verdict.retry
        return self.take(plan, model, tried)

    @rule(request=running)
    def content(self, request: Any) -> None:
        if request is not None:
            plan, taken, *_ = request
            plan.answered(taken)

    @rule(seconds=st.sampled_from([0.5, 1, 5, 30, 61, 301, 2000, 90_000]))
    def time(self, seconds: float) -> None:
        self.world.time.pass_(seconds)

    @rule(hours=st.sampled_from([1, 30]))
    def the_wall_clock_is_put_forward(self, hours: int) -> None:
        self.world.time.skew += hours * 3600

    @rule(model=st.sampled_from(MODELS))
    def count_tokens(self, model: str) -> None:
        """What costs nothing is served whatever cools, unless every account itself is refused."""
        before = {id: s.in_flight for id, s in self.world.router.live.credentials.items()}
        tested = {m: self.testing(m) for m in MODELS}
        used = run(self.world.ask(model, operation=Operation.COUNT_TOKENS))
        assert len(used) <= 1
        assert {id: s.in_flight for id, s in self.world.router.live.credentials.items()} == before
        # It begins no test and ends none.
        assert {m: self.testing(m) for m in MODELS} == tested

    @precondition(lambda self: len(self.active) > 1)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        gone = data.draw(st.sampled_from(sorted(self.active)))
        self.active.discard(gone)
        self.world.reload(*(self.known[id] for id in sorted(self.active)))

    @precondition(lambda self: len(self.active) < len(self.known))
    @rule(data=st.data())
    def come_back(self, data: st.DataObject) -> None:
        back = data.draw(st.sampled_from(sorted(set(self.known) - self.active)))
        self.active.add(back)
        self.world.reload(*(self.known[id] for id in sorted(self.active)))
        # Nothing of what it was before comes back with it.
        assert self.world.router.live.credentials[back].cooldowns == {}
        assert self.world.router.live.credentials[back].in_flight == 0

    @rule()
    def reload(self) -> None:
        before = {s.id: (s.state, s.until, s.models) for s in self.world.router.status()}
        self.world.reload(*(self.known[id] for id in sorted(self.active)))
        assert {s.id: (s.state, s.until, s.models) for s in self.world.router.status()} == before

    @rule(data=st.data())
    def reset(self, data: st.DataObject) -> None:
        well = data.draw(st.sampled_from(sorted(self.active)))
        assert self.world.router.reset(well)
        self.world.time.pass_(0.001)
        assert all(well in self.ready(model) for model in MODELS)

    @rule(target=copies)
    def copy(self) -> Any:
        return dict(self.world.router.live.credentials), self.world.router.snapshot()

    @rule(copy=copies)
    def hear_what_was_known_before(self, copy: Any) -> None:
        """Nothing that is over comes back, and nothing that goes on ends sooner."""
        then, changes = copy
        # Of credentials that left meanwhile nobody has heard anything but that they left.
        now = self.world.router.live.credentials
        changes = [c for c in changes if now.get(c.name) is then.get(c.name)]
        before = self.deadlines()
        self.world.router.adopt(changes)
        assert self.deadlines() == before

    def deadlines(self) -> dict[tuple[str, str | None], float]:
        states = self.world.router.live.credentials
        return {(id, key): c.until for id, state in states.items() for key, c in state.cooldowns.items()}

    @rule(model=st.sampled_from(MODELS))
    def turns_are_shared(self, model: str) -> None:
        """Those of the highest tier that are ready serve in turn, whatever the others do meanwhile."""
        ready = self.ready(model) - self.testing(model)
        tier = {id for id in ready if id.startswith("high")} or ready
        used = Counter(id for _ in range(3 * len(tier)) for id in run(self.world.ask(model)))
        # Another one that serves was tested, and is ready now.
        if used and set(used) <= tier and self.ready(model) - self.testing(model) == ready:
            self.check_shares(used, tier)

    @rule(model=st.sampled_from(MODELS))
    def nobody_starves(self, model: str) -> None:
        """When every deadline is over and the upstream is well, all of the highest tier serve in turn."""
        self.world.time.pass_(100_000)
        tier = {id for id in self.active if id.startswith("high")} or self.active
        used = Counter(id for _ in range(6 * len(tier)) for id in run(self.world.ask(model)))
        self.check_shares(used, tier)

    def check_shares(self, used: Counter[str], tier: set[str]) -> None:
        assert set(used) == tier
        assert max(used.values()) - min(used.values()) <= 1

    @invariant()
    def places_are_counted(self) -> None:
        if not hasattr(self, "world"):
            return
        for state in self.world.router.live.credentials.values():
            assert state.in_flight == self.open[id(state)]

    @invariant()
    def sets_agree_with_records(self) -> None:
        if not hasattr(self, "world"):
            return
        now = self.world.time.wall()
        for scheduler in self.world.router.live.schedulers.values():
            for model in MODELS:
                blocked = scheduler.health.readiness.blocked(model)
                for i, state in enumerate(scheduler.states):
                    holding = [c for k in (None, model) if (c := state.cooldowns.get(k))]
                    expected = any(c.until > now or c.probing is not None for c in holding)
                    expected = expected or (model in state.spent and state.spent[model].until > now)
                    assert bool(blocked >> i & 1) is expected


class WeightedRouting(Routing):
    strategy = "weighted"

    def check_shares(self, used: Counter[str], tier: set[str]) -> None:
        assert set(used) == tier
        turns = {id: n / self.known[id].get("weight", 1) for id, n in used.items()}
        assert max(turns.values()) - min(turns.values()) <= 3


class FillFirst(Routing):
    strategy = "fill_first"

    def check_shares(self, used: Counter[str], tier: set[str]) -> None:
        assert len(used) == 1


class LeastBusy(Routing):
    strategy = "least_busy"

    def check_shares(self, used: Counter[str], tier: set[str]) -> None:
        # Who has requests under way is passed over until all have as many.
        busy = {c: s.in_flight for c, s in self.world.router.live.credentials.items() if c in tier}
        assert all(busy[c] == min(busy.values()) for c in used)


SETTINGS = settings(max_examples=15, stateful_step_count=25, deadline=None)
TestRoundRobin = Routing.TestCase
TestWeighted = WeightedRouting.TestCase
TestFillFirst = FillFirst.TestCase
TestLeastBusy = LeastBusy.TestCase
TestRoundRobin.settings = TestWeighted.settings = TestFillFirst.settings = TestLeastBusy.settings = SETTINGS
