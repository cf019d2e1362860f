"""What the wire gets and what clients get back, through a real Detour."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from detour.fakes import FakeUpstream, Fault
from detour.fakes.call import Call
from detour.fakes.steps import Reply, Step
from router_core.json_document import parse
from router_core.sse import EventReader
from tests import clients
from tests.e2e.instance import Detour, base_config
from tests.upstream import FakeThread

MESSAGES = [{"role": "user", "content": "hello"}]
NAMES = ("anthropic", "codebuddy", "openai", "codex", "openrouter")
KIMI = {"id": "moonshotai/kimi-k2.5", "provider": {"order": ["moonshotai"], "allow_fallbacks": False}}


@pytest.fixture(scope="module")
def upstreams(fakes: FakeThread) -> dict[str, FakeUpstream]:
    return {name: fakes.start(f"rewriting-{name}") for name in NAMES}


@pytest.fixture(scope="module")
def detour(
    upstreams: dict[str, FakeUpstream], ca_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Detour]:
    formats = {"anthropic": "anthropic", "codex": "openai-responses"}
    config = base_config(ca_bundle)
    config["upstream"] |= {"connect_timeout": "20s", "first_byte_timeout": "30s", "idle_timeout": "30s"}
    config["providers"] = {
        name: {"base_url": upstream.base_url(formats.get(name, "openai-chat"))}
        for name, upstream in upstreams.items()
    }
    config["providers"]["openrouter"]["models"] = [KIMI]
    config["credentials"] = [{"id": name, "provider": name, "api_key": "env:KEY"} for name in upstreams]
    config["models"] = {"clever": "anthropic/claude-sonnet-4-5-20250929", "quick": "openai/gpt-5.1"}
    config["rewrites"] = [
        {
            "name": "team",
            "when": {"provider": "openai"},
            "headers": {"set": {"x-team": "blue"}},
            "set": {"user": "u1"},
        }
    ]
    with Detour(config, tmp_path_factory.mktemp("detour"), {"KEY": "ck_1.secret"}) as running:
        yield running


def last(upstream: FakeUpstream) -> Any:
    return upstream.record.requests[-1]


def test_codebuddy_streams_for_a_client_that_does_not(
    detour: Detour, upstreams: dict[str, FakeUpstream]
) -> None:
    with clients.openai_sdk(detour.gateway_url + "/v1", ca=detour.tls()) as client:
        answer = client.chat.completions.create(model="codebuddy/gpt-5.5", messages=MESSAGES)
    seen = last(upstreams["codebuddy"])
    headers = {name.lower(): value for name, value in seen.headers}
    assert answer.choices[0].message.content == upstreams["codebuddy"].text
    assert answer.choices[0].finish_reason == "stop"
    assert seen.document["stream"] is True and seen.document["model"] == "gpt-5.5"
    assert seen.document["messages"][0]["role"] == "system"
    assert (headers["authorization"], headers["x-api-key"]) == ("Bearer ck_1.secret", "ck_1.secret")


def test_a_virtual_name_comes_back_in_streams_and_bodies(
    detour: Detour, upstreams: dict[str, FakeUpstream]
) -> None:
    with clients.anthropic_sdk(detour.gateway_url, ca=detour.tls()) as client:
        assert client.messages.create(model="clever", max_tokens=9, messages=MESSAGES).model == "clever"
        with client.messages.stream(model="clever", max_tokens=9, messages=MESSAGES) as stream:
            assert "".join(stream.text_stream) == upstreams["anthropic"].text
            assert stream.get_final_message().model == "clever"
    assert last(upstreams["anthropic"]).document["model"] == "claude-sonnet-4-5-20250929"


def test_usage_is_asked_for_and_kept_from_a_client_that_did_not(
    detour: Detour, upstreams: dict[str, FakeUpstream]
) -> None:
    with clients.openai_sdk(detour.gateway_url + "/v1", ca=detour.tls()) as client:
        chunks = list(client.chat.completions.create(model="quick", messages=MESSAGES, stream=True))
    seen = last(upstreams["openai"])
    assert seen.document["stream_options"] == {"include_usage": True}
    assert (seen.document["user"], dict(seen.headers).get("x-team")) == ("u1", "blue")
    assert all(chunk.choices and chunk.usage is None and chunk.model == "quick" for chunk in chunks)


def test_openrouter_is_told_who_is_to_host_a_model(
    detour: Detour, upstreams: dict[str, FakeUpstream]
) -> None:
    with clients.openai_sdk(detour.gateway_url + "/v1", ca=detour.tls()) as client:
        ask = client.chat.completions.create
        ask(model="openrouter/moonshotai/kimi-k2.5", messages=MESSAGES)
        document = last(upstreams["openrouter"]).document
        assert (document["provider"], document["usage"]) == (KIMI["provider"], {"include": True})
        own = {"order": ["novita"], "sort": "price"}
        ask(model="openrouter/moonshotai/kimi-k2.5", messages=MESSAGES, extra_body={"provider": own})
        assert last(upstreams["openrouter"]).document["provider"] == own
        ask(model="openrouter/z-ai/glm-4.7", messages=MESSAGES)
        assert "provider" not in last(upstreams["openrouter"]).document


BODY = (
    b'{ "max_tokens":5, "model": "claude-sonnet-4-5-20250929", "n": 1.50, "s": "\\u00e9", '
    b'"messages": [{"role": "user", "content": "hi"}%s] }'
)
UNSIGNED = b', {"role": "assistant", "content": [{"type": "thinking", "thinking": "x"}, {"type": "text", "text": "y"}]}, {"role": "user", "content": "go"}'
SIGNED = UNSIGNED.replace(b'{"type": "thinking", "thinking": "x"}, ', b"")


def test_only_what_a_rule_says_changes(detour: Detour, upstreams: dict[str, FakeUpstream]) -> None:
    with detour.client() as client:
        for sent, expected in ((b"", b""), (UNSIGNED, SIGNED)):
            headers = {"content-type": "application/json", "x-api-key": "client"}
            answer = client.post(
                "https://api.anthropic.com/v1/messages", content=BODY % sent, headers=headers
            )
            assert answer.status_code == 200, answer.text
            assert last(upstreams["anthropic"]).body == BODY % expected


def test_chatgpts_backend_gets_what_it_takes(detour: Detour, upstreams: dict[str, FakeUpstream]) -> None:
    with clients.openai_sdk(detour.gateway_url + "/v1", ca=detour.tls()) as client:
        answer = client.responses.create(
            model="codex/gpt-5.5", input="hello", temperature=0.5, max_output_tokens=50
        )
    document = last(upstreams["codex"]).document
    assert answer.output_text == upstreams["codex"].text
    assert {k: document.get(k) for k in ("stream", "store", "instructions", "model")} == {
        "stream": True,
        "store": False,
        "instructions": "",
        "model": "gpt-5.5",
    }
    assert not {"temperature", "max_output_tokens"} & document.keys()
    assert document["input"][0]["content"] == [{"type": "input_text", "text": "hello"}]


THOUGHT = (
    b'event: message_start\ndata: {"type":"message_start","message":{"model":"m","content":[]}}\n\n'
    b'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"thinking"}}\n\n'
    b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
    b'event: content_block_start\ndata: {"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t"}}\n\n'
    b'event: content_block_stop\ndata: {"type":"content_block_stop","index":1}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)


def test_amps_streams_have_signatures_and_no_thinking(
    detour: Detour, upstreams: dict[str, FakeUpstream]
) -> None:
    def thinks(call: Call, reply: Reply) -> list[Step]:
        return Reply(200, (("content-type", "text/event-stream"),), (THOUGHT[:200], THOUGHT[200:])).steps()

    upstreams["anthropic"].script.add(Fault("thinks", thinks), model="claude-haiku-4-5-20251001")
    body = {"model": "claude-haiku-4-5-20251001", "max_tokens": 9, "messages": MESSAGES, "stream": True}
    headers = {"user-agent": "amp/1.0"}
    answer = httpx.post(f"{detour.gateway_url}/v1/messages", json=body, headers=headers, trust_env=False)
    blocks = [parse(e.data or b"{}") for e in EventReader().feed(answer.content)]
    assert [(b["type"], b.get("index")) for b in blocks[1:-1]] == [
        ("content_block_start", 0),
        ("content_block_stop", 0),
    ]
    assert blocks[1]["content_block"] == {"type": "tool_use", "id": "t", "signature": ""}
