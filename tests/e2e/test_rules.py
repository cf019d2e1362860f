"""Each built-in rule of requests over a real Detour: what the client sends, and what the upstream gets."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from detour.fakes import FakeUpstream, Fault
from detour.fakes.call import json_reply
from router_core.providers.definition import load_builtin, reference, url_path
from router_core.rewrite import catalogue
from tests.e2e.instance import TIMEOUT, Detour, base_config
from tests.e2e.rule_cases import CASES, CLAUDE, Case
from tests.upstream import FakeThread

VERSION = {"anthropic-version": "2023-06-01"}
OWN: dict[str, dict[str, Any]] = {
    "two-accounts": {"format": "anthropic", "quirks": ["claude_api"], "headers": VERSION},
    "wants-thoughts": {"format": "anthropic", "quirks": ["echo_reasoning"], "headers": VERSION},
    "by-token": {
        "format": "anthropic",
        "auth": [{"header": "authorization", "scheme": "bearer"}],
        "quirks": ["oauth_beta"],
        "headers": VERSION,
    },
}
"""Providers of these tests; all others are the built-in ones at another address."""
KIMI = {"id": "moonshotai/kimi-k2.5", "provider": {"order": ["moonshotai"], "allow_fallbacks": False}}
USED_UP = "key-of-the-account-that-is-used-up"


@pytest.fixture(scope="module")
def upstream(fakes: FakeThread) -> FakeUpstream:
    """All providers in one: each below the path that it has at its own host."""
    fake = fakes.start("every-provider", lenient=True)
    gemini = {
        "candidates": [{"content": {"role": "model", "parts": [{"text": "hi"}]}, "finishReason": "STOP"}]
    }
    fake.pages["POST", "/v1internal:generateContent"] = json_reply(200, {"response": gemini})
    compacted = {"id": "r", "object": "response.compaction", "output": []}
    fake.pages["POST", "/backend-api/codex/responses/compact"] = json_reply(200, compacted)
    fake.script.add(Fault.status(429), key=USED_UP)
    return fake


@pytest.fixture(scope="module")
def detour(
    upstream: FakeUpstream, ca_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Detour]:
    config = base_config(ca_bundle)
    for name in sorted({case.provider for case in CASES if case.provider}):
        path = "" if name in OWN else url_path(reference(load_builtin()[name].config))
        config["providers"][name] = {"base_url": upstream.origin + path, **OWN.get(name, {})}
        config["credentials"].append({"id": name, "provider": name, "api_key": f"key-of-{name}"})
    config["providers"]["openrouter"]["models"] = [KIMI]
    config["credentials"].append(
        {"id": "used-up", "provider": "two-accounts", "api_key": USED_UP, "priority": 1}
    )
    config["models"] = {"clever": f"anthropic/{CLAUDE}"}
    with Detour(config, tmp_path_factory.mktemp("rules"), options=("--log-format", "json")) as running:
        # The conversation that the cases go on with belongs to an account; elsewhere its state means nothing.
        opening = {"model": CLAUDE, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
        url = f"{running.gateway_url}/anthropic/v1/messages"
        httpx.post(url, json=opening, timeout=TIMEOUT, trust_env=False).raise_for_status()
        yield running


def fired(detour: Detour, answer: httpx.Response) -> set[str]:
    """The rules that the access log names for an exchange, whose line comes a moment after its answer."""
    id, deadline = answer.headers["x-detour-id"], time.monotonic() + TIMEOUT
    while True:
        for line in detour.log.read_text().splitlines():
            exchange = json.loads(line).get("exchange", {}) if id in line else {}
            if exchange.get("id") == id:
                return set(exchange["rules"])
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_every_rule_of_requests_has_a_case() -> None:
    asked = {rule.name for rule in catalogue.BUILT_IN if rule.request is not None}
    always = {catalogue.models.TRANSLATION.name, catalogue.models.NAME_MODEL.name}
    assert asked | always == {case.rule for case in CASES}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_the_wire_before_and_after(detour: Detour, upstream: FakeUpstream, case: Case) -> None:
    pinned = f"/{case.provider}" if case.provider else ""
    answer = httpx.post(
        detour.gateway_url + pinned + case.path,
        headers={"user-agent": "a-client/1.0", **case.headers},
        json=case.sent,
        timeout=TIMEOUT,
        trust_env=False,
    )
    assert answer.status_code == 200, answer.text
    seen = upstream.record.requests[-1]
    assert seen.document == case.expected
    assert list(seen.document) == list(case.expected)
    assert {name: seen.header(name) for name in case.added} == case.added
    rules = fired(detour, answer)
    assert case.rule in rules
    # The built-in answer rules of the same names may have their say too; no other rule had a reason.
    assert rules - {"answer-model-name"} == {case.rule, *case.also}
