"""HAR, both ways."""

from __future__ import annotations

import json

import pytest

from router_core.capture.har import archive
from router_core.capture.har_reader import NotHar, read
from router_core.capture.record import Frame
from tests.router_core.capture.har_schema import violations
from tests.router_core.capture.samples import BODY, EVENTS, record


def websocket():
    one = record("01ws")
    one.opening.websocket = True
    one.client.response.status = 101
    one.client.response.body.data, one.client.response.body.chunks = b"", []
    one.frames = [Frame(0.5, 0, True, "text", b'{"type":"x"}'), Frame(0.6, 0, False, "binary", b"\x00\xff")]
    return one


def unanswered():
    one = record("01no")
    one.client.response = None
    one.end = {"kind": "end", "t": 1.0, "status": None, "error": "client disconnected"}
    return one


def binary():
    one = record("01bin")
    one.client.request.body.data = one.client.response.body.data = b"\x00\xff\xfe"
    one.client.request.body.chunks = one.client.response.body.chunks = [(0.0, 3)]
    return one


@pytest.mark.parametrize("make", [record, websocket, unanswered, binary])
@pytest.mark.parametrize("attempts", [False, True])
def test_what_is_exported_is_har(make, attempts):
    made = archive([make()], "1.0", attempts)
    assert list(violations(made)) == []
    assert len(made["log"]["entries"]) == (3 if attempts else 1)
    json.dumps(made)


def test_the_schema_finds_mistakes():
    made = archive([record()], "1.0")
    entry = made["log"]["entries"][0]
    del entry["request"]["method"]
    entry["timings"]["wait"] = "long"
    entry["extra"] = 1
    assert set(violations(made)) == {
        "har.log.entries[0].request.method is missing",
        "har.log.entries[0].timings.wait is str",
        "har.log.entries[0].extra is not in the specification",
    }


@pytest.mark.parametrize("make", [record, websocket, unanswered, binary])
def test_what_is_exported_is_imported_again(make):
    one = make()
    [back], problems = read(json.dumps(archive([one], "1.0")).encode())
    assert problems == []
    assert back.client.request.body.data == one.client.request.body.data
    assert back.client.request.headers == one.client.request.headers
    assert abs(back.opening.created - one.opening.created) < 0.001
    assert [(f.opcode, f.data, f.from_client) for f in back.frames] == [
        (f.opcode, f.data, f.from_client) for f in one.frames
    ]
    if one.client.response is None:
        assert back.client.response is None and back.end["error"] == "client disconnected"
    else:
        assert back.client.response.body.data == one.client.response.body.data
        assert back.status == one.client.response.status
        ours = one.client.response.body.chunks
        theirs = back.client.response.body.chunks
        assert [n for _, n in theirs] == [n for _, n in ours]
        if len(ours) > 1:
            assert [round(a - theirs[0][0], 3) for a, _ in theirs] == [
                round(a - ours[0][0], 3) for a, _ in ours
            ]


@pytest.mark.parametrize(
    "entry",
    [
        {"request": {"url": "https://h/p"}},
        {
            "request": {"url": "https://h/p", "method": "GET", "headers": [["a", "b"]]},
            "startedDateTime": "yesterday",
        },
        {
            "startedDateTime": "2026-08-22T10:00:00.000Z",
            "time": 5,
            "request": {
                "method": "POST",
                "url": "https://h/p",
                "headers": [{"name": ":method", "value": "POST"}, {"name": "a", "value": None}],
                "postData": {"params": [{"name": "k", "value": "v"}]},
            },
            "response": {"status": 200, "content": {}},
        },
        {
            "request": {"url": "https://h/p"},
            "response": {"status": 0, "_error": "net::ERR_ABORTED"},
            "timings": {"wait": -1},
        },
    ],
)
def test_entries_of_other_tools_are_imported_with_what_they_have(entry):
    [one], problems = read(b"\xef\xbb\xbf" + json.dumps({"log": {"entries": [entry]}}).encode())
    assert problems == [] and one.opening.url == "https://h/p"


def test_bad_entries_are_named_and_the_rest_imported():
    good = archive([record()], "1.0")["log"]["entries"][0]
    entries = [
        {},
        good,
        7,
        {"request": {"url": None}},
    ]
    records, problems = read(json.dumps({"log": {"entries": entries}}).encode())
    assert len(records) == 1 and records[0].client.request.body.data == BODY
    assert [p.partition(":")[0] for p in problems] == ["entry 0", "entry 2", "entry 3"]
    assert problems[1].startswith("entry 2: it is not built as HAR 1.2 wants it (")
    assert problems[2] == "entry 3: its request has no url"


@pytest.mark.parametrize(
    ("content", "body"),
    [
        ({"text": "%", "encoding": "base64"}, b"%"),
        ({"text": "half \ud83d"}, b"half ?"),
        ({"text": 5}, b"5"),
    ],
)
def test_a_body_is_imported_as_it_is(content, body):
    entry = {"request": {"url": "https://h/p"}, "response": {"status": 200, "content": content}}
    [one], problems = read(json.dumps({"log": {"entries": [entry]}}).encode())
    assert problems == [] and one.client.response.body.data == body


def test_a_form_without_headers_is_still_a_form():
    post = {"mimeType": "application/x-www-form-urlencoded", "params": [{"name": "code", "value": "c"}]}
    [one], _ = read(
        json.dumps({"log": {"entries": [{"request": {"url": "https://h/p", "postData": post}}]}}).encode()
    )
    assert one.client.request.headers == [("content-type", "application/x-www-form-urlencoded")]


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"log":{}}', b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_har_is_refused(data):
    with pytest.raises(NotHar):
        read(data)


def test_streams_keep_their_words():
    [one], _ = read(json.dumps(archive([record()], "1.0")).encode())
    assert one.client.response.body.data == b"".join(EVENTS)
