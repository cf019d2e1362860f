"""Bodies cut anywhere: no cut may let a secret through, and none may change the outcome."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings, strategies as st

from router_core.capture.chunks import SLICE, WINDOW, ChunkRedactor
from router_core.capture.redaction import Redactor
from router_core.capture.spans import BODY, LOGIN

SECRET = b"sk-ant-api03-Planted_0123456789abcdef"
BODIES = [
    b'data: {"text":"a '
    + SECRET
    + b' b"}\n\ndata: {"api_key": "hunter2"}\n\nplain text, some.body@example.org',
    b'{"access_token": "' + SECRET + b'", "n": [1, 2, "\xc3\xa9\xe2\x82\xac"]}',
    b"key:\n-----BEGIN PRIVATE KEY-----\nMIIEvQ\nplanted\n-----END PRIVATE KEY-----\nafter\n",
    b'{\n "organization_login_list": [\n  "planted-corp",\n  "planted-too"\n ],\n "seats": [1]\n}\n',
    b"\xff\xfe binary " + SECRET + b"\x00\x01",
]


def pieces(redactor: Redactor, chunks: list[bytes], place=BODY):
    stream = ChunkRedactor(redactor, place)
    found = []
    for number, chunk in enumerate(chunks):
        found += stream.feed([(float(number), chunk)])
    return found + stream.close(), stream


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(places)]


@settings(max_examples=60)
@given(st.sampled_from(BODIES), st.lists(st.integers(0, 10_000), max_size=12))
def test_cuts_make_no_difference(body, cuts):
    redactor = Redactor(b"k" * 32)
    chunks = split(body, cuts)
    found, stream = pieces(redactor, chunks)
    assert b"".join(p.data for p in found) == redactor.redact(body)
    assert all(sum(size for _, size in p.marks) == len(p.data) for p in found)
    assert len(stream.finished) == len(chunks)
    assert sum(stream.finished) == len(redactor.redact(body))


@pytest.mark.parametrize("cut", range(1, len(SECRET)))
def test_a_secret_cut_in_two_is_one_secret(cut):
    redactor = Redactor(b"k" * 32)
    found, _ = pieces(redactor, [b'data: {"t":"' + SECRET[:cut], SECRET[cut:] + b'"}\n\n'])
    [piece] = found
    assert piece.data == b'data: {"t":"' + redactor.placeholder("secret", SECRET) + b'"}\n\n'
    assert [at for at, _ in piece.marks] == [0.0, 1.0]


def test_a_finished_line_leaves_at_once_and_an_unfinished_one_waits():
    stream = ChunkRedactor(Redactor(b"k" * 32), BODY)
    assert [p.data for p in stream.feed([(0, b"data: a\n\ndata: b")])] == [b"data: a\n\n"]
    assert stream.feed([(1, b"c")]) == []
    [piece] = stream.feed([(2, b"\n")])
    assert piece == ([(0, 7), (1, 1), (2, 1)], b"data: bc\n")


@pytest.mark.parametrize("offset", [-40, -20, -1, 0, 1])
def test_a_secret_across_the_slices_of_a_long_line(offset):
    redactor = Redactor(b"k" * 32)
    before = b"x " * ((SLICE + offset) // 2)
    body = before + SECRET + b" y" * SLICE
    found, _ = pieces(redactor, [body[i : i + 9000] for i in range(0, len(body), 9000)])
    assert b"".join(p.data for p in found) == before + redactor.placeholder("secret", SECRET) + b" y" * SLICE


def test_memory_is_bounded_on_a_line_without_an_end():
    stream = ChunkRedactor(Redactor(b"k" * 32), BODY)
    for number in range(200):
        stream.feed([(number, b"word " * 1000)])
        assert len(stream._pending) <= SLICE + WINDOW


def test_forms_that_arrive_in_pieces():
    redactor = Redactor(b"k" * 32)
    found, _ = pieces(
        redactor, [b"grant_type=refresh_token&refresh_to", b"ken=plan", b"ted&client_id=x"], LOGIN
    )
    assert b"".join(p.data for p in found).startswith(
        b"grant_type=refresh_token&refresh_token=redacted-secret-"
    )
    assert b"".join(p.data for p in found).endswith(b"&client_id=x")


def test_characters_are_not_cut():
    redactor = Redactor(b"k" * 32)
    body = b"a" + "é".encode() * (SLICE + WINDOW)
    found, _ = pieces(redactor, [body])
    assert len(found) > 1
    for piece in found:
        piece.data.decode()
