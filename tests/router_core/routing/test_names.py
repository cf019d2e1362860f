"""From what a client asks for to the targets that serve it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from router_core.config.schema import Config
from router_core.credentials.pool import Pool
from router_core.errors import Code
from router_core.providers.model import ModelInfo, Provider
from router_core.routing.names import Branch, Names, Tree, UnknownModel, leaves, match_wildcard, split_effort
from router_core.routing.router import Router
from tests.router_core.routing.build import (
    ANTHROPIC,
    OPENROUTER,
    PROVIDERS,
    World,
    credential,
    provider,
    registry,
)

CREDENTIALS = (
    credential("a"),
    credential("office", prefix="office"),
    credential("o", "openai", priority=1),
    credential("g", "gemini"),
    credential("r", "openrouter"),
)
MODELS = {
    "sonnet": "anthropic/claude-a",
    "fast": "claude-b",
    "loud": "anthropic/claude-a(high)",
    "chain": {"targets": ["sonnet", "openrouter/z-ai/glm-4.7", "claude-b"]},
    "gpt-*": "openrouter/openai/gpt-*",
    "gpt-5*": {"targets": ["openai/gpt-5*", "openrouter/openai/gpt-5*"]},
    "*-thinking": "anthropic/*",
    "mine": "office/claude-b",
}


def names(**more: Any) -> Names:
    config = Config.model_validate({"credentials": list(CREDENTIALS), "models": MODELS, **more})
    pool = Pool(config, registry(), env={})
    return Names(config, PROVIDERS, [c for c in pool.credentials.values() if c.active])


def shown(tree: Tree) -> str:
    """``provider/model(effort)@prefix | ...``, virtual models in brackets."""
    if isinstance(tree, Branch):
        return "[" + " | ".join(shown(c) for c in tree.children) + "]"
    effort = f"({tree.effort})" if tree.effort else ""
    return f"{tree.name}{effort}" + (f"@{tree.prefix}" if tree.prefix else "")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # The configuration's names come first.
        ("sonnet", "anthropic/claude-a"),
        ("fast", "anthropic/claude-b"),
        ("chain", "[anthropic/claude-a | openrouter/z-ai/glm-4.7 | anthropic/claude-b]"),
        ("mine", "anthropic/claude-b@office"),
        # Of wildcards the one that says most.
        ("gpt-4x", "openrouter/openai/gpt-4x"),
        ("gpt-5.5", "[openai/gpt-5.5 | openrouter/openai/gpt-5.5]"),
        ("claude-a-thinking", "anthropic/claude-a"),
        # A suffix is effort; a target's own wins.
        ("sonnet(high)", "anthropic/claude-a(high)"),
        ("sonnet(8192)", "anthropic/claude-a(8192)"),
        ("sonnet(-1)", "anthropic/claude-a(-1)"),
        ("loud(low)", "anthropic/claude-a(high)"),
        (
            "chain(none)",
            "[anthropic/claude-a(none) | openrouter/z-ai/glm-4.7(none) | anthropic/claude-b(none)]",
        ),
        ("anthropic/claude-b(medium)", "anthropic/claude-b(medium)"),
        ("openrouter/model(beta)", "openrouter/model(beta)"),
        # provider/model: only the first segment is the provider.
        ("openrouter/anthropic/claude-a", "openrouter/anthropic/claude-a"),
        ("anthropic/newer-than-the-list", "anthropic/newer-than-the-list"),
        # prefix/model
        ("office/claude-a", "anthropic/claude-a@office"),
        ("office/anthropic/claude-a", "anthropic/claude-a@office"),
        # Bare names: who lists it, the best credential first.
        ("claude-b", "anthropic/claude-b"),
        ("shared", "[openai/shared | gemini/shared]"),
        ("shared(low)", "[openai/shared(low) | gemini/shared(low)]"),
        # Nobody lists it: who lists nothing at all.
        ("unheard-of", "openrouter/unheard-of"),
    ],
)
def test_on_the_gateway(name: str, expected: str) -> None:
    assert shown(names().resolve(name, None)) == expected


@pytest.mark.parametrize(
    ("surface", "name", "expected"),
    [
        (ANTHROPIC, "claude-a", "anthropic/claude-a"),
        (ANTHROPIC, "newer-than-the-list", "anthropic/newer-than-the-list"),
        (ANTHROPIC, "sonnet", "anthropic/claude-a"),
        (ANTHROPIC, "gpt-4x", "openrouter/openai/gpt-4x"),
        (ANTHROPIC, "office/claude-a", "anthropic/claude-a@office"),
        (ANTHROPIC, "claude-a(high)", "anthropic/claude-a(high)"),
        # On its own paths a provider's names are its own, slashes and all.
        (OPENROUTER, "anthropic/claude-a", "openrouter/anthropic/claude-a"),
        (OPENROUTER, "openrouter/auto", "openrouter/openrouter/auto"),
        (ANTHROPIC, "anthropic/claude-a", "anthropic/claude-a"),
        (OPENROUTER, "office/claude-a", "openrouter/office/claude-a"),
    ],
)
def test_on_a_providers_own_surface(surface: Provider, name: str, expected: str) -> None:
    assert shown(names().resolve(name, surface)) == expected


def test_the_name_with_its_parentheses_may_be_listed() -> None:
    listed = replace(OPENROUTER, models=(ModelInfo("odd(high)"),))
    config = Config.model_validate({"credentials": [credential("r", "openrouter")]})
    found = Names(config, {"openrouter": listed}, []).resolve("openrouter/odd(high)", None)
    assert shown(found) == "openrouter/odd(high)"
    (leaf,) = leaves(found)
    assert (leaf.model, leaf.effort) == ("odd(high)", None)


def test_families_are_for_names_newer_than_the_lists() -> None:
    world = World(credential("a"), credential("g", "gemini"))
    assert shown(world.router.live.names.resolve("claude-next", None)) == "anthropic/claude-next"
    with pytest.raises(UnknownModel):
        world.router.live.names.resolve("unheard-of", None)


def test_a_providers_other_names_for_a_model_become_the_models_own() -> None:
    named = provider("named", models=(ModelInfo("model-20260101", aliases=("model",)),))
    world = World(credential("n", "named"), providers=(named,))
    assert shown(world.router.live.names.resolve("model", None)) == "named/model-20260101"
    assert shown(world.router.live.names.resolve("named/model", None)) == "named/model-20260101"
    # On its own surface the bytes stay.
    assert shown(world.router.live.names.resolve("model", named)) == "named/model"


def test_a_name_that_circles_is_refused() -> None:
    world = World(credential("a"), models={"x": "y", "y": {"targets": ["anthropic/claude-a", "x"]}})
    refused = world.refusal("x")
    assert refused.code == Code.MODEL_NOT_FOUND
    assert "x -> y -> x is a circle" in refused.message


def test_a_wildcard_may_lead_to_itself() -> None:
    world = World(credential("r", "openrouter"), models={"*": "openrouter/*"})
    assert shown(world.router.live.names.resolve("a/b/c", None)) == "openrouter/a/b/c"


def test_unknown_names_say_what_is_missing() -> None:
    world = World(credential("a"))
    assert world.refusal("gpt-a").message == (
        "Model 'gpt-a' is served by openai, for which there is no active credential."
    )
    refused = world.refusal("nonsense")
    assert (refused.code, refused.status) == (Code.MODEL_NOT_FOUND, 404)
    assert "detour models" in refused.message


def test_unknown_names_are_not_kept_for_ever() -> None:
    world = World(credential("a"))
    for i in range(6000):
        world.refusal(f"nonsense-{i}")
    assert world.router.live.names._resolve.cache_info().currsize <= 4096


def test_overlaps_are_found_with_their_order() -> None:
    assert names().overlaps() == {"shared": ["openai", "gemini"]}


def test_models_that_can_be_asked_for() -> None:
    world = World(
        *CREDENTIALS[:4],
        credential("only", "openrouter", models={"include": ["z-ai/glm-4.7", "anthropic/*"]}),
        models=MODELS,
    )
    listed = {m.id: m for m in world.router.models()}
    assert "gpt-*" not in listed
    assert listed["chain"].kind == "virtual"
    assert listed["chain"].providers == ("openrouter",)
    assert listed["sonnet"].kind == "alias"
    assert listed["shared"].providers == ("openai", "gemini")
    assert {"openai/shared", "gemini/shared", "claude-a", "office/claude-a", "z-ai/glm-4.7"} <= set(listed)
    assert "openai/gpt-a" not in listed
    on_surface = {m.id for m in world.router.models(provider="gemini")}
    assert {"gemini-a", "shared", "chain"} <= on_surface
    assert "claude-a" not in on_surface


def test_models_of_credentials_that_exclude_them_are_not_listed() -> None:
    world = World(credential("a", models={"exclude": ["*-b"]}))
    assert [m.id for m in world.router.models()] == ["claude-a"]


def test_the_upstreams_name_of_a_model_on_a_session() -> None:
    router: Router = World(*CREDENTIALS, models={"big": "openai/gpt-a(high)"}).router
    assert router.upstream_model(PROVIDERS["openai"], "big") == ("gpt-a", "high")
    assert router.upstream_model(PROVIDERS["openai"], "gpt-b(low)") == ("gpt-b", "low")
    assert router.upstream_model(PROVIDERS["anthropic"], "big") == ("big", None)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("m(high)", ("m", "high")),
        ("m(0)", ("m", "0")),
        ("m(-1)", ("m", "-1")),
        ("m(HIGH)", ("m(HIGH)", None)),
        ("m(huge)", ("m(huge)", None)),
        ("(high)", ("(high)", None)),
        ("m()", ("m()", None)),
        ("m(12345678)", ("m(12345678)", None)),
    ],
)
def test_effort(name: str, expected: tuple[str, str | None]) -> None:
    assert split_effort(name) == expected


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("a-*", "a-b", "b"),
        ("*", "x", "x"),
        ("a", "a", ""),
        ("a", "b", None),
        ("a*c*", "abcd", "b"),
        ("a.*", "axx", None),
    ],
)
def test_wildcards(pattern: str, name: str, expected: str | None) -> None:
    assert match_wildcard(pattern, name) == expected


def test_a_disabled_provider_is_said_to_be_so() -> None:
    off = replace(PROVIDERS["openai"], enabled=False)
    world = World(
        credential("a"),
        credential("o", "openai"),
        providers=(off,),
        models={"v": {"targets": ["openai/gpt-a", "anthropic/claude-a"]}},
    )
    asked = (
        world.refusal("openai/gpt-a"),
        world.refusal("gpt-a", surface=off),
        world.refusal("gpt-a"),
        # By its family.
        world.refusal("gpt-brand-new"),
    )
    for refused in asked:
        assert (refused.code, refused.status) == (Code.PROVIDER_DISABLED, 503)
    plan = world.plan("v")
    assert [s.reason for s in plan.skipped] == ["its provider is disabled"]


def test_models_can_be_left_out_everywhere() -> None:
    world = World(credential("a", models={"exclude": ["claude-a"]}))
    refused = world.refusal("claude-a", surface=ANTHROPIC)
    assert refused.code == Code.MODEL_NOT_FOUND
    assert "none of its credentials serves the model" in refused.message
