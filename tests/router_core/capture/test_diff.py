"""Differences of requests, answers and streams; and streams as timelines."""

from __future__ import annotations

from router_core.capture import diff, timeline
from router_core.capture.diff import Change
from router_core.capture.record import Body, Frame
from tests.router_core.capture.samples import EVENTS, record


def body(*pieces: bytes) -> Body:
    made = Body()
    for number, piece in enumerate(pieces):
        made.add(piece, [(number / 10, len(piece))])
    return made


def test_headers_differ_by_name_not_by_spelling_or_order():
    one = [("Accept", "*/*"), ("X-A", "1"), ("cookie", "a"), ("cookie", "b")]
    two = [("x-a", "2"), ("accept", "*/*"), ("cookie", "a"), ("x-new", "3")]
    assert diff.headers(one, two) == [
        Change("header x-a", "changed", "1", "2"),
        Change("header cookie", "changed", ["a", "b"], "a"),
        Change("header x-new", "added", after="3"),
    ]


def test_json_differs_by_path():
    one = {"model": "a", "messages": [{"role": "user", "content": "x"}], "gone": None, "n": 1}
    two = {"model": "b", "messages": [{"role": "user", "content": "y"}], "odd key": True, "n": 1.0}
    assert list(diff.documents(one, two)) == [
        Change("$.model", "changed", "a", "b"),
        Change("$.messages[0].content", "changed", "x", "y"),
        Change("$.gone", "removed"),
        Change("$.n", "changed", 1, 1.0),
        Change('$["odd key"]', "added", after=True),
    ]


def test_an_element_that_was_taken_out_moves_nothing_else():
    one = [{"t": "a"}, {"t": "thinking"}, {"t": "b"}]
    assert list(diff.documents(one, [one[0], one[2]])) == [
        Change("$[1]", "removed", before={"t": "thinking"})
    ]
    assert list(diff.documents([one[0], one[2]], one)) == [Change("$[1]", "added", after={"t": "thinking"})]


def test_streams_differ_by_event():
    one = body(*EVENTS)
    two = body(
        *EVENTS[:2],
        EVENTS[2].replace(b"Bon", b"Gut"),
        *EVENTS[3:5],
        b"event: ping\ndata: {}\n\n",
        *EVENTS[5:],
    )
    assert diff.bodies(one, two, stream=True) == [
        Change("event 2 $.delta.text", "changed", "Bon", "Gut"),
        Change("event 5", "added", after={"event": "ping", "data": {}}),
    ]


def test_the_same_in_other_bytes_is_said():
    assert diff.bodies(body(b'{"a": 1}'), body(b'{"a":1}'), stream=False)[0].after == "written differently"
    assert (
        diff.bodies(body(b"data: {}\n\n"), body(b"data:{}\n\n"), stream=True)[0].after
        == "written differently"
    )


def test_what_one_side_lacks_is_one_difference():
    hop = record().client
    assert diff.requests(hop.request, None) == [Change("request", "removed")]
    assert diff.responses(None, hop.response) == [Change("response", "added")]
    assert diff.responses(None, None) == []


def test_a_client_and_its_upstream():
    one = record()
    assert [c.where for c in diff.requests(one.client.request, one.attempts[1].request)] == [
        "header x-api-key"
    ]
    assert [c.where for c in diff.responses(one.attempts[1].response, one.client.response)] == [
        "header x-detour-id"
    ]


def test_a_timeline_has_the_arrival_of_each_event_and_its_gap():
    cut = EVENTS[2][:30], EVENTS[2][30:] + EVENTS[3]
    moments = timeline.of_body(body(EVENTS[0], *cut, b": ping\n\n"), 0.0)
    assert [(round(m.at, 1), round(m.gap, 1), m.name, m.gist) for m in moments] == [
        (0.0, 0.0, "message_start", ""),
        (0.2, 0.2, "content_block_delta", "Bon"),
        (0.2, 0.0, "content_block_delta", "jour"),
        (0.3, 0.1, "(comment)", ": ping"),
    ]


def test_a_timeline_of_messages():
    one = record()
    one.frames = [
        Frame(0.5, 0, True, "text", b'{"type":"response.create"}'),
        Frame(0.7, 0, False, "text", b'{"type":"response.output_text.delta","delta":"Hal"}'),
        Frame(0.8, 1, False, "binary", b"\x00"),
    ]
    assert [(m.name, m.gist) for m in timeline.of_frames(one, 0)] == [
        ("-> response.create", ""),
        ("<- response.output_text.delta", "Hal"),
    ]
