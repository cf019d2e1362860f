"""Explanations, as values: nothing is sent, and no secret is fetched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from router_core.config.loader import parse
from router_core.core import Core
from router_core.errors import Code, Refusal
from router_core.exchange import Headers, Outcome, Request
from router_core.explain import Explanation, explain, told
from router_core.formats import Format, Operation
from router_core.prepare import Outgoing, prepare
from tests.router_core import wire

CONFIG: dict[str, Any] = {
    "version": 1,
    "credentials": [
        {"id": "work", "provider": "anthropic", "api_key": "env:WORK", "priority": 5},
        {"id": "router", "provider": "openrouter", "api_key": {"command": ["false"]}},
    ],
    "models": {
        "best": {
            "targets": ["anthropic/claude-opus-4-6", "glm/glm-4.7", "openrouter/anthropic/claude-opus-4.6"]
        },
    },
}
MESSAGE = {"model": "claude-opus-4-6", "max_tokens": 8, "messages": [{"role": "user", "content": "hi"}]}
SECRET = "sk-ant-secret-secret-secret"


def explained(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    body: Any,
    *,
    host: str | None = "api.anthropic.com",
    path: str = "/v1/messages",
    headers: Headers | None = None,
    **changes: Any,
) -> Explanation:
    monkeypatch.setenv("WORK", SECRET)
    loaded = parse(json.dumps(CONFIG | changes).encode(), tmp_path / "detour.yaml")
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = Request("POST", path, [("content-type", "application/json"), *(headers or [])], content)
    return explain(Core(loaded), host, request)


def test_a_routed_request(tmp_path, monkeypatch):
    found = explained(
        tmp_path, monkeypatch, MESSAGE | {"stream": True}, headers=[("x-api-key", "the-tools-own")]
    )

    assert (found.kind, found.provider, found.format, found.operation) == (
        "surface",
        "anthropic",
        Format.ANTHROPIC,
        Operation.GENERATE,
    )
    assert found.model == "claude-opus-4-6" and found.stream and found.refusal is None
    (step,) = found.steps
    assert step.target == "anthropic/claude-opus-4-6" and step.credential == "work" and step.reason
    assert isinstance(step.sends, Outgoing)
    assert step.sends.url == "https://api.anthropic.com/v1/messages"
    assert ("x-api-key", "[secret of work]") in step.sends.headers
    assert "the-tools-own" not in str(step.sends.headers)
    assert SECRET not in repr(found) + str(step.sends.headers)


def test_a_chain_in_order_with_what_is_passed_over(tmp_path, monkeypatch):
    found = explained(tmp_path, monkeypatch, MESSAGE | {"model": "best"}, host=None)

    assert found.steps[0].target == "anthropic/claude-opus-4-6"
    assert ("glm/glm-4.7" in dict(found.skipped)) and "credential" in dict(found.skipped)["glm/glm-4.7"]


def test_the_clients_own_credential_where_none_is_configured(tmp_path, monkeypatch):
    found = explained(tmp_path, monkeypatch, MESSAGE, credentials=[])

    (step,) = found.steps
    assert step.credential is None and "client's own" in step.reason
    assert isinstance(step.sends, Outgoing) and step.sends.body == json.dumps(MESSAGE).encode()


def test_what_detour_refuses(tmp_path, monkeypatch):
    unknown = explained(tmp_path, monkeypatch, MESSAGE | {"model": "no-such-model"}, host=None)
    malformed = explained(tmp_path, monkeypatch, b"{", host=None)
    large = explained(tmp_path, monkeypatch, MESSAGE, host=None, limits={"body": "20B"})

    assert isinstance(unknown.refusal, Refusal) and unknown.refusal.code is Code.MODEL_NOT_FOUND
    assert isinstance(malformed.refusal, Refusal) and malformed.refusal.status == 400
    assert isinstance(large.refusal, Refusal) and large.refusal.code is Code.REQUEST_TOO_LARGE
    assert unknown.steps == malformed.steps == large.steps == []


@pytest.mark.parametrize(
    ("host", "path", "kind"),
    [
        ("example.com", "/v1/messages", "tunnel"),
        (None, "/nothing/here", "not_found"),
        ("API.Anthropic.com.", "/v1/messages", "surface"),
    ],
)
def test_what_is_no_surface(tmp_path, monkeypatch, host, path, kind):
    assert explained(tmp_path, monkeypatch, MESSAGE, host=host, path=path).kind == kind


def test_a_disabled_provider(tmp_path, monkeypatch):
    found = explained(tmp_path, monkeypatch, MESSAGE, providers={"anthropic": {"enabled": False}})

    assert (found.kind, found.provider, found.steps) == ("disabled", "anthropic", [])


def test_a_credentials_own_base_url_and_headers(tmp_path, monkeypatch):
    credential = CONFIG["credentials"][0] | {
        "base_url": "https://relay.example/",
        "headers": {"x-team": "blue"},
    }

    found = explained(tmp_path, monkeypatch, MESSAGE, credentials=[credential])

    sends = found.steps[0].sends
    assert isinstance(sends, Outgoing)
    assert sends.url == "https://relay.example/v1/messages"
    assert ("x-team", "blue") in sends.headers


def test_what_became_of_an_exchange_in_words() -> None:
    body = b'{"model":"m","max_tokens":5,"messages":[{"role":"assistant","content":[{"type":"thinking"}]}]}'
    x = wire.exchange(Format.ANTHROPIC, body)
    to = wire.provider(Format.ANTHROPIC, quirks={"claude_api"})
    first, second = wire.attempt(x, to, model="up"), wire.attempt(x, to, model="up")
    first.outcome, first.reason, second.number = Outcome("headers", 429), "priority 0", 2
    for attempt in (first, second):
        prepare(x, attempt, wire.built_in())
        x.attempts.append(attempt)
    lines = told(x).splitlines()
    assert lines[0] == "1. anthropic/up with c1, HTTP 429: priority 0"
    assert lines[1] == "2. anthropic/up with c1: chosen"
    assert lines[2].startswith("anthropic-unsigned-thinking: The API answers 400")
    assert lines[3].startswith("model-name: ")
