"""A WebSocket handshake that fails is taken to the next credential; the client sees one 101."""

from __future__ import annotations

import json
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from detour.fakes import Fault
from tests.e2e.conftest import Start
from tests.e2e.pair import Pair, start_pair
from tests.upstream import FakeThread

FAULTS = (
    Fault.status(401),
    Fault.status(403),
    Fault.status(429, framing="chunked"),
    Fault.status(500, framing="eof"),
    Fault.status(529, slow_body=30),
    Fault.reset_before_first_byte(),
    Fault.close_before_first_byte(),
    Fault.never_answer(),
)


def open_socket(pair: Pair, via: str) -> ClientConnection:
    headers = {"Authorization": "Bearer clients-own-key"}
    if via == "gateway":
        url = pair.detour.gateway_url.replace("http", "ws", 1) + "/openai/v1/responses"
        return connect(url, proxy=None, additional_headers=headers)
    url = f"wss://{pair.host}/v1/responses"
    return connect(url, ssl=pair.detour.tls(), proxy=pair.detour.proxy_url, additional_headers=headers)


def turn(socket: ClientConnection, text: str) -> list[dict[str, Any]]:
    socket.send(json.dumps({"type": "response.create", "model": "gpt-x", "input": text}))
    events = [json.loads(socket.recv(timeout=10))]
    while events[-1]["type"] not in ("response.completed", "error"):
        events.append(json.loads(socket.recv(timeout=10)))
    return events


@pytest.mark.parametrize("via", ["proxy", "gateway"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.name)
def test_the_next_credential_gets_the_handshake(
    start: Start, fakes: FakeThread, fault: Fault, via: str
) -> None:
    pair = start_pair(start, fakes, fault, "openai")
    with open_socket(pair, via) as socket:
        for text in ("one", "two", "umlaut: ü " * 3000):
            events = turn(socket, text)
            assert "".join(e["delta"] for e in events if "delta" in e) == pair.fake.text
    (good,) = pair.seen("good")
    assert (good.protocol, len(good.messages), len(pair.seen("bad"))) == ("websocket", 3, 1)
    assert json.loads(good.messages[2])["input"] == "umlaut: ü " * 3000
    assert "clients-own-key" not in repr([r.headers for r in pair.fake.record.requests])
    assert pair.fake.record.wait_for(lambda _: good.state == "answered")


def test_when_all_fail_the_client_gets_the_upstreams_answer(start: Start, fakes: FakeThread) -> None:
    pair = start_pair(start, fakes, Fault.status(426), "openai")
    pair.fake.script.add(Fault.status(426), key="secret-good")
    with pytest.raises(InvalidStatus) as refused:
        open_socket(pair, "proxy")
    # Codex goes over to HTTP at once on exactly this status.
    assert refused.value.response.status_code == 426


def test_a_close_of_the_upstream_reaches_the_client(start: Start, fakes: FakeThread) -> None:
    pair = start_pair(start, fakes, Fault.ws_close(1008, "account suspended", after=1), "openai")
    with open_socket(pair, "proxy") as socket:
        socket.send(json.dumps({"type": "response.create", "model": "gpt-x", "input": "x"}))
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                socket.recv(timeout=10)
    assert closed.value.rcvd
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "account suspended")


def test_a_client_that_closes_closes_the_upstream(start: Start, fakes: FakeThread) -> None:
    pair = start_pair(start, fakes, Fault.status(401), "openai")
    socket = open_socket(pair, "gateway")
    turn(socket, "hello")
    socket.socket.close()
    (good,) = pair.seen("good")
    assert pair.fake.record.wait_for(lambda _: good.state in ("cancelled", "answered"))
