"""Streams cut anywhere, and streams whose events are lost, repeated, moved or replaced by rubbish."""

import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from router_core.formats import Format
from router_core.sse import EventReader
from tests.router_core.formats import clients, recordings, sequences
from tests.router_core.formats.translated import UPSTREAMS, events, translated
from tests.router_core.wire import CORPUS, Pair, pairs

pytestmark = pytest.mark.skipif(
    not (CORPUS / "INDEX.tsv").exists(), reason=f"no recorded pairs in {CORPUS} (DETOUR_WIRE_CORPUS)"
)
STREAMS = [pair for pair in pairs() if pair.streams]
RELAXED = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
RUBBISH = [
    b'data: {"a":\n\n',
    b"data: null\n\n",
    b"data: [1]\n\n",
    b": hello\n\n",
    b"event: x\n\n",
    b'data: {"type":"content_block_delta"}\n\n',
    b'data: {"choices":[{}]}\n\n',
    b'data: {"choices":[null]}\n\n',
    b'data: {"candidates":[{"content":null}]}\n\n',
    b'data: {"type":"response.output_text.delta"}\n\n',
    b'data: {"type":"response.output_item.done"}\n\n',
]


def folded(stream: bytes) -> bytes:
    """Each value over several data lines, as the grammar allows."""
    lines = [line.removeprefix(b"data:").strip() for line in stream.split(b"\n") if line.startswith(b"data:")]
    values = [
        line if line == b"[DONE]" else json.dumps(json.loads(line), indent=1).encode() for line in lines
    ]
    return b"".join(b"data: " + value.replace(b"\n", b"\ndata: ") + b"\n\n" for value in values)


WRITTEN: dict[str, Callable[[bytes], bytes]] = {
    "LF": lambda stream: stream,
    "CR LF": lambda stream: stream.replace(b"\n", b"\r\n"),
    "CR": lambda stream: stream.replace(b"\n", b"\r"),
    "BOM, no last blank line": lambda stream: b"\xef\xbb\xbf" + stream.rstrip(b"\n"),
    "ids and retries": lambda stream: stream.replace(b"data:", b"id: 1\nretry: 5\nnew-field\ndata:"),
    "several data lines": folded,
}


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("written", WRITTEN)
def test_every_cut_gives_the_same(upstream: Format, written: str) -> None:
    found = [pair for pair in STREAMS if pair.format is upstream and len(pair.response) < 20_000]
    for pair in found[:4]:
        client = next(format for format in UPSTREAMS if format is not upstream)
        stream = pair.response.replace(b"\r\n", b"\n")
        whole = events(client, upstream, stream)
        for step in (0, 1, 7):
            assert events(client, upstream, WRITTEN[written](stream), step=step) == whole, (pair, step)


@pytest.mark.parametrize("indent", [None, 2])
def test_every_cut_of_an_array_gives_the_same(indent: int | None) -> None:
    found = [pair for pair in STREAMS if pair.format is Format.GEMINI and len(pair.response) < 20_000]
    for pair in found[:4]:
        array = json.dumps(recordings.documents(pair), indent=indent, ensure_ascii=indent is None)
        expected = recordings.meaning(pair)
        for step in (0, 1, 7):
            status, out = translated(
                Format.ANTHROPIC, Format.GEMINI, array.encode(), streamed=False, streaming=True, step=step
            )
            said = clients.read(Format.ANTHROPIC, out, streaming=True)
            assert (status, said.text, said.calls) == (200, expected.text, expected.calls), (pair, step)


@RELAXED
@given(st.data())
def test_damaged_streams_end_properly(data: st.DataObject) -> None:
    pair: Pair = data.draw(st.sampled_from(STREAMS))
    reader = EventReader()
    raw = [event.raw for event in (*reader.feed(pair.response), *reader.close())]
    for _ in range(data.draw(st.integers(1, 4))):
        damage(data, raw)
    for client in UPSTREAMS:
        if client is not pair.format:
            written = events(client, pair.format, b"".join(raw))
            assert b"could not be translated" not in written
            sequences.read(client, written)
            with contextlib.suppress(clients.STREAM_ERRORS):
                clients.read(client, written, streaming=True)


def damage(data: st.DataObject, raw: list[bytes]) -> None:
    if not raw:
        return
    place = st.integers(0, len(raw) - 1)
    here, there = data.draw(place), data.draw(place)
    what: Any = data.draw(st.sampled_from(["lose", "repeat", "swap", "cut", "rubbish"]))
    match what:
        case "lose":
            del raw[here]
        case "repeat":
            raw.insert(there, raw[here])
        case "swap":
            raw[here], raw[there] = raw[there], raw[here]
        case "cut":
            del raw[here:]
        case "rubbish":
            raw.insert(here, data.draw(st.sampled_from(RUBBISH)))
