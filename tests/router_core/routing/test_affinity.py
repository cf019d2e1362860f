"""Conversations stay where they are, and leave nothing behind that others cannot read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from router_core.errors import Refusal
from router_core.exchange import Outcome
from router_core.formats import Format
from router_core.routing.affinity import Affinity, Binding, SessionName, continues, session_names
from tests.router_core.routing.build import OPENAI, Time, World, answer, attempt, credential, limited, ok

SESSION = "0f9d1ab2-1111-2222-3333-444455556666"


@pytest.mark.parametrize(
    ("headers", "body", "kind", "value"),
    [
        ({"X-Claude-Code-Session-Id": SESSION}, {}, "session", SESSION),
        ({}, {"metadata": {"user_id": f"user_abc_account_def_session_{SESSION}"}}, "session", SESSION),
        ({}, {"metadata": {"user_id": f'{{"device_id":"d","session_id":"{SESSION}"}}'}}, "session", SESSION),
        ({"Session-Id": "s1"}, {}, "session", "s1"),
        ({"session_id": "s1"}, {}, "session", "s1"),
        ({"X-Session-ID": "s1"}, {}, "session", "s1"),
        ({"X-Amp-Thread-Id": "T-1"}, {}, "thread", "T-1"),
        ({}, {"previous_response_id": "resp_1"}, "response", "resp_1"),
        ({"x-codex-turn-state": "sticky"}, {}, "turn", "sticky"),
        ({}, {"prompt_cache_key": "key"}, "cache", "key"),
        ({}, {"conversation": "conv_1"}, "conversation", "conv_1"),
        ({}, {"conversation": {"id": "conv_1"}}, "conversation", "conv_1"),
    ],
)
def test_where_clients_name_their_conversation(
    headers: dict[str, str], body: Any, kind: str, value: str
) -> None:
    (first, *_) = session_names(
        list(headers.items()), {**body, "messages": [{"role": "user", "content": "hi"}]}
    )
    assert (first.kind, first.value, first.derived) == (kind, value, False)


def test_the_order_of_names() -> None:
    headers = [("x-codex-turn-state", "t"), ("session_id", "b"), ("x-claude-code-session-id", "a")]
    body = {
        "prompt_cache_key": "c",
        "previous_response_id": "r",
        "metadata": {"user_id": f"u_session_{SESSION}"},
    }
    assert [n.value for n in session_names(headers, body)] == ["a", SESSION, "b", "r", "t", "c"]


def turns(first: str, *more: str) -> dict[str, Any]:
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[i % 2], "content": c} for i, c in enumerate((first, *more))]}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (turns("hello"), turns("hello", "hi", "and?"), True),
        (turns("hello"), turns("hallo"), False),
        ({"system": "be kind", **turns("hello")}, turns("hello"), False),
        ({"system": "a", **turns("b")}, {"system": "b", **turns("a")}, False),
        # A cache mark moves from turn to turn.
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "hello", "cache_control": {"type": "ephemeral"}}]}]},
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}]},
            True,
        ),
        ({"instructions": "x", "input": "hello"}, {"instructions": "x", "input": [{"role": "user", "content": "hello"}]}, True),
        (
            {"systemInstruction": {"parts": [{"text": "x"}]}, "contents": [{"role": "user", "parts": [{"text": "hello"}]}]},
            {"systemInstruction": {"parts": [{"text": "x"}]}, "contents": [{"role": "user", "parts": [{"text": "hello"}]}, {"role": "model", "parts": []}]},
            True,
        ),
        (
            {"messages": [{"role": "system", "content": "x"}, {"role": "user", "content": "hello"}]},
            {"messages": [{"role": "system", "content": "y"}, {"role": "user", "content": "hello"}]},
            False,
        ),
    ],
)  # fmt: skip
def test_the_opening_stands_for_a_conversation_without_a_name(one: Any, other: Any, same: bool) -> None:
    (a,), (b,) = session_names([], one), session_names([], other)
    assert a.derived
    assert (a == b) is same
    assert session_names([], one, "laptop") != [a]


def test_a_request_without_text_has_no_name() -> None:
    assert session_names([], {"messages": []}) == []
    assert session_names([], None) == []
    assert session_names([], {"messages": [{"role": "user", "content": [{"type": "image"}]}]}) == []


@given(
    st.recursive(
        st.none() | st.text() | st.integers(),
        lambda i: (
            st.lists(i, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "messages",
                        "input",
                        "contents",
                        "metadata",
                        "user_id",
                        "role",
                        "content",
                        "parts",
                        "text",
                        "system",
                        "conversation",
                        "prompt_cache_key",
                    ]
                ),
                i,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_body_may_be_asked(document: Any) -> None:
    names = session_names([], document)
    assert all(len(n.key) == 32 for n in names)
    assert continues(document) in (True, False)


def test_bindings_slide_end_and_are_bounded() -> None:
    time = Time()
    affinity = Affinity(60, time.clock, size=3)
    names = [SessionName("session", "s")]
    here = Binding("a", "anthropic", "m")
    affinity.bind(names, "m", here)
    for _ in range(3):
        time.pass_(50)
        assert affinity.find(names, "m", first_turn=False) == here
        affinity.bind(names, "m", here)
    time.pass_(60)
    assert affinity.find(names, "m", first_turn=False) is None
    for i in range(10):
        affinity.bind([SessionName("session", str(i))], "m", here)
    assert len(affinity) == 3


# -- in plans


def named(session: str = "s") -> dict[str, Any]:
    return {"headers": [("X-Session-ID", session)]}


async def test_a_conversation_stays_while_others_rotate() -> None:
    w = World(*(credential(c) for c in "abc"))
    assert await w.asks(1, **named("one")) == ["a"]
    assert await w.asks(1, **named("two")) == ["b"]
    assert await w.asks(3, **named("one")) == ["a", "a", "a"]
    assert await w.asks(3, **named("two")) == ["b", "b", "b"]
    # It stays per model: another model has caches of its own.
    assert await w.asks(1, "claude-b", **named("two")) == ["a"]


async def test_without_a_name_first_turns_rotate_and_follow_ups_stay() -> None:
    w = World(*(credential(c) for c in "abc"))
    assert await w.asks(3) == ["a", "b", "c"]
    follow_up: dict[str, Any] = {"body": turns("hello", "hi", "and?")}
    assert await w.asks(3, **follow_up) == ["c", "c", "c"]


async def test_affinity_loses_to_a_cooldown_and_binds_anew_only_after_success() -> None:
    w = World(credential("a"), credential("b"), routing={"max_wait": 0})
    await w.ask(**named())
    assert await w.ask("claude-a", limited(60), answer(500), **named()) == ["a", "b"]
    w.time.pass_(61)
    # Nothing succeeded elsewhere, so it is still at home on the first.
    assert await w.asks(2, **named()) == ["a", "a"]
    assert await w.ask("claude-a", limited(60), **named()) == ["a", "b"]
    w.time.pass_(61)
    assert await w.asks(2, **named()) == ["b", "b"]


async def test_affinity_loses_to_a_higher_tier() -> None:
    w = World(credential("low"), credential("high", priority=5), routing={"max_wait": 0})
    assert await w.ask("claude-a", limited(60), **named()) == ["high", "low"]
    assert await w.asks(1, **named()) == ["low"]
    w.time.pass_(61)
    assert await w.asks(2, **named()) == ["high", "high"]


async def test_affinity_ends_with_its_time() -> None:
    w = World(credential("a"), credential("b"), routing={"affinity_ttl": "10m"})
    assert await w.asks(1, **named()) == ["a"]
    w.time.pass_(500)
    assert await w.asks(1, **named()) == ["a"]
    w.time.pass_(500)
    assert await w.asks(1, **named()) == ["a"]
    w.time.pass_(601)
    assert await w.asks(1, **named()) == ["b"]


async def test_affinity_can_be_switched_off() -> None:
    w = World(credential("a"), credential("b"), routing={"affinity_ttl": 0})
    assert await w.asks(4, **named()) == ["a", "b", "a", "b"]


async def test_a_conversation_stays_on_its_target() -> None:
    w = World(
        credential("c1"),
        credential("g1", "gemini"),
        models={"v": {"strategy": "round_robin", "targets": ["anthropic/claude-a", "gemini/gemini-a"]}},
        translatable=lambda *formats: True,
    )
    assert await w.asks(1, "v", **named("one")) == ["c1"]
    assert await w.asks(1, "v", **named("two")) == ["g1"]
    assert await w.asks(2, "v", **named("one")) + await w.asks(2, "v", **named("two")) == [
        "c1",
        "c1",
        "g1",
        "g1",
    ]
    assert await w.asks(2, "v", **named("three")) == ["c1", "c1"]


async def test_answers_name_conversations_too() -> None:
    w = World(credential("a", "openai"), credential("b", "openai"), routing={"max_wait": 0})
    more: dict[str, Any] = {"surface": OPENAI, "format": Format.OPENAI_RESPONSES}
    plan, taken = await w.take("gpt-a", **more)
    await plan.report(taken, ok([("X-Codex-Turn-State", "sticky")], response_id="resp_1"))
    assert taken.credential_id == "a"
    follow_up = {"body": {"previous_response_id": "resp_1"}, **more}
    assert await w.asks(2, "gpt-a", **follow_up) == ["a", "a"]
    # The model may change in between; the account may not.
    assert await w.asks(1, "gpt-b", **follow_up) == ["a"]
    assert await w.asks(1, "gpt-a", headers=[("x-codex-turn-state", "sticky")], **more) == ["a"]


# -- state that only its account can read

SIGNED = {
    "messages": [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "EqQB"}, {"type": "text", "text": "hi"}]},
        {"role": "user", "content": "and?"},
    ]
}  # fmt: skip
IN_A_TURN = {
    "messages": [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "EqQB"}, {"type": "tool_use", "id": "t", "name": "n", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "ok"}]},
    ]
}  # fmt: skip


async def test_a_conversation_that_fails_over_leaves_its_signatures_behind() -> None:
    w = World(credential("a"), credential("b"), routing={"max_wait": 0})
    await w.ask(**named())
    plan, taken = await w.take(body=SIGNED, **named())
    assert (taken.credential_id, taken.drop_state) == ("a", False)
    await plan.report(taken, limited(600))
    second = await attempt(plan)
    assert (second.credential_id, second.drop_state) == ("b", True)
    await plan.report(second, ok())
    plan, taken = await w.take(body=SIGNED, **named())
    assert (taken.credential_id, taken.drop_state) == ("b", False)


async def test_a_conversation_without_state_moves_as_it_is() -> None:
    w = World(credential("a"), credential("b"), routing={"max_wait": 0})
    await w.ask(**named())
    plan, taken = await w.take(body=turns("hello", "hi", "and?"), **named())
    await plan.report(taken, limited(600))
    assert (await attempt(plan)).drop_state is False


async def test_in_the_middle_of_a_turn_only_a_failure_moves_it() -> None:
    w = World(credential("low"), credential("high", priority=5), routing={"max_wait": 0})
    assert await w.ask("claude-a", limited(60), **named()) == ["high", "low"]
    w.time.pass_(61)
    assert await w.asks(1, body=IN_A_TURN, **named()) == ["low"]
    assert await w.ask("claude-a", limited(60), body=IN_A_TURN, **named()) == ["low", "high"]


@pytest.mark.parametrize(
    "body",
    [
        {"previous_response_id": "resp_1", "input": "and?"},
        {"conversation": "conv_1", "input": "and?", "previous_response_id": "resp_1"},
    ],
)
async def test_state_that_cannot_be_taken_out_stays_with_its_account(body: dict[str, Any]) -> None:
    w = World(credential("a", "openai"), credential("b", "openai"), routing={"max_wait": 0})
    more: dict[str, Any] = {"surface": OPENAI, "format": Format.OPENAI_RESPONSES}
    plan, taken = await w.take("gpt-a", **more)
    await plan.report(taken, ok(response_id="resp_1"))
    assert await w.ask("gpt-a", limited(600), body=body, **more) == ["a"]
    refused = await w.plan("gpt-a", body=body, **more).next()
    assert isinstance(refused, Refusal)
    assert (refused.code, refused.retry_after) == ("all_cooling", 600)
    assert "credential a, which holds this conversation's state" in refused.message


async def test_it_is_waited_for_where_others_are_ready() -> None:
    w = World(credential("a", "openai"), credential("b", "openai"))
    more: dict[str, Any] = {"surface": OPENAI, "format": Format.OPENAI_RESPONSES}
    plan, taken = await w.take("gpt-a", **more)
    await plan.report(taken, ok(response_id="resp_1"))
    body = {"previous_response_id": "resp_1"}
    assert await w.ask("gpt-a", limited(5), body=body, **more) == ["a", "a"]
    assert w.paused == [pytest.approx(5)]


async def test_an_account_that_is_gone_holds_nothing() -> None:
    w = World(credential("a", "openai"), credential("b", "openai"))
    more: dict[str, Any] = {"surface": OPENAI, "format": Format.OPENAI_RESPONSES}
    plan, taken = await w.take("gpt-a", **more)
    await plan.report(taken, ok(response_id="resp_1"))
    w.reload(credential("b", "openai"))
    assert await w.ask("gpt-a", body={"previous_response_id": "resp_1"}, **more) == ["b"]


async def test_whose_state_is_unknown_is_left_alone() -> None:
    w = World(credential("a"), credential("b"), routing={"max_wait": 0})
    plan, taken = await w.take(body=SIGNED, **named("never seen"))
    await plan.report(taken, Outcome("headers", 529))
    assert (taken.drop_state, (await attempt(plan)).drop_state) == (False, False)
