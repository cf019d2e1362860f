"""Usage out of bytes as they come over the wire: cut anywhere, compressed, broken off."""

import gzip
import json
import zlib
from itertools import pairwise

import pytest
from hypothesis import given, settings, strategies as st

from router_core.exchange import Usage
from router_core.formats import Format
from router_core.usage import tap
from router_core.usage.count import Meter
from router_core.usage.tap import Tap

STREAM = (
    b'event: message_start\r\ndata: {"type":"message_start","message":{"usage":{"input_tokens":25,"output_tokens":1}}}\r\n\r\n'
    b": ping\r\n\r\n"
    b'data: {"type":"content_block_delta","delta":{"text":"\\"usage\\": {\\"input_tokens\\": 9}"}}\r\n\r\n'
    b'event: message_delta\r\ndata: {"type":"message_delta","usage":{"output_tokens":15}}'
)
CHUNK = {"usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 5, "totalTokenCount": 14}}


def read(format: Format, pieces: list[bytes], encoding: str = "", close: bool = True) -> Usage:
    meter = Meter(format)
    reader = Tap(meter, encoding)
    for piece in pieces:
        reader.feed(piece)
    if close:
        reader.close()
    return meter.usage


@settings(max_examples=60)
@given(st.lists(st.integers(0, len(STREAM)), max_size=6), st.sampled_from([b"\r\n", b"\n", b"\r"]))
def test_a_stream_cut_anywhere(cuts: list[int], end: bytes) -> None:
    stream = STREAM.replace(b"\r\n", end)
    edges = [0, *sorted(min(c, len(stream)) for c in cuts), len(stream)]
    pieces = [stream[a:b] for a, b in pairwise(edges)]
    assert read(Format.ANTHROPIC, pieces) == Usage(input=25, output=15)


def test_a_stream_that_is_broken_off_counts_what_came() -> None:
    cut = STREAM[: STREAM.index(b"message_delta")]
    assert read(Format.ANTHROPIC, [cut], close=False) == Usage(input=25, output=1)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", ""])
@pytest.mark.parametrize("size", [1, 7, 4096])
def test_compressed_answers(encoding: str, size: int) -> None:
    body = json.dumps({"usage": {"prompt_tokens": 7, "completion_tokens": 3}}).encode()
    data = gzip.compress(body) if encoding in ("gzip", "") else zlib.compress(body)
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    assert read(Format.OPENAI_CHAT, pieces, encoding) == Usage(input=7, output=3)


def test_geminis_array_is_read_as_it_grows() -> None:
    array = json.dumps([{"candidates": []}, CHUNK, {"candidates": []}], indent=2).encode()
    cut = array[: array.rindex(b"{")]
    for data in (array, cut):
        assert read(Format.GEMINI, [data[i : i + 3] for i in range(0, len(data), 3)], close=False) == Usage(
            input=9, output=5
        )


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (b"\x1f\x8bnonsense", "gzip"),
        (b"{", "br"),
        (b"anything", "unheard-of"),
        (b"", ""),
        (b"<html>usage</html>", ""),
    ],
)
def test_what_cannot_be_read_counts_nothing(data: bytes, encoding: str) -> None:
    assert read(Format.OPENAI_CHAT, [data, data], encoding).input is None


def test_an_endless_event_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tap, "MAX_EVENT", 1000)
    meter = Meter(Format.ANTHROPIC)
    reader = Tap(meter)
    for _ in range(20):
        reader.feed(b"data: " + b"x" * 100)
    assert len(reader._pending) <= 1000
    reader.feed(STREAM)
    reader.close()
    assert meter.usage == Usage()


def test_closing_twice_counts_once() -> None:
    meter = Meter(Format.OPENAI_CHAT)
    reader = Tap(meter)
    reader.feed(b'{"usage": {"prompt_tokens": 7}}')
    reader.close()
    version = meter.version
    reader.close()
    reader.feed(b"more")
    assert meter.version == version
