"""Codex behind the box: a WebSocket that knows of no proxy is routed like any other."""

from __future__ import annotations

import json
import ssl
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from detour.fakes import Fault
from tests.clients import for_threads
from tests.e2e.wire import fresh_model
from tests.gateway.conftest import CODEX_HOST, CODEX_KEYS, Box
from tests.gateway.network import PROVIDER, TIMEOUT


def codex(box: Box, version: int) -> ClientConnection:
    """A session as Codex opens it: it knows of no proxy, and trusts the authority."""
    return connect(
        f"wss://{CODEX_HOST}/backend-api/codex/responses",
        sock=box.network.connect("client", PROVIDER[version], 443),
        ssl=for_threads(ssl.create_default_context(cafile=str(box.detour.ca_file))),
        additional_headers={"Authorization": "Bearer clients-own-token", "Originator": "codex_cli_rs"},
        open_timeout=TIMEOUT,
    )


def turn(session: ClientConnection, model: str, text: str) -> list[dict[str, Any]]:
    create = {"type": "response.create", "model": model, "input": text}
    session.send(json.dumps(create, ensure_ascii=False))
    events = [json.loads(session.recv(timeout=TIMEOUT))]
    while events[-1]["type"] != "response.completed":
        events.append(json.loads(session.recv(timeout=TIMEOUT)))
    return events


@pytest.mark.parametrize("version", [0, 1], ids=["IPv4", "IPv6"])
def test_a_websocket_is_routed_and_fails_over_too(box: Box, version: int) -> None:
    model = fresh_model()
    box.provider.script.add(Fault.status(529), key=CODEX_KEYS["CODEX_FIRST"], times=1)
    with codex(box, version) as session:
        # Longer than the pieces in which mitmproxy would send it, with characters at every cut.
        for text in ("hello", "€" * 5000):
            events = turn(session, model, text)
            assert "".join(e["delta"] for e in events if "delta" in e) == box.provider.text
    seen = [r for r in box.provider.record.requests if r.model == model]
    assert {(r.protocol, r.key) for r in seen} == {("websocket", CODEX_KEYS["CODEX_SECOND"])}
    assert {r.connection.sni for r in seen} == {CODEX_HOST}
    assert "clients-own-token" not in repr([r.headers for r in seen])
    assert "€" * 5000 in seen[-1].messages[-1]
