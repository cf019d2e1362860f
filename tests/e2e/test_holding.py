"""How long the beginning of a stream is held back, and what gets through meanwhile."""

from __future__ import annotations

import json
from typing import Any

import pytest

from detour.fakes import Fault
from detour.fakes.anthropic import PING, stream_error
from detour.fakes.call import Call
from detour.fakes.steps import Data, End, Gate, Pause, Reply, Step
from tests.e2e.conftest import Start
from tests.e2e.pair import Pair, start_pair
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


def ask(pair: Pair, client: Any) -> Any:
    path, headers, body = SHAPES["anthropic"].request("m", stream=True)
    return client.stream("POST", f"https://{pair.host}{path}", headers=headers, json=body)


def read(pair: Pair) -> str:
    with pair.detour.client() as client, ask(pair, client) as answer:
        assert answer.status_code == 200
        return answer.read().decode()


@pytest.mark.parametrize(
    "parts",
    [
        (START, *[BLOCK] * 250),
        (START[:-2] + b"\ndata: " + b" " * 80_000 + b"\n\n",),
        (START, b": " + b"x" * 80_000 + b"\n\n"),
    ],
    ids=["events", "one-long-event", "one-long-comment"],
)
def test_more_than_is_held_commits_to_the_first_upstream(
    start: Start, fakes: FakeThread, parts: tuple[bytes, ...]
) -> None:
    pair = start_pair(start, fakes, opening(*parts))
    text = read(pair)
    assert text.startswith(b"".join(parts)[:200].decode())
    assert text.count("event: error") == 1
    assert pair.seen("good") == []


def test_what_is_held_fails_over_up_to_the_limit(start: Start, fakes: FakeThread) -> None:
    pair = start_pair(start, fakes, opening(START, *[BLOCK] * 150))
    text = read(pair)
    assert text.count("event: content_block_start") == 1
    assert "event: error" not in text
    assert text.endswith('data: {"type":"message_stop"}\n\n')


def test_held_events_go_out_when_the_time_is_up(start: Start, fakes: FakeThread) -> None:
    """The client gets the opening although no content comes; the failure after that is the client's."""
    pair = start_pair(
        start,
        fakes,
        opening(START, BLOCK, Gate("later")),
        limits={"hold_time": "300ms"},
        upstream={"idle_timeout": "20s"},
    )
    with pair.detour.client() as client, ask(pair, client) as answer:
        parts = answer.iter_raw()
        seen = next(parts)
        while BLOCK not in seen:
            seen += next(parts)
        assert pair.seen("bad")[0].state == "answering"
        pair.fake.open("later")
        seen += b"".join(parts)
    assert seen.startswith(START + BLOCK)
    assert b"event: error" in seen
    assert pair.seen("good") == []


def test_pings_keep_the_client_alive_while_a_failover_is_possible(start: Start, fakes: FakeThread) -> None:
    pair = start_pair(
        start, fakes, opening(PING, PING, Gate("later")), upstream={"first_byte_timeout": "20s"}
    )
    with pair.detour.client() as client, ask(pair, client) as answer:
        parts = answer.iter_raw()
        seen = next(parts)
        while seen.count(PING) < 2:
            seen += next(parts)
        assert seen == PING * 2
        pair.fake.open("later")
        seen += b"".join(parts)
    assert seen.startswith(PING * 2 + b"event: message_start")
    assert seen.count(b"event: message_start") == 1
    assert b"event: error" not in seen
    assert seen.endswith(b'data: {"type":"message_stop"}\n\n')
    assert len(pair.seen("good")) == 1


def test_comments_of_openai_look_alikes_keep_alive_too(start: Start, fakes: FakeThread) -> None:
    comment = b": OPENROUTER PROCESSING\n\n"

    def build(call: Call, reply: Reply) -> list[Step]:
        steps: list[Step] = [Data(comment), Gate("later"), Data(call.wire.stream_error(call, "")), End()]
        return [reply.head(), *steps]

    pair = start_pair(
        start, fakes, Fault("comments", build), "openai", upstream={"first_byte_timeout": "20s"}
    )
    path, headers, body = SHAPES["openai-chat"].request("gpt-x", stream=True)
    with (
        pair.detour.client() as client,
        client.stream("POST", f"https://{pair.host}{path}", headers=headers, json=body) as answer,
    ):
        parts = answer.iter_raw()
        seen = next(parts)
        assert seen == comment
        pair.fake.open("later")
        seen += b"".join(parts)
    chunks = [json.loads(line[6:]) for line in seen.decode().splitlines() if line.startswith("data: {")]
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks) == pair.fake.text
    assert seen.endswith(b"data: [DONE]\n\n")


def test_a_stream_that_only_pings_is_not_failed_by_its_silence(start: Start, fakes: FakeThread) -> None:
    """A model that thinks for longer than the first-byte limit keeps its request as long as pings come."""
    slow = Fault.pings(6, seconds=0.5)
    pair = start_pair(start, fakes, slow)
    text = read(pair)
    assert text.endswith('data: {"type":"message_stop"}\n\n')
    assert "event: error" not in text
    assert pair.seen("good") == []


def test_an_empty_stream_is_a_failure(start: Start, fakes: FakeThread) -> None:
    pair = start_pair(start, fakes, Fault.empty())
    assert read(pair).endswith('data: {"type":"message_stop"}\n\n')
    assert len(pair.seen("good")) == 1


def test_a_head_without_a_body_is_bounded(start: Start, fakes: FakeThread) -> None:
    """200 and then nothing: the next attempt, or an error; never a client that waits for ever."""
    pair = start_pair(start, fakes, Fault.head_then_stall())
    text = read(pair)
    assert text.endswith('data: {"type":"message_stop"}\n\n') or "event: error" in text
    assert pair.fake.record.wait_for(lambda _: pair.seen("bad")[0].state == "cancelled")


def test_an_error_that_is_cut_anywhere_is_recognised(start: Start, fakes: FakeThread) -> None:
    def build(call: Call, reply: Reply) -> list[Step]:
        whole = START + stream_error(call, "")
        pieces: list[Step] = []
        for at in range(0, len(whole), 7):
            pieces += [Data(whole[at : at + 7]), Pause(0.002)]
        return [reply.head(), *pieces, End()]

    pair = start_pair(start, fakes, Fault("cut", build))
    text = read(pair)
    assert "event: error" not in text
    assert text.count("event: message_start") == 1
    assert len(pair.seen("good")) == 1
