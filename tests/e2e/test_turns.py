"""Who serves next, on the wire: names and virtual models, rotation, conversations, limits of use and concurrency."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from detour.fakes import FakeUpstream, Fault
from tests.e2e.conftest import Start
from tests.e2e.instance import TIMEOUT, Detour
from tests.e2e.routes import anthropic, ask, credential, eventually, limited, used
from tests.upstream import FakeThread

MESSAGES = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 64,
    "messages": [{"role": "user", "content": "hello"}],
}
RESPONSES = {"model": "gpt-5.5", "input": "hello"}


@pytest.fixture
def fake(fakes: FakeThread) -> FakeUpstream:
    return fakes.start()


def post(detour: Detour, body: dict[str, Any], headers: dict[str, str] | None = None) -> httpx.Response:
    path = "/v1/responses" if "input" in body else "/v1/messages"
    return httpx.post(detour.gateway_url + path, json=body, headers=headers, timeout=TIMEOUT, trust_env=False)


def sent(fake: FakeUpstream) -> Any:
    return json.loads(tuple(fake.record.requests)[-1].body)


def test_virtual_models_share_out_their_turns(start: Start, fake: FakeUpstream) -> None:
    tools = {"target": "gemini/gemini-2.5-pro", "when": {"tools": True}}
    both = ["gemini/gemini-2.5-pro", "anthropic/claude-sonnet-4-5"]
    detour = start(
        providers={**anthropic(fake), "gemini": {"base_url": fake.base_url("gemini")}},
        credentials=[
            *({"id": n, "provider": "gemini", "api_key": f"secret-{n}"} for n in ("gemini-a", "gemini-b")),
            credential("claude-a", prefix="work"),
        ],
        models={
            "turns": {"strategy": "round_robin", "targets": both},
            "shares": {
                "strategy": "weighted",
                "targets": [{"target": both[0], "weight": 1}, {"target": both[1], "weight": 3}],
            },
            "able": {"targets": [tools, both[1]]},
            "nested": {"targets": ["able"]},
            "any-*": "anthropic/claude-*",
        },
    )

    def serve(model: str, times: int = 1) -> list[str]:
        before = len(used(fake))
        assert {ask(detour, f"q{i}", model).status_code for i in range(times)} == {200}
        return used(fake)[before:]

    assert serve("turns", 6) == ["gemini-a", "gemini-b", "claude-a"] * 2
    assert serve("shares", 8).count("claude-a") == 6
    # Its first target takes only requests with tools.
    assert serve("nested") == ["claude-a"]
    assert serve("any-haiku-4-5") == ["claude-a"]
    assert sent(fake)["model"] == "claude-haiku-4-5"
    assert serve("work/claude-sonnet-4-5(8192)") == ["claude-a"]
    assert (sent(fake)["model"], sent(fake)["thinking"]["budget_tokens"]) == ("claude-sonnet-4-5", 8192)
    assert serve("gemini/gemini-2.5-pro(low)")[0].startswith("gemini")
    assert sent(fake)["generationConfig"]["thinkingConfig"]["thinkingBudget"] == 1024


SESSIONS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "claude-code": (MESSAGES, {"X-Claude-Code-Session-Id": "s1"}),
    "user-id": (MESSAGES | {"metadata": {"user_id": "user_a_account__session_0f0f0f0f-1111-2222-3333-444444444444"}}, {}),
    "user-id-json": (MESSAGES | {"metadata": {"user_id": '{"session_id": "0f0f0f0f-1111-2222-3333-555555555555"}'}}, {}),
    "session-id": (RESPONSES, {"Session-Id": "s2"}),
    "session_id": (RESPONSES, {"session_id": "s3"}),
    "x-session-id": (RESPONSES, {"X-Session-ID": "s4"}),
    "amp": (MESSAGES, {"X-Amp-Thread-Id": "T-1"}),
    "previous-response": (RESPONSES | {"previous_response_id": "resp_1"}, {}),
    "turn-state": (RESPONSES, {"x-codex-turn-state": "t"}),
    "cache-key": (RESPONSES | {"prompt_cache_key": "k"}, {}),
    "conversation": (RESPONSES | {"conversation": {"id": "conv_1"}}, {}),
    "continued": (
        MESSAGES | {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]},
        {},
    ),
}  # fmt: skip
"""How clients name a conversation."""


def test_each_name_of_a_conversation_keeps_it_on_its_credential(start: Start, fake: FakeUpstream) -> None:
    openai = {"openai": {"base_url": fake.base_url("openai-responses")}}
    detour = start(
        providers={**anthropic(fake), **openai},
        credentials=[
            *map(credential, "abc"),
            *({"id": f"o{n}", "provider": "openai", "api_key": f"secret-o{n}"} for n in "abc"),
        ],
    )
    found = {}
    for name, (body, headers) in SESSIONS.items():
        before = len(used(fake))
        for _ in range(2):
            # Others take their turns between its requests.
            assert post(detour, MESSAGES if "messages" in body else RESPONSES).status_code == 200
            assert post(detour, body, headers).status_code == 200
        found[name] = set(used(fake)[before + 1 :: 2])
    assert {name for name, owners in found.items() if len(owners) != 1} == set()


def test_what_only_one_account_has_stored_stays_there(start: Start, fake: FakeUpstream) -> None:
    detour = start(
        providers={"openai": {"base_url": fake.base_url("openai-responses")}},
        credentials=[{"id": n, "provider": "openai", "api_key": f"secret-{n}"} for n in "abc"],
    )
    follow_up = RESPONSES | {"previous_response_id": "resp_1"}
    assert post(detour, follow_up).status_code == 200
    (owner,) = used(fake)
    fake.script.add(limited(300), key=f"secret-{owner}")
    first, second = post(detour, follow_up), post(detour, follow_up)
    # The account's own answer, and then its cooldown; nobody else is asked.
    assert (first.status_code, first.headers.get("x-detour-error")) == (429, None)
    assert (second.status_code, second.headers["x-detour-error"]) == (429, "all_cooling")
    assert owner in second.json()["error"]["message"]
    assert used(fake) == [owner, owner]
    # Encrypted reasoning can be left behind.
    session = {"session_id": "s1"}
    assert post(detour, RESPONSES, session).status_code == 200
    holder = used(fake)[-1]
    fake.script.add(limited(300), key=f"secret-{holder}")
    reasoning = {"type": "reasoning", "id": "rs_1", "encrypted_content": "gAAA", "summary": []}
    said = {"role": "user", "content": "hello"}
    assert (
        post(detour, RESPONSES | {"input": [said, reasoning, said], "store": False}, session).status_code
        == 200
    )
    assert used(fake)[-1] != holder
    assert sent(fake)["input"] == [said, said]


def test_limits_of_credentials_and_clients_are_kept(start: Start, fake: FakeUpstream) -> None:
    detour = start(
        {"LAPTOP": "key-of-laptop-123", "OTHER": "key-of-other-1234"},
        providers=anthropic(fake),
        access={
            "keys": [
                {"name": "laptop", "key": "env:LAPTOP", "limits": [{"window": "day", "requests": 2}]},
                {"name": "other", "key": "env:OTHER"},
            ]
        },
        credentials=[
            credential("a", priority=1, limits=[{"window": "5h", "requests": 2}]),
            credential("b", concurrency=1),
            credential("c", priority=-1),
        ],
    )
    other = {"x-api-key": "key-of-other-1234"}
    assert [ask(detour, f"q{i}", **other).status_code for i in range(3)] == [200] * 3
    assert used(fake) == ["a", "a", "b"]
    known = detour.credentials()["a"]
    assert (known["state"], known["reason"]) == ("exhausted", "2 of 2 requests per 5h are used")
    assert known["until"] == pytest.approx(time.time() + 5 * 3600, abs=120)

    answers = [ask(detour, f"p{i}", **{"x-api-key": "key-of-laptop-123"}) for i in range(3)]
    assert [a.status_code for a in answers] == [200, 200, 429]
    assert "'laptop'" in answers[-1].json()["error"]["message"]
    assert int(answers[-1].headers["retry-after"]) <= 86400 + 3600

    eventually(lambda: detour.credentials()["b"]["in_flight"] == 0)
    # A stream holds its place, and a client that goes away gives it back and cools nothing.
    fake.script.add(Fault.gate("held"), key="secret-b", times=1)
    before = len(used(fake))
    with httpx.stream(
        "POST",
        f"{detour.gateway_url}/v1/messages",
        json=MESSAGES | {"stream": True},
        headers=other,
        timeout=TIMEOUT,
        trust_env=False,
    ) as answer:
        text = answer.iter_text()
        assert next(text)
        assert detour.credentials()["b"]["state"] == "busy"
        assert ask(detour, "meanwhile", **other).status_code == 200
    assert used(fake)[before:] == ["b", "c"]
    eventually(lambda: detour.credentials()["b"]["in_flight"] == 0)
    assert detour.credentials()["b"]["models"] == []
    assert ask(detour, "then", **other).status_code == 200
    assert used(fake)[-1] == "b"


def test_a_window_is_passed_over_with_its_reserve(start: Start, fake: FakeUpstream) -> None:
    """As Claude Code's subscription says it on every answer, with paid use beyond the plan switched off."""
    unified = "anthropic-ratelimit-unified-"
    headers = [
        (f"{unified}status", "allowed_warning"),
        (f"{unified}representative-claim", "five_hour"),
        (f"{unified}5h-status", "allowed_warning"),
        (f"{unified}5h-utilization", "0.85"),
        (f"{unified}5h-reset", str(int(time.time()) + 3600)),
        (f"{unified}7d-status", "allowed"),
        (f"{unified}7d-utilization", "0.1"),
        (f"{unified}7d-reset", str(int(time.time()) + 86400)),
        (f"{unified}overage-status", "rejected"),
        (f"{unified}overage-disabled-reason", "org_level_disabled"),
        (f"{unified}overage-utilization", "1.0"),
        (f"{unified}overage-reset", str(int(time.time()) + 20 * 86400)),
    ]
    fake.script.add(Fault.with_headers(headers), key="secret-a")
    routing = {"max_wait": 0, "reserve": 0.1}
    detour = start(
        providers=anthropic(fake), credentials=[credential("a", priority=1), credential("b")], routing=routing
    )
    assert [ask(detour, f"q{i}").status_code for i in range(2)] == [200, 200]
    assert used(fake) == ["a", "a"]
    headers[3] = (f"{unified}5h-utilization", "0.91")
    fake.script.rules[:] = []
    fake.script.add(Fault.with_headers(headers), key="secret-a")
    assert [ask(detour, f"p{i}").status_code for i in range(2)] == [200, 200]
    assert used(fake) == ["a", "a", "a", "b"]
    known = detour.credentials()["a"]
    assert (known["state"], known["reason"]) == ("exhausted", "91% of the 5h window are used")
    assert {w["name"]: w["used"] for w in known["windows"]} == {"5h": 0.91, "7d": 0.1, "overage": 1.0}


@pytest.mark.parametrize("wait", ["60s", 0])
def test_a_request_waits_for_a_place_as_long_as_it_may(
    start: Start, fake: FakeUpstream, wait: str | int
) -> None:
    fake.script.add(Fault.gate_before_head("first"), times=1)
    detour = start(
        providers=anthropic(fake), credentials=[credential("a", concurrency=1)], routing={"max_wait": wait}
    )
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask, detour, "one")
        eventually(lambda: used(fake) == ["a"])
        second = pool.submit(ask, detour, "two")
        if not wait:
            refused = second.result()
            assert (refused.status_code, refused.headers["x-detour-error"]) == (429, "all_cooling")
            assert "a]: its limit of 1 at a time is reached" in refused.json()["error"]["message"]
        fake.open("first")
        assert first.result().status_code == 200
        if wait:
            assert second.result().status_code == 200
            assert used(fake) == ["a", "a"]
