"""A WebSocket handshake that fails is taken to the next credential; the client sees one 101."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from detour.fakes import Fault
from tests.e2e.pair import Pair, secret, serve_pairs
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
CASES = {
    **{f"{via}-{n}": fault for n, fault in enumerate(FAULTS) for via in ("proxy", "gateway")},
    "all-fail": Fault.status(426),
    "closes": Fault.ws_close(1008, "account suspended", after=1),
    "left": Fault.status(401),
}


@pytest.fixture(scope="module")
def pairs(
    fakes: FakeThread, ca_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Pair]]:
    faults = {name: ("openai-responses", fault) for name, fault in CASES.items()}
    with serve_pairs(fakes, ca_bundle, tmp_path_factory.mktemp("pairs"), faults) as pairs:
        yield pairs


def open_socket(pair: Pair, via: str) -> ClientConnection:
    headers = {"Authorization": "Bearer clients-own-key"}
    if via == "gateway":
        url = f"{pair.detour.gateway_url.replace('http', 'ws', 1)}/{pair.name}/v1/responses"
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
@pytest.mark.parametrize("number", range(len(FAULTS)), ids=lambda n: FAULTS[n].name)
def test_the_next_credential_gets_the_handshake(pairs: dict[str, Pair], number: int, via: str) -> None:
    pair = pairs[f"{via}-{number}"]
    with open_socket(pair, via) as socket:
        for text in ("one", "two", "umlaut: ü " * 3000):
            events = turn(socket, text)
            assert "".join(e["delta"] for e in events if "delta" in e) == pair.fake.text
    (good,) = pair.seen("good")
    assert (good.protocol, len(good.messages), len(pair.seen("bad"))) == ("websocket", 3, 1)
    assert json.loads(good.messages[2])["input"] == "umlaut: ü " * 3000
    assert "clients-own-key" not in repr(good.headers)
    assert pair.fake.record.wait_for(lambda _: good.state == "answered")


def test_when_all_fail_the_client_gets_the_upstreams_answer(pairs: dict[str, Pair]) -> None:
    pair = pairs["all-fail"]
    pair.fake.script.add(CASES["all-fail"], key=secret("good", pair.name))
    with pytest.raises(InvalidStatus) as refused:
        open_socket(pair, "proxy")
    # Codex goes over to HTTP at once on exactly this status.
    assert refused.value.response.status_code == 426


def test_a_close_of_the_upstream_reaches_the_client(pairs: dict[str, Pair]) -> None:
    with open_socket(pairs["closes"], "proxy") as socket:
        socket.send(json.dumps({"type": "response.create", "model": "gpt-x", "input": "x"}))
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                socket.recv(timeout=10)
    assert closed.value.rcvd
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "account suspended")


def test_a_client_that_closes_closes_the_upstream(pairs: dict[str, Pair]) -> None:
    pair = pairs["left"]
    socket = open_socket(pair, "gateway")
    turn(socket, "hello")
    socket.socket.close()
    (good,) = pair.seen("good")
    assert pair.fake.record.wait_for(lambda _: good.state in ("cancelled", "answered"))
