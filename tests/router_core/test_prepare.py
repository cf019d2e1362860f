"""What leaves for an upstream: destination, headers, body."""

from __future__ import annotations

import gzip

import pytest
import zstandard

from router_core.errors import Code, Refusal
from router_core.exchange import Headers
from router_core.formats import Format, Operation
from router_core.json_document import parse, serialise
from router_core.prepare import prepare
from router_core.providers.model import Endpoint
from router_core.rewrite.rules import Rules
from tests.router_core import wire

BODY = b'{ "model": "sonnet", "max_tokens": 5, "big": 12345678901234567890, "x": "\\u00e9" , "messages": [] }'

CLIENT: Headers = [
    ("Host", "api.anthropic.com"),
    ("User-Agent", "claude-cli/2.1"),
    ("Authorization", "Bearer client"),
    ("X-Api-Key", "client"),
    ("x-goog-api-key", "client"),
    ("api-key", "client"),
    ("Cookie", "a=b"),
    ("Proxy-Authorization", "Basic x"),
    ("ChatGPT-Account-Id", "client"),
    ("Accept-Encoding", "gzip, br"),
    ("Connection", "keep-alive, X-Hop"),
    ("X-Hop", "1"),
    ("Keep-Alive", "5"),
    ("TE", "trailers"),
    ("Transfer-Encoding", "chunked"),
    ("Expect", "100-continue"),
    ("X-Forwarded-For", "10.0.0.1"),
    ("Via", "1.1 x"),
    ("X-Detour-Id", "1"),
    ("anthropic-beta", "a"),
    ("X-Stainless-OS", "Linux"),
    ("Content-Type", "application/json"),
    ("Content-Length", "1"),
]


def test_credentials_and_the_connection_stay_behind_identity_goes_on() -> None:
    x = wire.exchange(
        Format.ANTHROPIC, BODY, headers=CLIENT, path="/v1/messages?beta=true&key=client&auth_token=client"
    )
    out = wire.prepared(x, rules=Rules(), model="sonnet")
    assert out.headers == [
        ("User-Agent", "claude-cli/2.1"),
        ("Accept-Encoding", "identity"),
        ("anthropic-beta", "a"),
        ("X-Stainless-OS", "Linux"),
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(BODY))),
        ("authorization", "Bearer secret"),
    ]
    assert out.url == "https://api.anthropic.com/v1/messages?beta=true"
    assert out.target == "/v1/messages?beta=true"
    assert out.body is BODY
    assert x.request.headers is CLIENT


def test_no_client_credential_and_no_secret_shows_in_a_repr() -> None:
    x = wire.exchange(Format.ANTHROPIC, BODY, headers=CLIENT)
    out = wire.prepared(x)
    assert "client" not in repr(out).replace("claude-cli", "") and "secret" not in repr(out)


def test_the_clients_own_request_keeps_its_headers() -> None:
    x = wire.exchange(Format.ANTHROPIC, BODY, headers=CLIENT, path="/v1/messages?key=client")
    out = wire.prepared(x, own=True)
    kept = [
        "User-Agent",
        "Authorization",
        "X-Api-Key",
        "x-goog-api-key",
        "api-key",
        "Cookie",
        "ChatGPT-Account-Id",
    ]
    kept += [
        "Accept-Encoding",
        "X-Forwarded-For",
        "Via",
        "anthropic-beta",
        "X-Stainless-OS",
        "Content-Type",
        "Content-Length",
    ]
    assert [n for n, _ in out.headers] == kept
    assert dict(out.headers)["Accept-Encoding"] == "gzip, br"
    assert (out.body, out.target, out.fired) == (BODY, "/v1/messages?key=client", [])


def test_the_providers_headers_are_defaults_and_the_credentials_are_set() -> None:
    to = wire.provider(Format.ANTHROPIC, headers={"anthropic-version": "2023-06-01", "x-a": "provider"})
    x = wire.exchange(
        Format.ANTHROPIC, BODY, headers=[("Anthropic-Version", "2025-01-01"), ("X-Team", "red")]
    )
    tried = wire.attempt(x, to)
    tried.headers = {"x-team": "blue"}
    tried.auth = [("authorization", "Bearer secret"), ("x-api-key", "secret")]
    out = prepare(x, tried, Rules())
    assert not isinstance(out, Refusal)
    assert out.headers == [
        ("Anthropic-Version", "2025-01-01"),
        ("X-Team", "blue"),
        ("x-a", "provider"),
        ("accept-encoding", "identity"),
        ("authorization", "Bearer secret"),
        ("x-api-key", "secret"),
        ("content-length", str(len(BODY))),
    ]


def test_a_renamed_model_changes_nothing_else() -> None:
    out = wire.prepared(wire.exchange(Format.ANTHROPIC, BODY), rules=Rules(), model="claude-sonnet-4-5")
    assert out.body == BODY.replace(b"sonnet", b"claude-sonnet-4-5", 1)
    assert dict(out.headers)["content-length"] == str(len(out.body))
    assert out.fired == ["model-name"]


@pytest.mark.parametrize(
    ("path", "model", "expected"),
    [
        ("/v1beta/models/pro:generateContent", "gemini-3-pro", "/v1beta/models/gemini-3-pro:generateContent"),
        (
            "/v1/models/pro:streamGenerateContent?alt=sse&key=k",
            "up",
            "/v1/models/up:streamGenerateContent?alt=sse",
        ),
        ("/v1beta/models/pro:streamGenerateContent", "a/b c", "/v1beta/models/a/b%20c:streamGenerateContent"),
        (
            "/gemini/v1alpha/models/pro:generateContent?$alt=json",
            "pro",
            "/v1alpha/models/pro:generateContent?$alt=json",
        ),
    ],
)
def test_the_model_in_the_path(path: str, model: str, expected: str) -> None:
    x = wire.exchange(Format.GEMINI, b'{"contents":[]}', path=path)
    out = wire.prepared(x, model=model)
    assert out.target == expected
    assert out.body == b'{"contents":[]}'


def test_the_model_repeated_in_geminis_bodies() -> None:
    body = b'{"generateContentRequest":{"model":"models/pro","contents":[]}}'
    x = wire.exchange(
        Format.GEMINI, body, path="/v1beta/models/pro:countTokens", operation=Operation.COUNT_TOKENS
    )
    out = wire.prepared(x, model="up", rules=Rules())
    assert out.body == body.replace(b"models/pro", b"models/up")
    assert out.target == "/v1beta/models/up:countTokens"
    body = b'{"requests":[{"model":"models/pro"},{"model":"models/pro"}]}'
    x = wire.exchange(
        Format.GEMINI, body, path="/v1beta/models/pro:batchEmbedContents", operation=Operation.EMBEDDINGS
    )
    assert wire.prepared(x, model="up").target == "/v1beta/models/up:batchEmbedContents"


@pytest.mark.parametrize(
    ("base", "format", "path", "expected"),
    [
        ("https://h/v1", Format.OPENAI_CHAT, "/v1/chat/completions", "https://h/v1/chat/completions"),
        (
            "https://h/api/v1/",
            Format.OPENAI_CHAT,
            "/openai/v1/chat/completions?x=1",
            "https://h/api/v1/chat/completions?x=1",
        ),
        ("https://h", Format.ANTHROPIC, "/anthropic/v1/messages", "https://h/v1/messages"),
        ("http://127.0.0.1:9/x", Format.OPENAI_RESPONSES, "/v1/responses", "http://127.0.0.1:9/x/responses"),
    ],
)
def test_the_base_url_is_joined_with_the_suffix(base: str, format: Format, path: str, expected: str) -> None:
    x = wire.exchange(format, b'{"model":"m"}', path=path)
    assert wire.prepared(x, wire.provider(format, base=base), rules=Rules()).url == expected


def test_a_websocket_handshake_keeps_what_makes_it_one() -> None:
    handshake: Headers = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Key", "abc"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Extensions", "permessage-deflate"),
        ("Authorization", "Bearer client"),
        ("OpenAI-Beta", "responses_websockets=2026-02-06"),
    ]
    x = wire.exchange(
        Format.OPENAI_RESPONSES, b"", method="GET", headers=handshake, websocket=True, model="gpt-5"
    )
    out = wire.prepared(x)
    assert out.headers == [h for h in handshake if h[0] != "Authorization"] + [
        ("authorization", "Bearer secret")
    ]
    assert (out.method, out.target, out.body) == ("GET", "/v1/responses", b"")


@pytest.mark.parametrize(("coding", "encode"), [("gzip", gzip.compress), ("zstd", zstandard.compress)])
def test_an_encoded_body(coding: str, encode) -> None:
    x = wire.exchange(Format.ANTHROPIC, BODY, headers=[("Content-Encoding", coding)])
    object.__setattr__(x.request, "body", encode(BODY))
    untouched = wire.prepared(x, rules=Rules())
    assert untouched.body is x.request.body and ("Content-Encoding", coding) in untouched.headers
    changed = wire.prepared(x, rules=Rules(), model="up")
    assert changed.body == BODY.replace(b"sonnet", b"up")
    assert all(n.lower() != "content-encoding" for n, _ in changed.headers)


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'"x"', b"\xff\xfe", b'{"a":' * 3000])
def test_a_body_that_is_no_object_goes_as_it_came(body: bytes) -> None:
    out = wire.prepared(wire.exchange(Format.ANTHROPIC, body, model="m"), model="up")
    assert out.body is body


def test_each_attempt_starts_from_the_clients_own_bytes() -> None:
    x = wire.exchange(Format.OPENAI_CHAT, b'{"model":"m","stream":true,"messages":[]}')
    first = wire.prepared(x, wire.provider(Format.OPENAI_CHAT, "a"), model="a")
    second = wire.prepared(x, wire.provider(Format.OPENAI_CHAT, "b", quirks={"no_stream_options"}), model="b")
    assert parse(first.body)["stream_options"] == {"include_usage": True}
    assert second.body == b'{"model":"b","stream":true,"messages":[]}'


@pytest.mark.parametrize("thread", [{"type": "create"}, {"type": "continue", "previous_message_id": "m"}])
def test_a_thread_goes_to_anthropic_alone(thread: dict[str, str]) -> None:
    body = serialise({"model": "m", "max_tokens": 5, "messages": [], "thread": thread})
    x = wire.exchange(Format.ANTHROPIC, body, model="m")
    assert wire.prepared(x, wire.provider(Format.ANTHROPIC, quirks={"claude_api"})).body == body
    refused = prepare(x, wire.attempt(x, wire.provider(Format.ANTHROPIC), model="m"), wire.built_in())
    assert isinstance(refused, Refusal) and refused.details


def test_another_format_needs_a_translation() -> None:
    x = wire.exchange(Format.ANTHROPIC, BODY)
    refused = prepare(x, wire.attempt(x, wire.provider(Format.OPENAI_CHAT)), Rules())
    assert isinstance(refused, Refusal)
    assert refused.code is Code.UNSUPPORTED


def test_a_forced_stream_of_gemini_changes_the_path() -> None:
    to = wire.provider(Format.GEMINI, quirks={"force_stream"})
    x = wire.exchange(Format.GEMINI, b'{"contents":[]}', path="/v1beta/models/pro:generateContent")
    assert wire.prepared(x, to).target == "/v1beta/models/pro:streamGenerateContent?alt=sse"


def test_paths_of_the_providers_own() -> None:
    endpoint = Endpoint(
        Format.GEMINI,
        "https://h",
        "",
        (Operation.GENERATE,),
        paths={
            Operation.GENERATE: (
                ("POST", "/v1internal:generateContent"),
                ("POST", "/v1internal:streamGenerateContent"),
            )
        },
    )
    to = wire.provider(Format.GEMINI, "assist", quirks={"code_assist_envelope"})
    object.__setattr__(to, "endpoints", (endpoint,))
    x = wire.exchange(Format.GEMINI, b'{"contents":[]}', path="/v1beta/models/pro:streamGenerateContent")
    assert wire.prepared(x, to).url == "https://h/v1internal:streamGenerateContent?alt=sse"


def test_a_passed_through_path_goes_to_its_own_url() -> None:
    x = wire.exchange(Format.OPENAI_CHAT, b"", method="GET", path="/openai/v1/files?key=client&limit=2")
    object.__setattr__(x.surface, "url", "https://api.openai.com/v1/files?key=client&limit=2")
    object.__setattr__(x.surface, "operation", Operation.PASSTHROUGH)
    assert wire.prepared(x).url == "https://api.openai.com/v1/files?limit=2"
