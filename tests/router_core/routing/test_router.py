"""Which requests are routed, which pass, which are refused; and what a reload changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from router_core.errors import Code, Refusal
from router_core.exchange import Attempt
from router_core.formats import Format, Operation
from router_core.providers.model import Endpoint
from router_core.routing.plan import Plan
from router_core.state.store import Change
from tests.router_core.routing.build import (
    ANTHROPIC,
    GEMINI,
    World,
    answer,
    attempt,
    broken,
    credential,
    endpoint,
    limited,
    ok,
    provider,
    verdict,
)

# -- without a credential


async def test_a_host_without_a_credential_gets_the_clients_own_request() -> None:
    w = World(credential("o", "openai"))
    plan = w.passthrough("claude-a", surface=ANTHROPIC, via="proxy")
    taken = await plan.next()
    assert isinstance(taken, Attempt)
    assert (taken.credential_id, taken.auth, taken.model) == (None, [], "claude-a")
    assert taken.provider is ANTHROPIC
    found = await plan.report(taken, answer(500))
    assert (found.kind, found.retry) == ("transient", False)
    assert await plan.next() is None
    assert plan.best_answer([taken]) is taken


async def test_its_own_request_is_not_refused_for_a_model_that_nobody_lists() -> None:
    assert await World().passthrough("nonsense", surface=ANTHROPIC, via="proxy").next()


def test_or_it_is_refused() -> None:
    w = World(routing={"unconfigured": "reject"})
    refused = w.refusal("claude-a", surface=ANTHROPIC, via="proxy")
    assert (refused.code, refused.status) == (Code.NO_CREDENTIAL, 503)
    assert "anthropic" in refused.message


def test_a_gateway_path_has_no_host_of_its_own() -> None:
    refused = World().refusal("claude-a", surface=ANTHROPIC)
    assert (refused.code, refused.status) == (Code.NO_CREDENTIAL, 503)


async def test_a_mapped_name_is_routed_from_a_host_without_a_credential() -> None:
    w = World(credential("r", "openrouter"), models={"claude-*": "openrouter/anthropic/claude-*"})
    plan, taken = await w.take("claude-a", surface=ANTHROPIC, via="proxy")
    assert (taken.credential_id, taken.model) == ("r", "anthropic/claude-a")
    assert taken.endpoint.format is Format.ANTHROPIC
    plan.close()


def test_an_inactive_credential_is_none() -> None:
    w = World(credential("a", api_key="env:NOT_SET"))
    w.passthrough("claude-a", surface=ANTHROPIC, via="proxy")
    (status,) = w.router.status()
    assert (status.state, status.reason) == ("inactive", "environment variable NOT_SET is not set")


async def test_a_request_without_a_model_goes_to_the_surfaces_provider() -> None:
    w = World(credential("g", "gemini"))
    more: dict[str, Any] = {"operation": Operation.LIST_MODELS, "format": Format.GEMINI}
    assert await w.ask(None, surface=GEMINI, **more) == ["g"]
    refused = w.refusal(None)
    assert (refused.code, refused.status) == (Code.INVALID_REQUEST, 400)


def test_a_disabled_provider_is_refused_on_all_of_its_paths() -> None:
    off = replace(ANTHROPIC, enabled=False)
    w = World(credential("a"), providers=(off,))
    for via in ("proxy", "gateway"):
        refused = w.refusal("claude-a", surface=off, via=via)
        assert (refused.code, refused.status) == (Code.PROVIDER_DISABLED, 503)
        assert "providers.anthropic.enabled" in refused.message


# -- endpoints


async def test_the_endpoint_of_the_clients_own_format_is_preferred() -> None:
    w = World(credential("r", "openrouter"))
    for format in (Format.ANTHROPIC, Format.OPENAI_CHAT):
        plan, taken = await w.take("x", format=format)
        assert taken.endpoint.format is format
        plan.close()


async def test_another_format_needs_a_translation() -> None:
    asked = []

    def translatable(client: Format, upstream: Format, operation: Operation) -> bool:
        asked.append((client, upstream, operation))
        return operation is Operation.GENERATE

    w = World(credential("o", "openai"), translatable=translatable)
    plan, taken = await w.take("gpt-a")
    assert taken.endpoint.format is Format.OPENAI_CHAT
    plan.close()
    refused = w.refusal("gpt-a", operation=Operation.COUNT_TOKENS)
    assert (refused.code, refused.status) == (Code.UNSUPPORTED, 400)
    assert "count_tokens" in refused.message
    assert asked[0] == (Format.ANTHROPIC, Format.OPENAI_CHAT, Operation.GENERATE)


def test_what_cannot_be_expressed_is_unsupported() -> None:
    refused = World(credential("g", "gemini")).refusal("gemini-a")
    assert (refused.code, refused.status) == (Code.UNSUPPORTED, 400)
    assert "gemini/gemini-a: it does not take generate requests of format anthropic" in refused.message


async def test_the_surfaces_own_endpoint_is_kept() -> None:
    """Amp has several endpoints of one format's family under one host."""
    first, second = (endpoint(Format.OPENAI_CHAT, f"https://amp.test/{n}") for n in ("one", "two"))
    amp = provider("amp", endpoints=(first, second))
    w = World(credential("x", "amp"), providers=(amp,))
    exchange = w.exchange("m", surface=amp)
    exchange.surface = replace(exchange.surface, endpoint=second)
    plan = w.router.plan(exchange)
    assert isinstance(plan, Plan)
    assert (await attempt(plan)).endpoint is second


async def test_a_base_url_of_the_credential_keeps_the_endpoints_path() -> None:
    nested = Endpoint(Format.ANTHROPIC, "https://x.test/anthropic", "", tuple(Operation), path="/anthropic")
    w = World(
        credential("c", "x", base_url="http://127.0.0.1:9/"), providers=(provider("x", endpoints=(nested,)),)
    )
    _, taken = await w.take("x/m")
    assert taken.endpoint.base_url == "http://127.0.0.1:9/anthropic"


# -- refusals


async def test_a_secret_that_cannot_be_had_is_named_and_not_shown() -> None:
    w = World(credential("a", api_key={"command": ["/nonexistent/tool", "secret-argument"]}))
    refused = await w.plan().next()
    assert isinstance(refused, Refusal)
    assert (refused.code, refused.status) == (Code.NO_CREDENTIAL, 503)
    assert "/nonexistent/tool cannot be started" in refused.message
    assert "secret-argument" not in refused.message


async def test_a_credential_without_its_secret_is_passed_over() -> None:
    w = World(credential("a", api_key={"command": ["/nonexistent/tool"]}, priority=9), credential("b"))
    assert await w.asks(2) == ["b", "b"]
    plan, _ = await w.take()
    assert w.state("a") == "cooling"
    plan.close()


async def test_the_session_is_named_on_the_exchange() -> None:
    w = World(credential("a"))
    exchange = w.exchange(headers=[("X-Claude-Code-Session-Id", "s-1")])
    w.router.plan(exchange)
    assert exchange.session == "s-1"


# -- explain


async def test_a_preview_shows_the_order_and_takes_no_turn() -> None:
    w = World(
        credential("a"),
        credential("b"),
        credential("r", "openrouter"),
        models={"v": {"targets": ["anthropic/claude-a", "openrouter/x", "gemini/gemini-a"]}},
        routing={"max_wait": 0},
    )
    await w.ask("v", limited(120))
    plan = w.plan("v")
    for _ in range(3):
        assert [(t.name, c, why) for t, c, why in plan.preview()] == [
            ("anthropic/claude-a", "b", "priority 0, round_robin"),
            ("anthropic/claude-a", "a", "429 rate_limit_error: slow down; back in 2 min"),
            ("openrouter/x", "r", "priority 0, round_robin"),
        ]
    assert [t.name for t in plan.targets] == ["anthropic/claude-a", "openrouter/x"]
    assert [(s.name, s.reason) for s in plan.skipped] == [("gemini/gemini-a", "it has no active credential")]
    assert (await attempt(plan)).credential_id == "b"


# -- reload


async def test_state_survives_a_reload_of_what_stays_active() -> None:
    w = World(credential("a"), credential("b"), routing={"max_wait": 0})
    await w.ask("claude-a", limited(600), headers=[("x-session-id", "s")])
    w.reload(credential("b", weight=3), credential("c"), credential("a", priority=7))
    assert w.until("a", "claude-a") == 600
    assert await w.ask(headers=[("x-session-id", "s")]) == ["b"]


@pytest.mark.parametrize(
    "between",
    [
        [credential("b")],
        [credential("a", enabled=False), credential("b")],
        [credential("a", api_key="env:NOT_SET"), credential("b")],
        [credential("a", provider="openrouter"), credential("b")],
    ],
)
async def test_state_is_not_inherited_through_what_was_gone(between: list[dict[str, Any]]) -> None:
    w = World(credential("a"), credential("b"), routing={"max_wait": 0})
    await w.ask("claude-a", limited(600))
    w.reload(*between)
    assert ("drop", "a") in [(c.kind, c.name) for c in w.store.changes]
    w.reload(credential("a"), credential("b"))
    assert w.state("a", "claude-a") == "ready"
    assert set(await w.asks(2)) == {"a", "b"}


@pytest.mark.parametrize("change", [{"api_key": "another-key"}, {"base_url": "https://elsewhere.test"}])
async def test_another_secret_or_place_begins_anew(change: dict[str, Any]) -> None:
    w = World(credential("a"), routing={"max_wait": 0})
    await verdict(w, answer(401))
    w.reload(credential("a", **change))
    assert w.state("a") == "ready"


async def test_what_ends_after_its_credential_has_gone_changes_nothing() -> None:
    w = World(credential("a", concurrency=1), credential("b"), routing={"max_wait": 0})
    plan, taken = await w.take()
    w.reload(credential("b"))
    w.reload(credential("a", concurrency=1), credential("b"))
    await plan.report(taken, limited(600))
    assert w.state("a", "claude-a") == "ready"
    assert w.router.live.credentials["a"].in_flight == 0


async def test_requests_under_way_count_after_a_reload() -> None:
    w = World(credential("a", concurrency=1), credential("b"))
    plan, taken = await w.take()
    w.reload(credential("x"), credential("a", concurrency=1), credential("b"))
    assert w.state("a") == "busy"
    await plan.report(taken, limited(600))
    assert w.until("a", "claude-a") == 600
    assert w.router.live.credentials["a"].in_flight == 0


async def test_a_plan_goes_on_over_a_reload() -> None:
    w = World(credential("a"), credential("b"), routing={"max_wait": 0})
    plan, taken = await w.take()
    w.reload(credential("b"), credential("c"), credential("a"))
    assert (await plan.report(taken, answer(500))).retry
    assert (await attempt(plan)).credential_id in ("b", "c")


def test_a_reload_that_means_nothing_changes_nothing() -> None:
    w = World(credential("a"))
    before = w.router.live.credentials["a"]
    with pytest.raises(ValueError, match="class"):
        w.reload(credential("b"), routing={"failures": [{"class": "nonsense", "status": 1}]})
    assert w.router.live.credentials == {"a": before}
    assert w.router.live.config.routing.failures == ()


async def test_turns_and_breakers_go_on_over_a_reload() -> None:
    w = World(*(credential(c) for c in "abc"), routing={"max_wait": 0, "breaker": {"failures": 1}})
    assert await w.asks(2) == ["a", "b"]
    w.reload()
    assert await w.asks(1) == ["c"]
    await w.ask("claude-b", broken(), broken(), broken())
    w.reload()
    assert list(w.router.breakers()) == [("https://anthropic.test", "claude-b")]


# -- copies of the state


async def test_state_is_handed_to_the_next_process() -> None:
    w = World(
        credential("a", limits=[{"window": "day", "requests": 9}]), credential("b"), routing={"max_wait": 0}
    )
    await w.ask("claude-a", limited(900), headers=[("x-session-id", "s")])
    w.router.live.allowances.observe(
        w.router.live.credentials["b"],
        [("x-codex-primary-used-percent", "40"), ("x-codex-primary-reset-after-seconds", "600")],
        "claude-a",
        free=False,
    )
    second = World(
        credential("a", limits=[{"window": "day", "requests": 9}]), credential("b"), routing={"max_wait": 0}
    )
    second.time.pass_(100)
    second.router.adopt(w.router.snapshot())
    assert second.until("a", "claude-a") == 800
    assert await second.ask(headers=[("x-session-id", "s")]) == ["b"]
    assert [x.used for x in second.router.live.allowances.windows("b")] == [0.4]
    assert second.router.live.allowances.quotas.windows("credential:a")[0].used == pytest.approx(1 / 9)


async def test_what_was_learned_with_another_key_is_not_adopted() -> None:
    w = World(credential("a"), routing={"max_wait": 0})
    await verdict(w, answer(401))
    second = World(credential("a", api_key="new-key"))
    second.router.adopt(w.router.snapshot())
    assert second.state("a") == "ready"


async def test_malformed_copies_are_ignored() -> None:
    w = World(credential("a"))
    values: tuple[Any, ...] = (None, {}, {"of": ""}, {"over": "x"}, [], "x", {"w": None})
    kinds: Any = ("cooldown", "circuit", "drop", "binding", "windows", "count", "turn", "nonsense")
    for kind in kinds:
        for name in ("a", "gone", "credential:a", "anthropic"):
            for value in values:
                w.router.adopt([Change(kind, name, value, "claude-a"), Change(kind, name, value, None)])
    assert w.state("a") == "ready"
    assert await w.ask() == ["a"]


async def test_success_closes_windows_that_others_opened() -> None:
    w = World(credential("a"), routing={"max_wait": 0})
    other = World(credential("a"), routing={"max_wait": 0})
    await verdict(w, limited(60))
    other.router.adopt(c for c in w.store.changes if c.kind == "cooldown")
    assert other.until("a", "claude-a") == 60
    w.time.pass_(60)
    other.time.pass_(60)
    plan, taken = await w.take()
    await plan.report(taken, ok())
    (*_, end) = (c for c in w.store.changes if c.kind == "cooldown")
    assert end.value == {"over": w.time.wall(), "until": w.time.wall()}
    other.router.adopt([end])
    assert other.state("a", "claude-a") == "ready"


async def test_who_was_served_meanwhile_ends_a_cooldown_that_it_never_heard_of() -> None:
    """The news of it was lost on the way: Redis was down."""
    w = World(credential("a", priority=1), credential("b"))
    known = {"kind": "rate_limit", "reason": "429", "stated": True, "level": 0, "since": w.time.wall()}
    known |= {"until": w.time.wall() + 3600, "of": w.router.live.credentials["a"].fingerprint}
    news = Change("cooldown", "a", known, "claude-a")
    w.time.pass_(1)
    await w.ask("claude-a")
    # It may just have been on its way.
    w.router.adopt([news])
    assert w.state("a", "claude-a") == "cooling"
    assert w.router.reset("a")
    w.time.pass_(10)
    for model, cools in (("claude-b", False), (None, False), ("claude-c", True)):
        await w.ask("claude-b")
        later = {**known, "since": w.time.wall() - 5}
        w.store.changes.clear()
        w.time.pass_(1)
        await w.ask("claude-b")
        w.router.adopt([Change("cooldown", "a", later, model)])
        assert (w.state("a", model) == "cooling") is cools
        # The others are told.
        over = [c.value for c in w.store.changes if c.kind == "cooldown" and c.key == model]
        assert [o["over"] > later["since"] for o in over] == ([] if cools else [True])


async def test_what_is_over_does_not_come_back_from_who_has_not_heard_of_it() -> None:
    w = World(credential("a"), routing={"max_wait": 0})
    other = World(credential("a"), routing={"max_wait": 0})
    await verdict(w, limited(600))
    old = w.router.snapshot()
    w.time.pass_(1)
    assert w.router.reset("a")
    w.router.adopt(old)
    assert w.state("a", "claude-a") == "ready"
    # Who hears of the end first is not told of the beginning afterwards.
    other.time.pass_(1)
    other.router.adopt(w.router.snapshot())
    other.router.adopt(old)
    assert other.state("a", "claude-a") == "ready"
    # What begins later is news.
    w.time.pass_(1)
    await verdict(w, limited(600))
    other.time.pass_(1)
    other.router.adopt(w.router.snapshot())
    assert other.state("a", "claude-a") == w.state("a", "claude-a") == "cooling"
