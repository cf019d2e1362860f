"""Records read back: whole, cut off anywhere, and files that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from router_core.capture.folder import Folders
from router_core.capture.reader import NotARecord, read, summarise
from router_core.capture.record import Record
from router_core.capture.redaction import Redactor
from router_core.capture.save import save
from tests.router_core.capture.samples import BODY, EVENTS, record


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save(record(), Folders(tmp_path), Redactor(b"k" * 32))


def essence(one: Record):
    return [
        (hop.number, m.headers, m.body.data, [(round(at, 6), size) for at, size in m.body.chunks])
        for hop in (one.client, *one.attempts)
        for m in (hop.request, hop.response)
        if m
    ]


def test_what_is_saved_is_read_back(saved):
    back = read(saved)
    assert essence(back) == essence(record())
    assert back.opening == record().opening
    assert back.attempts[1].timings == {"connected": 0.11}
    assert back.end == record().end and back.problems == []
    assert back.upstream is back.attempts[1] and back.status == 200


def test_a_summary_needs_only_the_ends_of_the_file(saved):
    summary = summarise(saved)
    assert summary.opening.model == "claude-x"
    assert (summary.end["status"], summary.size) == (200, saved.stat().st_size)
    assert summary.values()["finished"] and summary.values()["seconds"] == 0.9


def test_a_record_that_is_cut_anywhere_is_a_record(saved):
    whole = saved.read_bytes()
    first = whole.index(b"\n") + 1
    for cut in range(first, len(whole), 7):
        saved.write_bytes(whole[:cut])
        back = read(saved)
        assert back.id == "01rec" and back.end is None
        assert len(back.problems) == (whole[:cut][-1:] != b"\n")
        served = (
            back.attempts[1].response.body.data
            if len(back.attempts) > 1 and back.attempts[1].response
            else b""
        )
        assert b"".join(EVENTS).startswith(served)
        assert summarise(saved).end is None


def test_a_damaged_line_is_named_and_the_rest_is_read(saved):
    lines = saved.read_bytes().splitlines(keepends=True)
    lines[2] = b"{damaged\n"
    saved.write_bytes(b"".join(lines))
    back = read(saved)
    assert back.problems and back.problems[0].startswith("line 3: ")
    assert back.attempts[1].request.body.data == BODY


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"\x00\x01",
        b"hello",
        b"[]\n",
        b'{"log":{"entries":[]}}',
        b'{"format":"detour-capture"}\n',
        b'{"format":"detour-capture","version":2}\n',
        b'{"format":"detour-capture","version":1,"exchange":[]}\n',
        b'{"format":"detour-capture","version":1,"exchange":{"id":"x"}}\n',
    ],
)
def test_files_that_are_no_records_are_refused_by_name(tmp_path, content):
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    for reader in (read, summarise):
        with pytest.raises(NotARecord, match=r"x\.jsonl"):
            reader(path)


def test_keys_of_later_versions_do_not_matter(saved):
    whole = (
        saved.read_bytes()
        .replace(b'"via":', b'"later":[1],"via":')
        .replace(b'{"kind":"timing"', b'{"kind":"later"')
    )
    saved.write_bytes(whole)
    assert read(saved).opening.via == "proxy"
