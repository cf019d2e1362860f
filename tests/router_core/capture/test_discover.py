"""Providers that nobody described, drafted from what was recorded."""

from __future__ import annotations

import json

import pytest
import yaml

from router_core.capture.discover import guess, hosts, likely
from router_core.capture.record import Frame, Hop, Opening, Received, Record, Sent
from router_core.config.schema import ProviderConfig
from router_core.formats import Format

SECRET = "redacted-secret-0123456789ab"
CHAT = {"model": "gpt-5.5", "messages": [{"role": "user", "content": "hi"}], "stream": False}


def seen(
    url: str,
    body: object,
    headers=(),
    answer: bytes = b"{}",
    provider: str | None = None,
    method: str = "POST",
) -> Record:
    sent = Sent(0.0, method, url, [("authorization", f"Bearer {SECRET}"), *headers])
    data = json.dumps(body).encode() if body is not None else b""
    sent.body.add(data, [(0.0, len(data))])
    received = Received(0.1, 400 if b"11101" in answer else 200)
    received.body.add(answer, [(0.1, len(answer))])
    opening = Opening("01x", 0.0, method, url, provider=provider)
    return Record(opening, Hop(0, sent, received), end={"status": received.status, "t": 0.2})


def test_codebuddy_would_have_been_found():
    url = "https://www.codebuddy.ai/v2/chat/completions"
    refusal = b'{"code":11101,"msg":"Non-stream chat request is currently not supported"}'
    [found] = guess(
        [
            seen(url, CHAT, [("x-api-key", SECRET), ("x-team-key", SECRET)], refusal),
            seen(url, {**CHAT, "model": "gpt-5.4"}),
        ]
    )
    assert (found.host, found.format, found.base_url) == (
        "www.codebuddy.ai",
        Format.OPENAI_CHAT,
        "https://www.codebuddy.ai/v2",
    )
    draft = yaml.safe_load(found.draft())
    assert draft["name"] == "codebuddy" and draft["quirks"] == ["force_stream"]
    assert draft["auth"] == [
        {"header": "authorization", "scheme": "bearer"},
        {"header": "x-api-key", "scheme": "raw"},
    ]
    assert [m["id"] for m in draft["models"]] == ["gpt-5.4", "gpt-5.5"]
    ProviderConfig(**draft)


@pytest.mark.parametrize(
    ("url", "body", "headers", "format", "base"),
    [
        (
            "https://a.example/x/v1/messages",
            {**CHAT, "max_tokens": 1},
            [],
            Format.ANTHROPIC,
            "https://a.example/x",
        ),
        (
            "https://a.example/api/chat",
            CHAT,
            [("anthropic-version", "1")],
            Format.ANTHROPIC,
            "https://a.example/api",
        ),
        (
            "https://a.example/v1/responses",
            {"model": "m", "input": "hi"},
            [],
            Format.OPENAI_RESPONSES,
            "https://a.example/v1",
        ),
        (
            "https://a.example/v1beta/models/g:generateContent",
            {"contents": []},
            [],
            Format.GEMINI,
            "https://a.example",
        ),
        ("https://a.example/internal:generate", {"contents": [{}]}, [], Format.GEMINI, "https://a.example"),
    ],
)
def test_formats_are_told_by_path_and_body(url, body, headers, format, base):
    [found] = guess([seen(url, body, headers)])
    assert (found.format, found.base_url) == (format, base)


@pytest.mark.parametrize(
    "record",
    [
        seen("https://a.example/v1/chat/completions", CHAT, provider="known"),
        seen("https://a.example/telemetry", {"events": []}),
        seen("https://a.example/v1/chat/completions", None, method="GET"),
        seen("https://a.example/v1/chat/completions", ["no", "object"]),
        Record(Opening("01t", 0.0, "CONNECT", "https://a.example/", "tunnel")),
    ],
)
def test_what_does_not_look_like_models_is_not_drafted(record):
    assert guess([record]) == []


def test_hosts_are_summed_up():
    one = seen("https://a.example/v1/chat/completions", CHAT, answer=b"x" * 100)
    two = seen("https://b.example/t", {"e": 1}, answer=b'{"code":11101}')
    one.frames = [
        Frame(0.1, 0, True, "text", b"ask"),
        Frame(0.2, 0, False, "text", b"say it"),
        Frame(0.2, 1, False, "text", b"n"),
    ]
    first, second = hosts([two, one, one])
    assert (first.name, first.requests, first.received, first.models) == ("a.example", 2, 212, {"gpt-5.5"})
    assert first.sent == 2 * (len(one.client.request.body.data) + 3)
    assert (second.name, second.failed) == ("b.example", 1)


@pytest.mark.parametrize(
    ("name", "is_likely"),
    [
        ("api.foo.dev", True),
        ("www.codebuddy.ai", True),
        ("llm.corp", True),
        ("github.com", False),
        ("packages.example.org", False),
    ],
)
def test_names_hint(name, is_likely):
    assert likely(name) == is_likely
