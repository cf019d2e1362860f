"""Budgets keep targets from being chosen."""

from __future__ import annotations

from dataclasses import dataclass, field

from router_core.errors import Code, Refusal
from router_core.exchange import Attempt
from router_core.usage.budgets import Allowed, Decision, PassOver, Refuse
from tests.router_core.routing.build import ANTHROPIC, EPOCH, World, attempt, credential


@dataclass
class Budgets:
    """Decides by credential or client."""

    decisions: dict[str, Decision] = field(default_factory=dict)
    asked: list[tuple[str | None, str | None, str | None]] = field(default_factory=list)

    def check(self, client: str | None, credential: str | None, model: str | None) -> Decision:
        self.asked.append((client, credential, model))
        return self.decisions.get(credential or "") or self.decisions.get(client or "") or Allowed()


def world(budgets: Budgets) -> World:
    w = World(credential("a", priority=1), credential("b"), routing={"max_wait": 0})
    w.router.live.budgets = lambda: budgets
    return w


async def test_each_choice_is_asked_for() -> None:
    budgets = Budgets()
    await world(budgets).ask("claude-a", client="laptop")
    assert budgets.asked == [("laptop", "a", "claude-a")]


async def test_what_is_over_its_budget_is_passed_over() -> None:
    budgets = Budgets({"a": PassOver("5 of 5 dollars are used", EPOCH + 3600)})
    w = world(budgets)
    plan = w.plan()
    assert (await attempt(plan)).credential_id == "b"
    assert [(s.name, s.reason) for s in plan.skipped] == [
        ("anthropic/claude-a [a]", "5 of 5 dollars are used")
    ]


async def test_when_nothing_is_left_the_end_is_named() -> None:
    w = world(Budgets({"laptop": PassOver("the day's tokens are used", EPOCH + 3600)}))
    refused = await w.plan(client="laptop").next()
    assert isinstance(refused, Refusal)
    assert (refused.code, refused.status, refused.retry_after) == (Code.BUDGET_EXCEEDED, 429, 3600)
    assert "the day's tokens are used" in refused.message
    assert await w.ask("claude-a", client="desktop") == ["a"]


async def test_a_refusal_is_final_whoever_else_could_serve() -> None:
    budgets = Budgets({"a": Refuse("the credential's day is used", EPOCH + 3600)})
    refused = await world(budgets).plan().next()
    assert isinstance(refused, Refusal)
    assert (refused.code, refused.retry_after) == (Code.BUDGET_EXCEEDED, 3600)
    budgets.decisions = {"b": budgets.decisions["a"]}
    plan = world(budgets).plan()
    await attempt(plan)
    # What the upstream said to the first attempt tells the client more.
    assert await plan.next() is None


async def test_warnings_let_it_pass() -> None:
    w = world(Budgets({"a": Allowed(("nearly used",))}))
    assert await w.ask() == ["a"]


async def test_a_clients_own_credential_is_asked_for_too() -> None:
    w = World()
    w.router.live.budgets = lambda: Budgets({"laptop": PassOver("the day's tokens are used", EPOCH + 3600)})
    refused = await w.passthrough(surface=ANTHROPIC, via="proxy", client="laptop").next()
    assert isinstance(refused, Refusal)
    assert (refused.code, refused.retry_after) == (Code.BUDGET_EXCEEDED, 3600)
    taken = await w.passthrough(surface=ANTHROPIC, via="proxy", client="desktop").next()
    assert isinstance(taken, Attempt)
