"""Streams cut anywhere, and streams whose events are lost, repeated, moved or replaced by rubbish."""

import contextlib
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router_core.formats import Format
from router_core.sse import EventReader
from tests.router_core.formats import clients
from tests.router_core.formats.translated import UPSTREAMS, events
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


@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_every_cut_gives_the_same(upstream: Format) -> None:
    for pair in [pair for pair in STREAMS if pair.format is upstream][:12]:
        client = next(format for format in UPSTREAMS if format is not upstream)
        whole = events(client, upstream, pair.response)
        for step in (1, 7):
            assert events(client, upstream, pair.response, step=step) == whole


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
