"""How long the beginning of a stream is held back, and what gets through meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from detour.fakes import Fault
from detour.fakes.anthropic import PING, stream_error
from detour.fakes.call import Call
from detour.fakes.steps import Data, End, Gate, Pause, Reply, Step
from tests.e2e.pair import Pair, serve_pairs
from tests.e2e.wire import SHAPES
from tests.upstream import FakeThread

START = b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","content":[]}}\n\n'
BLOCK = b'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n'


def opening(*parts: bytes | Step) -> Fault:
    """A 200 stream that begins with `parts` and then fails."""

    def build(call: Call, reply: Reply) -> list[Step]:
        steps = [Data(p) if isinstance(p, bytes) else p for p in parts]
        return [reply.head(), *steps, Data(stream_error(call, "")), End()]

    return Fault("opening", build, in_stream=True)


def comments(call: Call, reply: Reply) -> list[Step]:
    return [reply.head(), Data(COMMENT), Gate("comments"), Data(call.wire.stream_error(call, "")), End()]


def cut(call: Call, reply: Reply) -> list[Step]:
    whole = START + stream_error(call, "")
    pieces = [step for at in range(0, len(whole), 7) for step in (Data(whole[at : at + 7]), Pause(0.002))]
    return [reply.head(), *pieces, End()]


COMMENT = b": OPENROUTER PROCESSING\n\n"
TOO_MUCH: dict[str, tuple[bytes, ...]] = {
    "too-many-events": (START, *[BLOCK] * 250),
    "long-event": (START[:-2] + b"\ndata: " + b" " * 80_000 + b"\n\n",),
    "long-comment": (START, b": " + b"x" * 80_000 + b"\n\n"),
}
CASES = {
    **{name: opening(*parts) for name, parts in TOO_MUCH.items()},
    "many-events": opening(START, *[BLOCK] * 150),
    "time": opening(START, BLOCK, Gate("time")),
    "pings": opening(PING, PING, Gate("pings")),
    "comments": Fault("comments", comments),
    "thinks": Fault.pings(6, seconds=0.5),
    "empty": Fault.empty(),
    "head-alone": Fault.head_then_stall(),
    "cut": Fault("cut", cut),
}


@pytest.fixture(scope="module")
def pairs(
    fakes: FakeThread, ca_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Pair]]:
    faults = {name: ("openai-chat" if name == "comments" else "anthropic", f) for name, f in CASES.items()}
    folder = tmp_path_factory.mktemp("pairs")
    with serve_pairs(fakes, ca_bundle, folder, faults, limits={"hold_time": "500ms"}) as pairs:
        yield pairs


def ask(pair: Pair, client: Any, format: str = "anthropic") -> Any:
    path, headers, body = SHAPES[format].request("m", stream=True)
    return client.stream("POST", f"https://{pair.host}{path}", headers=headers, json=body)


def read(pair: Pair) -> str:
    with pair.detour.client() as client, ask(pair, client) as answer:
        assert answer.status_code == 200
        return answer.read().decode()


@pytest.mark.parametrize("name", TOO_MUCH)
def test_more_than_is_held_commits_to_the_first_upstream(pairs: dict[str, Pair], name: str) -> None:
    pair = pairs[name]
    text = read(pair)
    assert text.startswith(b"".join(TOO_MUCH[name]).decode())
    assert text.count("event: error") == 1
    assert pair.seen("good") == []


def test_what_is_held_fails_over_up_to_the_limit(pairs: dict[str, Pair]) -> None:
    pair = pairs["many-events"]
    text = read(pair)
    assert text.count("event: content_block_start") == 1
    assert "event: error" not in text
    assert text.endswith('data: {"type":"message_stop"}\n\n')


def test_held_events_go_out_when_the_time_is_up(pairs: dict[str, Pair]) -> None:
    """The client gets the opening although no content comes; the failure after that is the client's."""
    pair = pairs["time"]
    with pair.detour.client() as client, ask(pair, client) as answer:
        parts = answer.iter_raw()
        seen = next(parts)
        while BLOCK not in seen:
            seen += next(parts)
        assert pair.seen("bad")[0].state == "answering"
        pair.fake.open("time")
        seen += b"".join(parts)
    assert seen.startswith(START + BLOCK)
    assert b"event: error" in seen
    assert pair.seen("good") == []


def test_pings_keep_the_client_alive_while_a_failover_is_possible(pairs: dict[str, Pair]) -> None:
    pair = pairs["pings"]
    with pair.detour.client() as client, ask(pair, client) as answer:
        parts = answer.iter_raw()
        seen = next(parts)
        while seen.count(PING) < 2:
            seen += next(parts)
        assert seen == PING * 2
        pair.fake.open("pings")
        seen += b"".join(parts)
    assert seen.startswith(PING * 2 + b"event: message_start")
    assert seen.count(b"event: message_start") == 1
    assert b"event: error" not in seen
    assert seen.endswith(b'data: {"type":"message_stop"}\n\n')
    assert len(pair.seen("good")) == 1


def test_comments_of_openai_look_alikes_keep_alive_too(pairs: dict[str, Pair]) -> None:
    pair = pairs["comments"]
    with pair.detour.client() as client, ask(pair, client, "openai-chat") as answer:
        parts = answer.iter_raw()
        seen = next(parts)
        assert seen == COMMENT
        pair.fake.open("comments")
        seen += b"".join(parts)
    chunks = [json.loads(line[6:]) for line in seen.decode().splitlines() if line.startswith("data: {")]
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks) == pair.fake.text
    assert seen.endswith(b"data: [DONE]\n\n")


def test_a_stream_that_only_pings_is_not_failed_by_its_silence(pairs: dict[str, Pair]) -> None:
    """A model that thinks for longer than the first-byte limit keeps its request as long as pings come."""
    pair = pairs["thinks"]
    text = read(pair)
    assert text.endswith('data: {"type":"message_stop"}\n\n')
    assert "event: error" not in text
    assert pair.seen("good") == []


def test_an_empty_stream_is_a_failure(pairs: dict[str, Pair]) -> None:
    pair = pairs["empty"]
    assert read(pair).endswith('data: {"type":"message_stop"}\n\n')
    assert len(pair.seen("good")) == 1


def test_a_head_without_a_body_is_bounded(pairs: dict[str, Pair]) -> None:
    """200 and then nothing: the next attempt, or an error; never a client that waits for ever."""
    pair = pairs["head-alone"]
    text = read(pair)
    assert text.endswith('data: {"type":"message_stop"}\n\n') or "event: error" in text
    assert pair.fake.record.wait_for(lambda _: pair.seen("bad")[0].state == "cancelled")


def test_an_error_that_is_cut_anywhere_is_recognised(pairs: dict[str, Pair]) -> None:
    pair = pairs["cut"]
    text = read(pair)
    assert "event: error" not in text
    assert text.count("event: message_start") == 1
    assert len(pair.seen("good")) == 1
