"""WebSocket handshakes and messages whose model is served in another format: the client goes on over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from detour.fakes import FakeUpstream
from tests.clients import for_threads
from tests.e2e.instance import Detour, base_config
from tests.upstream import FakeThread

ALIASES = {
    "on-claude": "claudes/claude-opus-4-5",
    "on-gpt": "sockets/gpt-5.2",
    "claude-first": {"targets": ["claudes/claude-opus-4-5", "sockets/gpt-5.2"]},
    "gpt-first": {"targets": ["sockets/gpt-5.2", "claudes/claude-opus-4-5"]},
}


class Lab:
    def __init__(self, detour: Detour, sockets: FakeUpstream, claudes: FakeUpstream) -> None:
        self.detour, self.sockets, self.claudes = detour, sockets, claudes

    def open(self, model: str | None) -> ClientConnection:
        """A handshake that announces `model` as Codex does."""
        headers = {"Authorization": "Bearer clients-own-key"}
        if model:
            headers["x-codex-turn-metadata"] = json.dumps({"session_id": "s", "model": model})
        return connect(
            "wss://sockets.test/v1/responses",
            ssl=for_threads(self.detour.tls()),
            proxy=self.detour.proxy_url,
            additional_headers=headers,
            open_timeout=60,
        )


@pytest.fixture(scope="module")
def lab(fakes: FakeThread, ca_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    sockets, claudes = fakes.start("sockets"), fakes.start("claudes")
    config = base_config(ca_bundle)
    config["providers"] = {
        "sockets": {
            "format": "openai-responses",
            "hosts": ["sockets.test"],
            "base_url": sockets.base_url("openai-responses"),
            "websocket": True,
        },
        "claudes": {"format": "anthropic", "base_url": claudes.base_url("anthropic")},
    }
    config["credentials"] = [
        {"id": name, "provider": name, "api_key": f"secret-{name}"} for name in ("sockets", "claudes")
    ]
    config["models"] = ALIASES
    with Detour(config, tmp_path_factory.mktemp("lab")) as detour:
        yield Lab(detour, sockets, claudes)


def ask(socket: ClientConnection, model: str) -> dict[str, Any]:
    """The event that ends the turn."""
    socket.send(json.dumps({"type": "response.create", "model": model, "input": "hi"}))
    while True:
        event = json.loads(socket.recv(timeout=60))
        if event["type"] in ("response.completed", "error"):
            return event


@pytest.mark.parametrize("model", ["on-claude", "claude-first"])
def test_a_handshake_for_a_model_of_another_format_is_sent_to_http(lab: Lab, model: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        lab.open(model)
    # Codex goes over to HTTP at once on exactly this status.
    assert refused.value.response.status_code == 426
    assert b"claudes/claude-opus-4-5: WebSockets are not translated" in refused.value.response.body
    with lab.detour.client() as client:
        answer = client.post(
            "https://sockets.test/v1/responses",
            json={"model": model, "input": "hi"},
            headers={"Authorization": "Bearer clients-own-key"},
        )
    assert answer.json()["output"][0]["content"][0]["text"] == lab.claudes.text


@pytest.mark.parametrize("announced", ["on-gpt", "gpt-first", None])
def test_other_handshakes_are_taken(lab: Lab, announced: str | None) -> None:
    with lab.open(announced) as socket:
        assert ask(socket, "gpt-first")["type"] == "response.completed"
        assert ask(socket, "gpt-5.2-codex")["type"] == "response.completed"
    models = [json.loads(m)["model"] for m in lab.sockets.record.requests[-1].messages]
    assert models == ["gpt-5.2", "gpt-5.2-codex"]


def test_a_message_for_a_model_that_is_elsewhere_does_not_reach_the_account(lab: Lab) -> None:
    with lab.open(None) as socket:
        assert ask(socket, "on-gpt")["type"] == "response.completed"
        told = ask(socket, "on-claude")
        assert (told["type"], told["status"], told["error"]["code"]) == ("error", 426, "unsupported")
        assert "connect again, or use HTTP" in told["error"]["message"]
        assert ask(socket, "on-gpt")["type"] == "response.completed"
    assert "on-claude" not in repr(lab.sockets.record.requests[-1].messages)
