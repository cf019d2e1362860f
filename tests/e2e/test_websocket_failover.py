"""A WebSocket handshake that fails is taken to the next credential; the client sees one 101."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from detour.fakes import Fault
from detour.fakes.call import Call
from detour.fakes.steps import Data, End, Reply, Step
from tests.clients import for_threads
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
LIMIT = {
    "type": "error",
    "status": 429,
    "error": {
        "type": "usage_limit_reached",
        "message": "The usage limit has been reached",
        "resets_in_seconds": 3600,
    },
    "headers": {"x-codex-primary-used-percent": "100"},
}
WRONG = {
    "type": "error",
    "status": 400,
    "error": {
        "type": "invalid_request_error",
        "code": "invalid_prompt",
        "message": "This prompt will not do",
    },
}
FULL = {
    "type": "codex.rate_limits",
    "rate_limits": {"primary": {"used_percent": 100, "resets_in_seconds": 3600}},
}


def says(event: dict[str, Any], *, after: int | None = None) -> Fault:
    """A turn with `event`: alone, or behind `after` events of content, or (-1) before a good answer."""

    def build(call: Call, reply: Reply) -> list[Step]:
        said = Data(b"data: " + json.dumps(event).encode())
        if after == -1:
            return [said, *reply.steps()]
        begun = map(Data, reply.parts[: reply.opening + after]) if after is not None else ()
        return [*begun, said, End()]

    return Fault("says", build, in_stream=True)


CASES = {
    "limit": says(LIMIT),
    "limit-amid": says(LIMIT, after=2),
    "wrong": says(WRONG),
    "full": says(FULL, after=-1),
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
    return connect(
        url, ssl=for_threads(pair.detour.tls()), proxy=pair.detour.proxy_url, additional_headers=headers
    )


def turn(socket: ClientConnection, text: str) -> list[dict[str, Any]]:
    socket.send(json.dumps({"type": "response.create", "model": "gpt-x", "input": text}))
    events = [json.loads(socket.recv(timeout=60))]
    while events[-1]["type"] not in ("response.completed", "error"):
        events.append(json.loads(socket.recv(timeout=60)))
    return events


@pytest.mark.parametrize("via", ["proxy", "gateway"])
@pytest.mark.parametrize("number", range(len(FAULTS)), ids=lambda n: FAULTS[n].name)
def test_the_next_credential_gets_the_handshake(pairs: dict[str, Pair], number: int, via: str) -> None:
    pair = pairs[f"{via}-{number}"]
    with open_socket(pair, via) as socket:
        assert socket.response and len(socket.response.headers["x-detour-id"]) == 18
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


def only_turn(pair: Pair, number: int) -> None:
    """The fault befalls one turn of the credential alone."""
    (rule,) = (r for r in pair.fake.script.rules if r.key == secret("bad", pair.name))
    rule.number = number


@pytest.mark.parametrize("name", ["limit", "limit-amid"])
def test_a_session_whose_account_is_used_up_ends_and_goes_on_elsewhere(
    pairs: dict[str, Pair], name: str
) -> None:
    pair = pairs[name]
    only_turn(pair, 2)
    with open_socket(pair, "proxy") as socket:
        assert turn(socket, "one")[-1]["type"] == "response.completed"
        socket.send(json.dumps({"type": "response.create", "model": "gpt-x", "input": "two"}))
        seen = []
        # Not a word of the error, on which clients give up; the connection ends, on which they come again.
        with pytest.raises(ConnectionClosed):
            while True:
                seen.append(json.loads(socket.recv(timeout=60)))
        assert all(event["type"] != "error" for event in seen)
    for _ in range(2):
        with open_socket(pair, "gateway") as socket:
            assert turn(socket, "two")[-1]["type"] == "response.completed"
    assert (len(pair.seen("bad")), len(pair.seen("good"))) == (1, 2)
    bad = pair.detour.credentials()[f"{name}-bad"]
    assert bad["state"] in ("cooling", "exhausted") and bad["until"] > time.time() + 3000
    assert "usage_limit_reached" in bad["last_error"]


def test_what_the_request_did_wrong_is_shown_and_the_session_goes_on(pairs: dict[str, Pair]) -> None:
    pair = pairs["wrong"]
    only_turn(pair, 1)
    with open_socket(pair, "proxy") as socket:
        assert turn(socket, "one") == [WRONG]
        assert turn(socket, "two")[-1]["type"] == "response.completed"
    with open_socket(pair, "proxy") as socket:
        turn(socket, "three")
        assert (len(pair.seen("bad")), len(pair.seen("good"))) == (2, 0)
        # And what the account itself refuses afterwards still ends the session.
        only_turn(pair, 0)
        pair.fake.script.add(CASES["wrong"], key=secret("bad", pair.name), number=1)
        pair.fake.script.add(CASES["limit"], key=secret("bad", pair.name), number=1)
        assert turn(socket, "four") == [WRONG]
        with pytest.raises(ConnectionClosed):
            turn(socket, "five")
    with open_socket(pair, "proxy") as socket:
        assert turn(socket, "six")[-1]["type"] == "response.completed"
    assert len(pair.seen("good")) == 1


def test_a_full_window_turns_new_sessions_away_and_ends_none(pairs: dict[str, Pair]) -> None:
    pair = pairs["full"]
    with open_socket(pair, "proxy") as socket:
        assert turn(socket, "one")[-1]["type"] == "response.completed"
        assert turn(socket, "two")[-1]["type"] == "response.completed"
        with open_socket(pair, "proxy") as other:
            assert turn(other, "three")[-1]["type"] == "response.completed"
    assert (len(pair.seen("bad")), len(pair.seen("good"))) == (1, 1)


def test_a_close_of_the_upstream_reaches_the_client(pairs: dict[str, Pair]) -> None:
    with open_socket(pairs["closes"], "proxy") as socket:
        socket.send(json.dumps({"type": "response.create", "model": "gpt-x", "input": "x"}))
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                socket.recv(timeout=60)
    assert closed.value.rcvd
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "account suspended")


def test_a_client_that_closes_closes_the_upstream(pairs: dict[str, Pair]) -> None:
    pair = pairs["left"]
    socket = open_socket(pair, "gateway")
    turn(socket, "hello")
    socket.socket.close()
    (good,) = pair.seen("good")
    assert pair.fake.record.wait_for(lambda _: good.state in ("cancelled", "answered"))
