"""How long a credential rests, on the wire: every reset time that providers send, reloads, breakers and waiting."""

from __future__ import annotations

import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from typing import Any

import httpx
import pytest

from detour.fakes import FakeUpstream, Fault
from tests.e2e.conftest import Start
from tests.e2e.instance import TIMEOUT
from tests.e2e.routes import anthropic, ask, credential, eventually, limited, rewrite, used
from tests.upstream import FakeThread


@pytest.fixture
def fake(fakes: FakeThread) -> FakeUpstream:
    return fakes.start()


MINUTES = 1200
"""Seconds from the beginning of the test until the limits end."""


def limits() -> dict[str, tuple[str, list[tuple[str, str]], Any]]:
    """What the limit covers, headers and body, by the name of a credential."""
    at = int(time.time()) + MINUTES
    iso = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
    unified, codex = "anthropic-ratelimit-unified", "x-codex-primary"
    google = {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Quota exceeded"}
    retry_info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{MINUTES}.5s"}
    quota = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "metadata": {"quotaResetDelay": "20m0.5s"}}
    silent = {"error": {"message": "slow down"}}
    used_up: dict[str, Any] = {"type": "usage_limit_reached", "message": "The usage limit has been reached"}
    return {
        "seconds": ("model", [("Retry-After", f"{MINUTES}")], silent),
        "fraction": ("model", [("retry-after", f"{MINUTES}.25")], silent),
        "date": ("model", [("Retry-After", formatdate(at, usegmt=True))], silent),
        "twice": ("model", [("retry-after", f"{MINUTES}"), ("retry-after", "7")], silent),
        "milliseconds": ("model", [("retry-after-ms", f"{MINUTES}000"), ("retry-after", "7")], silent),
        "negative": ("model", [("retry-after", "-5"), ("x-ratelimit-reset", str(at))], silent),
        "absurd": ("model", [("retry-after", "9" * 30), ("x-ratelimit-reset", f"{at}000")], silent),
        "past": ("model", [("retry-after", formatdate(0, usegmt=True))], {"error": {"message": "try again in 20m"}}),
        "empty-window": ("model", [("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", iso)], silent),
        "spans": ("model", [("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "20m0s")], silent),
        "unified": ("credential", [(f"{unified}-status", "rejected"), (f"{unified}-5h-status", "rejected"), (f"{unified}-5h-reset", str(at))], silent),
        "beyond-the-plan": (
            "credential",
            [(f"{unified}-status", "rejected"), (f"{unified}-reset", str(at)), (f"{unified}-overage-status", "rejected"), (f"{unified}-overage-reset", str(at + 999999))],
            silent,
        ),
        "codex-span": ("credential", [(f"{codex}-used-percent", "100"), (f"{codex}-reset-after-seconds", f"{MINUTES}")], silent),
        "codex-moment": ("credential", [(f"{codex}-used-percent", "100.0"), (f"{codex}-reset-at", str(at))], silent),
        "codex-nothing": ("credential", [(f"{codex}-used-percent", "100"), (f"{codex}-reset-at", "0"), (f"{codex}-reset-after-seconds", f"{MINUTES}")], silent),
        "resets-at": ("credential", [], {"error": {**used_up, "resets_at": at + 0.5}}),
        "resets-in": ("credential", [], {"error": {**used_up, "resets_at": None, "resets_in_seconds": f"{MINUTES}"}}),
        "google": ("model", [], {"error": {**google, "details": [retry_info]}}),
        "google-quota": ("model", [], [{"error": {**google, "details": [quota]}}]),
        "text": ("model", [], {"error": {"message": "Your quota will reset after 0h20m0s."}}),
        "plain-text": ("model", [], "Too many requests, retry after 20 minutes"),
    }  # fmt: skip


def test_every_reset_time_is_understood(start: Start, fake: FakeUpstream) -> None:
    known = limits()
    for name, (_, headers, body) in known.items():
        data = body if isinstance(body, str) else json.dumps(body)
        fake.script.add(Fault.status(429, headers, data.encode()), key=f"secret-{name}")
    provider = {"format": "openai-chat", "base_url": fake.base_url("openai-chat")}
    detour = start(
        providers={f"p-{name}": provider for name in known},
        credentials=[{"id": n, "provider": f"p-{n}", "api_key": f"secret-{n}"} for n in known],
    )
    for name in known:
        assert ask(detour, model=f"p-{name}/m").status_code == 429
    found, expected = {}, {}
    states = detour.credentials()
    for name, (scope, _, _) in known.items():
        rests = states[name] if scope == "credential" else (states[name]["models"] or [{}])[0]
        expected[name] = (scope, "cooling", True)
        left = (rests.get("until") or 0) - time.time()
        # The test itself takes a while, and jitter adds up to two seconds.
        found[name] = (scope, rests.get("state"), MINUTES - 120 < left < MINUTES + 3)
    assert found == expected


def test_state_goes_on_over_some_changes_and_ends_with_others(
    start: Start, fake: FakeUpstream, tmp_path: Any
) -> None:
    key = tmp_path / "key"
    key.write_text("secret-a")
    key.chmod(0o600)
    for secret in ("secret-a", "secret-new"):
        fake.script.add(limited(600), key=secret)
    first, other = credential("a", priority=5, api_key=f"file:{key}"), credential("b")
    detour = start(providers=anthropic(fake), credentials=[first, other])
    in_force = json.loads(detour.config.read_text())
    first, other = in_force["credentials"]

    def reload(*credentials: dict[str, Any], **changes: Any) -> None:
        before = detour.log.read_text().count("read again")
        rewrite(detour, **{**in_force, "credentials": list(credentials or (first, other)), **changes})
        detour.process.send_signal(signal.SIGHUP)
        eventually(lambda: detour.log.read_text().count("read again") > before)

    def models(name: str = "a") -> list[str]:
        return [m["state"] for m in detour.credentials()[name]["models"]]

    def cool() -> None:
        assert ask(detour, str(time.time())).status_code == 200
        assert models() == ["cooling"]

    cool()
    for same in (
        {**first, "priority": 7},
        {**first, "weight": 3, "prefix": "mine", "headers": {"x-team": "blue"}, "concurrency": 9},
        {**first, "models": {"exclude": ["claude-haiku-*"]}},
    ):
        reload(same, other)
        assert models() == ["cooling"]
    reload(other, first)
    assert models() == ["cooling"]
    reload(routing={"max_wait": 0, "strategy": "weighted", "affinity_ttl": "5m"})
    assert models() == ["cooling"]

    reload({**first, "enabled": False}, other)
    assert detour.credentials()["a"]["state"] == "inactive"
    reload()
    assert models() == []
    cool()
    reload(other)
    assert "a" not in detour.credentials()
    reload()
    assert models() == []
    cool()
    reload({**first, "id": "renamed"}, other)
    assert (models("renamed"), "a" in detour.credentials()) == ([], False)
    reload()
    cool()
    reload({**first, "base_url": fake.base_url("anthropic") + "/"}, other)
    assert models() == []
    reload()
    cool()
    key.write_text("secret-new")
    eventually(lambda: models() == [])
    cool()
    off = {"anthropic": {**in_force["providers"]["anthropic"], "enabled": False}}
    reload(providers=off)
    refused = ask(detour)
    assert (refused.status_code, refused.headers["x-detour-error"]) == (503, "provider_disabled")
    with detour.client() as client:
        intercepted = client.get("https://api.anthropic.com/anything")
    assert (intercepted.status_code, intercepted.headers["x-detour-error"]) == (503, "provider_disabled")
    reload()
    assert models() == []


def test_an_endpoint_that_is_down_is_left_alone_and_tested(start: Start, fake: FakeUpstream) -> None:
    fake.script.add(Fault.status(503))
    breaker = {"failures": 5, "open": "3s", "half_open": 1}
    names = "abcdefgh"
    detour = start(
        providers=anthropic(fake),
        credentials=[credential(n) for n in names],
        routing={"max_wait": 0, "max_attempts": 3, "breaker": breaker},
    )
    assert [ask(detour, f"q{i}").status_code for i in range(2)] == [503, 503]
    refused = ask(detour, "q2")
    assert refused.headers["x-detour-error"] == "all_cooling"
    assert int(refused.headers["retry-after"]) <= 4
    # Five failures, though three credentials have not been tried.
    assert used(fake) == list("abcde")
    fake.script.rules.clear()
    eventually(lambda: ask(detour, str(time.time())).status_code == 200)
    assert used(fake)[5:] == ["f"]


def test_a_stream_is_kept_alive_while_it_waits(start: Start, fake: FakeUpstream) -> None:
    fake.script.add(limited(7), key="secret-a", times=1)
    detour = start(providers=anthropic(fake), credentials=[credential("a")], routing={"max_wait": "30s"})
    model = "claude-sonnet-4-5"
    messages = {
        "model": model,
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "x"}],
        "stream": True,
    }
    contents = {"contents": [{"role": "user", "parts": [{"text": "x"}]}]}
    gemini = f"/v1beta/models/{model}:streamGenerateContent"
    asked = {
        "anthropic": ("/v1/messages", messages),
        "openai-chat": ("/v1/chat/completions", messages),
        "gemini": (f"{gemini}?alt=sse", contents),
        "array": (gemini, contents),
    }

    def post(path: str, body: dict[str, Any]) -> httpx.Response:
        return httpx.post(f"{detour.gateway_url}{path}", json=body, timeout=TIMEOUT, trust_env=False)

    with ThreadPoolExecutor() as pool:
        waiting = {"anthropic": pool.submit(post, *asked.pop("anthropic"))}
        eventually(lambda: detour.credentials()["a"]["models"])
        waiting |= {name: pool.submit(post, *given) for name, given in asked.items()}
        answers = {name: answer.result() for name, answer in waiting.items()}
    assert {answer.status_code for answer in answers.values()} == {200}
    said = {name: answer.text for name, answer in answers.items()}
    before, _, after = said["anthropic"].partition("event: message_start")
    assert before.startswith("event: ping\n") and "message_stop" in after
    assert said["openai-chat"].startswith(": keep-alive\n\n") and said["openai-chat"].endswith(
        "data: [DONE]\n\n"
    )
    # What Google's libraries read past, and where nothing may stand, nothing.
    assert said["gemini"].startswith("\r\n") and said["gemini"].lstrip().startswith("data: {")
    assert answers["array"].headers["content-type"] == "application/json" and answers["array"].json()
    assert used(fake) == ["a"] * 5


def test_what_an_upstream_refuses_after_the_wait_is_told(start: Start, fake: FakeUpstream) -> None:
    fake.script.add(limited(3), key="secret-a", times=1)
    refused = {"type": "error", "error": {"type": "invalid_request_error", "message": "No such tool."}}
    fake.script.add(Fault.status(400, body=json.dumps(refused).encode()), key="secret-a", times=1)
    detour = start(providers=anthropic(fake), credentials=[credential("a")], routing={"max_wait": "30s"})
    body = {"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": "x"}], "stream": True}
    url = f"{detour.gateway_url}/v1/chat/completions"
    answer = httpx.post(url, json=body, timeout=TIMEOUT, trust_env=False)
    last = answer.text.removeprefix(": keep-alive\n\n").partition("\n\n")[0]
    error = json.loads(last.removeprefix("data: "))["error"]
    assert (error["message"], error["type"]) == ("No such tool.", "invalid_request_error")


def test_a_limit_that_is_lifted_early_is_found_out(start: Start, fake: FakeUpstream) -> None:
    fake.script.add(limited(3600), key="secret-a", times=1)
    routing = {"max_wait": 0, "probe_interval": "1s"}
    detour = start(providers=anthropic(fake), credentials=[credential("a")], routing=routing)
    assert ask(detour).status_code == 429
    eventually(lambda: ask(detour, str(time.time())).status_code == 200)
    assert used(fake) == ["a", "a"]
    known = detour.credentials()["a"]
    assert (known["state"], known["models"]) == ("ready", [])


def test_what_a_plan_does_not_cover_is_served_by_the_next_and_nothing_rests(
    start: Start, fake: FakeUpstream
) -> None:
    words = "Extra usage is required for long context requests."
    refusal = {"type": "error", "error": {"type": "rate_limit_error", "message": words}}
    fake.script.add(Fault.status(429, body=json.dumps(refusal).encode()), key="secret-a", times=1)
    detour = start(providers=anthropic(fake), credentials=[credential("a", priority=1), credential("b")])
    assert [ask(detour, text).status_code for text in ("long", "short")] == [200, 200]
    assert used(fake) == ["a", "b", "a"]
