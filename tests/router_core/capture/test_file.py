"""A record's file has its first line from the moment on that it has its name."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from router_core.capture import folder as captures
from router_core.capture.file import RecordFile
from router_core.capture.redaction import Redactor
from router_core.capture.save import save
from tests.router_core.capture.samples import record

NOW = 1_700_000_000.0


def test_a_reader_never_meets_a_record_without_its_first_line(tmp_path, monkeypatch):
    """After every single byte that reaches the disk, whatever is listed can be read."""
    seen: list[int] = []

    def write(handle: int, data: bytes, real=os.write) -> int:
        done = real(handle, data[:1])
        listed = list(captures.summaries(captures.Folders(tmp_path)))
        assert not [one for one in listed if isinstance(one, captures.Unreadable)]
        seen.append(len(listed))
        return done

    monkeypatch.setattr(os, "write", write)
    save(record("01a0", NOW), captures.Folders(tmp_path), Redactor(b"k" * 32))
    assert set(seen) == {0} and len(captures.paths(captures.Folders(tmp_path))) == 1


def test_what_follows_is_appended(tmp_path):
    file = RecordFile(tmp_path / "day" / "01a.jsonl")
    file.append(b"one\n")
    file.append(b"two\n")
    assert file.path.read_bytes() == b"one\ntwo\n"
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert [p.name for p in file.path.parent.iterdir()] == ["01a.jsonl"]


def test_a_full_disk_leaves_no_half_of_a_first_line(tmp_path, monkeypatch):
    def full(handle: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        RecordFile(tmp_path / "01a.jsonl").append(b"one\n")
    assert list(tmp_path.iterdir()) == []


def test_what_a_crash_left_without_a_name_is_deleted_in_time(tmp_path: Path):
    day = tmp_path / "2023-11-14"
    day.mkdir()
    for name, age in (("old", captures.ABANDONED + 1), ("new", 1)):
        left = day / f".01{name}.jsonl.00ff"
        left.write_bytes(b'{"for')
        os.utime(left, (NOW - age, NOW - age))
    assert captures.paths(captures.Folders(tmp_path)) == []
    captures.prune(captures.Folders(tmp_path), 7, 1 << 30, now=NOW)
    assert [p.name for p in day.iterdir()] == [".01new.jsonl.00ff"]
