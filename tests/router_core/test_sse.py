"""Event streams as they come off the wire, cut anywhere."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, strategies as st

from router_core.sse import (
    ArrayReader,
    Event,
    EventReader,
    Reader,
    encode,
    looks_like_stream,
    replace_data,
)

LINES = st.sampled_from(
    [
        b"data: {}",
        b"data:x",
        b"data",
        b"event: ping",
        b"event:",
        b": comment",
        b"id: 7",
        b"retry: 1",
        b"database: no",
        "data: grüße 🦊".encode(),
        b"\xef\xbb\xbfdata: b",
        b"",
        b"\xff\xfe",
    ]
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
STREAMS = st.lists(st.tuples(LINES, ENDS), max_size=30).map(lambda lines: b"".join(a + b for a, b in lines))


def read(reader: Reader, stream: bytes, cuts: list[int]) -> list[Event]:
    points = [0, *sorted(c % (len(stream) + 1) for c in cuts), len(stream)]
    events: list[Event] = []
    for start, end in itertools.pairwise(points):
        events += reader.feed(stream[start:end])
    return events + reader.close()


def fields(stream: bytes) -> list[tuple[str | None, bytes | None]]:
    return [(e.name, e.data) for e in read(EventReader(), stream, []) if not e.silent]


@given(STREAMS | st.binary(max_size=200), st.lists(st.integers(0, 10_000), max_size=12))
def test_cutting_a_stream_anywhere_changes_nothing(stream: bytes, cuts: list[int]) -> None:
    whole = read(EventReader(), stream, [])
    cut = read(EventReader(), stream, cuts)
    assert [(e.raw, e.name, e.data) for e in cut] == [(e.raw, e.name, e.data) for e in whole]
    assert b"".join(e.raw for e in cut) == stream


@given(STREAMS)
def test_one_byte_at_a_time(stream: bytes) -> None:
    assert [e.raw for e in read(EventReader(), stream, list(range(len(stream))))] == [
        e.raw for e in read(EventReader(), stream, [])
    ]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"event: ping\ndata: {}\n\n", [("ping", b"{}")]),
        (b"event: ping\r\ndata: {}\r\n\r\n", [("ping", b"{}")]),
        (b"data: a\r\rdata: b\r\r", [(None, b"a"), (None, b"b")]),
        (b"data: a\n\r\ndata: b\r\n\n", [(None, b"a"), (None, b"b")]),
        (b"data: a\ndata:b\ndata\n\n", [(None, b"a\nb\n")]),
        (b": OPENROUTER PROCESSING\n\ndata: x\n\n", [(None, b"x")]),
        (b"\xef\xbb\xbfdata: x\n\n", [(None, b"x")]),
        (b"\n\n\n\ndata: x\n\n\n\n", [(None, b"x")]),
        (b"data:  two spaces\n\n", [(None, b" two spaces")]),
        (b"event: a\nevent: b\ndata: x\n\n", [("b", b"x")]),
        (b"data: no blank line", [(None, b"no blank line")]),
        (b"data: a\n\nevent: message_stop", [(None, b"a")]),
        (b'data: x\n\n{\n  "error": 1\n}\n', [(None, b"x"), (None, b'{\n  "error": 1\n}')]),
        (b"", []),
    ],
)
def test_fields(stream: bytes, expected: list[tuple[str | None, bytes | None]]) -> None:
    assert fields(stream) == expected


def test_an_event_is_handed_on_as_soon_as_it_is_complete() -> None:
    reader = EventReader()
    assert [e.data for e in reader.feed(b"data: a\n\n")] == [b"a"]
    assert [e.data for e in reader.feed(b"data: b\r\r")] == [b"b"]
    assert reader.feed(b"data: c\r\n\r") == []
    assert [e.raw for e in reader.feed(b"\n")] == [b"data: c\r\n\r\n"]


def test_an_event_of_ten_megabytes_in_small_pieces() -> None:
    stream = b'data: {"text":"' + b"x" * 10_000_000 + b'"}\n\n'
    reader = EventReader()
    events = [e for start in range(0, len(stream), 4096) for e in reader.feed(stream[start : start + 4096])]
    assert [e.raw for e in events] == [stream]


def test_an_event_over_the_limit_passes_without_fields() -> None:
    reader = EventReader(limit=100)
    stream = b"data: " + b"x" * 500 + b"\n\ndata: y\n\n"
    events = [
        e for start in range(0, len(stream), 64) for e in reader.feed(stream[start : start + 64])
    ] + reader.close()
    assert b"".join(e.raw for e in events) == stream
    assert [e.data for e in events if e.data] == [b"y"]


GEMINI = (
    b'[{\r\n  "text": "a ] \\" } \\\\",\r\n  "n": [1, [2]]\r\n}\r\n,\r\n{"text": "gr\xc3\xbc\xc3\x9fe"}\n]\n'
)


@given(st.lists(st.integers(0, 1000), max_size=20))
def test_a_json_array_cut_anywhere(cuts: list[int]) -> None:
    events = read(ArrayReader(), GEMINI, cuts)
    assert b"".join(e.raw for e in events) == GEMINI
    assert [e.data for e in events] == [
        b'{\r\n  "text": "a ] \\" } \\\\",\r\n  "n": [1, [2]]\r\n}',
        b'{"text": "gr\xc3\xbc\xc3\x9fe"}',
        None,
    ]


@given(st.binary(max_size=200), st.lists(st.integers(0, 1000), max_size=5))
def test_an_array_of_any_bytes_is_kept(stream: bytes, cuts: list[int]) -> None:
    whole = [e.raw for e in read(ArrayReader(), stream, [])]
    assert b"".join(whole) == stream
    assert [e.raw for e in read(ArrayReader(), stream, cuts)] == whole


@given(st.text(max_size=50), st.none() | st.sampled_from(["message_start", "error"]))
def test_what_is_encoded_is_read_back(text: str, name: str | None) -> None:
    data = text.encode().replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    [event] = [e for e in read(EventReader(), encode(name, data), []) if not e.silent]
    assert (event.name, event.data) == (name, data)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"event: a\r\ndata: old\r\nid: 1\r\n\r\n", b"event: a\r\ndata: new\r\nid: 1\r\n\r\n"),
        (b"data:old\n\n", b"data:new\n\n"),
        (b": note\ndata: one\ndata: two\n\n", b": note\ndata: new\n\n"),
        (b"\xef\xbb\xbfdata: old\n\n", b"\xef\xbb\xbfdata: new\n\n"),
        (b"data: old", b"data: new"),
        (b"data: old\r\r", b"data: new\r\r"),
    ],
)
def test_new_data_keeps_the_other_lines(raw: bytes, expected: bytes) -> None:
    assert replace_data(Event(raw), b"new").raw == expected


@pytest.mark.parametrize(
    ("head", "answer"),
    [
        (b"data: {", True),
        (b"event: message_start", True),
        (b": OPENROUTER", True),
        (b"\xef\xbb\xbf\n\ndata:", True),
        (b"da", None),
        (b"", None),
        (b"\r\n", None),
        (b'{"data":', False),
        (b"database", False),
        (b"[{", False),
    ],
)
def test_a_stream_is_recognised_without_its_content_type(head: bytes, answer: bool | None) -> None:
    assert looks_like_stream(head) is answer


def test_new_data_of_several_lines() -> None:
    event = replace_data(Event(b"id: 1\r\ndata:{\r\ndata:}\r\n\r\n"), b'{\n"a": 1}')
    assert event.raw == b'id: 1\r\ndata:{\r\ndata:"a": 1}\r\n\r\n'
    assert Event(event.raw).data == b'{\n"a": 1}'
