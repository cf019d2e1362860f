"""What a request needs, and which targets are passed over for it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, strategies as st

from router_core.config.schema import Condition
from router_core.errors import Code
from router_core.providers.model import ModelInfo
from router_core.routing.conditions import Needs, in_window, unmet
from tests.router_core.routing.build import World, credential, provider

IMAGE = "iVBORw0KGgo" * 2000


@pytest.mark.parametrize(
    "body",
    [
        {"tools": [{"name": "read"}]},
        {"functions": [{"name": "read"}]},
    ],
)
def test_tools(body: dict[str, Any]) -> None:
    assert Needs(body).tools
    assert not Needs({"tools": []}).tools
    assert not Needs(None).tools


@pytest.mark.parametrize(
    "body",
    [
        {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        {"thinking": {"type": "adaptive"}},
        {"reasoning_effort": "high"},
        {"reasoning": {"effort": "low"}},
        {"generationConfig": {"thinkingConfig": {"thinkingBudget": -1}}},
        {"generation_config": {"thinking_config": {"include_thoughts": True}}},
    ],
)
def test_thinking(body: dict[str, Any]) -> None:
    assert Needs(body).thinking


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"thinking": {"type": "disabled"}},
        {"reasoning_effort": "none"},
        {"reasoning": {"effort": None}},
        {"generationConfig": {"thinkingConfig": {"thinkingBudget": 0}}},
    ],
)
def test_no_thinking(body: dict[str, Any]) -> None:
    assert not Needs(body).thinking


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": IMAGE}},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{IMAGE}"}},
        {"type": "input_image", "image_url": f"data:image/png;base64,{IMAGE}"},
        {"inlineData": {"mimeType": "image/png", "data": IMAGE}},
        {
            "type": "tool_result",
            "content": [{"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}],
        },
    ],
)
def test_images_count_by_the_piece(part: dict[str, Any]) -> None:
    needs = Needs(
        {"messages": [{"role": "user", "content": [part, {"type": "text", "text": "what is it?"}]}]}
    )
    assert needs.images
    assert needs.context < 2000
    assert not Needs({"messages": [{"role": "user", "content": [{"type": "text", "text": "image"}]}]}).images


def test_context_is_about_a_quarter_of_the_text() -> None:
    assert 24_000 < Needs({"messages": [{"role": "user", "content": "word " * 20_000}]}).context < 26_000


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda i: (
            st.lists(i)
            | st.dictionaries(
                st.sampled_from(
                    ["messages", "tools", "type", "thinking", "reasoning", "inlineData", "generationConfig"]
                ),
                i,
            )
        ),
        max_leaves=15,
    )
)
def test_anything_has_needs(document: Any) -> None:
    needs = Needs(document)
    assert isinstance(needs.images or needs.tools or needs.thinking, bool)
    assert needs.context >= 0


@pytest.mark.parametrize(
    ("window", "hour", "inside"),
    [
        ("08:00-18:00", 12, True),
        ("08:00-18:00", 18, False),
        ("22:00-06:00", 23, True),
        ("22:00-06:00", 3, True),
        ("22:00-06:00", 6, False),
        ("18:00-24:00", 23, True),
        ("18:00-24:00", 0, False),
        ("00:00-24:00", 5, True),
    ],
)
def test_windows_of_the_day(window: str, hour: int, inside: bool) -> None:
    assert in_window(window, datetime(2027, 1, 15, hour).timestamp()) is inside


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ({"tools": True}, "only for requests with tools"),
        ({"tools": False}, None),
        ({"images": True}, "only for requests with images"),
        ({"thinking": True}, "only for requests with thinking"),
        ({"max_context": 5}, "more than max_context 5"),
        ({"min_context": 500}, "less than min_context 500"),
        ({"min_context": 5, "max_context": 500}, None),
    ],
)
def test_conditions(condition: dict[str, Any], reason: str | None) -> None:
    needs = Needs({"messages": [{"role": "user", "content": "x" * 200}]})
    found = unmet(Condition(**condition), needs, 0.0)
    assert (found is None) if reason is None else (found is not None and reason in found)


SMALL = provider("small", models=(ModelInfo("s", context_length=1000, capabilities=frozenset({"tools"})),))
LARGE = provider("large", models=(ModelInfo("l"),))


def world(**config: Any) -> World:
    return World(
        credential("small", "small"),
        credential("large", "large"),
        providers=(SMALL, LARGE),
        translatable=lambda *formats: True,
        **config,
    )


@pytest.mark.parametrize(
    ("body", "first", "reason"),
    [
        ({}, "small", None),
        ({"tools": [{"name": "t"}]}, "small", None),
        ({"thinking": {"type": "enabled"}}, "large", "small/s: s has no thinking"),
        ({"messages": [{"role": "user", "content": "x" * 9000}]}, "large", "tokens, more than s's 1000"),
    ],
)
async def test_a_target_that_cannot_serve_is_passed_over(
    body: dict[str, Any], first: str, reason: str | None
) -> None:
    w = world(models={"v": {"targets": ["small/s", "large/l"]}})
    plan, taken = await w.take("v", body=body)
    assert taken.credential_id == first
    passed = [f"{s.name}: {s.reason}" for s in plan.skipped]
    assert passed == [] if reason is None else any(reason in p for p in passed)


async def test_the_only_target_is_never_second_guessed() -> None:
    w = world()
    assert await w.ask("small/s", body={"thinking": {"type": "enabled"}}) == ["small"]


async def test_conditions_on_targets() -> None:
    w = world(
        models={
            "v": {
                "targets": [
                    {"target": "small/s", "when": {"tools": False, "time": "00:00-24:00"}},
                    {"target": "large/l", "when": {"tools": True}},
                ]
            }
        }
    )
    assert await w.ask("v") == ["small"]
    assert await w.ask("v", body={"tools": [{"name": "t"}]}) == ["large"]


def test_when_no_target_fits_the_reasons_are_named() -> None:
    w = world(models={"v": {"targets": [{"target": "small/s", "when": {"images": True}}, "small/s"]}})
    refused = w.refusal("v", body={"thinking": {"type": "enabled"}})
    assert (refused.code, refused.status) == (Code.UNSUPPORTED, 400)
    assert "only for requests with images" in refused.message
    assert "has no thinking" in refused.message
