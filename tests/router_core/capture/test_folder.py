"""The folder of records: finding, pruning, foreign files."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from router_core.capture import folder as captures
from router_core.capture.folder import Folders, NoSuchRecord, Unreadable, redaction_key
from router_core.capture.redaction import Redactor
from router_core.capture.save import save
from tests.router_core.capture.samples import record

DAY = 86400.0
NOW = 1_700_000_000.0


@pytest.fixture
def ten(tmp_path: Path) -> Path:
    """A record of each of the last ten days, the newest first named ``01a0``."""
    for age in range(10):
        path = save(record(f"01a{9 - age}", NOW - age * DAY), Folders(tmp_path), Redactor(b"k" * 32))
        os.utime(path, (NOW - age * DAY, NOW - age * DAY))
    return tmp_path


def names(folder: Path) -> list[str]:
    return [path.stem for path in captures.paths(Folders(folder))]


def test_the_key_is_made_once_and_for_its_owner_only(tmp_path):
    path = tmp_path / "data" / "capture-key"
    key = redaction_key(path)
    assert len(key) == 32 and redaction_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["capture-key"]


def test_a_damaged_key_is_named(tmp_path):
    (tmp_path / "capture-key").write_bytes(b"short")
    with pytest.raises(OSError, match="capture-key is damaged"):
        redaction_key(tmp_path / "capture-key")


def test_records_are_found_by_the_beginning_of_their_ids(ten):
    assert captures.find(Folders(ten), "01a7").stem == "01a7"
    assert captures.find(Folders(ten), "last").stem == "01a9"
    assert captures.find(Folders(ten), str(captures.paths(Folders(ten))[0])).stem == "01a0"
    with pytest.raises(NoSuchRecord, match="10 records: 01a0, 01a1"):
        captures.find(Folders(ten), "01a")
    with pytest.raises(NoSuchRecord, match="no record '77'"):
        captures.find(Folders(ten), "77")
    with pytest.raises(NoSuchRecord, match="set capture"):
        captures.find(Folders(ten / "empty"), "last")


def test_old_records_go_first_by_age_then_by_size(ten):
    size = captures.paths(Folders(ten))[0].stat().st_size
    assert len(captures.prune(Folders(ten), 7, 1 << 30, now=NOW + 1)) == 3
    assert names(ten) == [f"01a{n}" for n in range(3, 10)]
    captures.prune(Folders(ten), 7, 2 * size, now=NOW + 1)
    assert names(ten) == ["01a8", "01a9"]
    assert len([p for p in ten.iterdir() if p.is_dir()]) == 2


def test_what_is_being_written_is_not_pruned(ten):
    keep = frozenset(captures.paths(Folders(ten))[:1])
    captures.prune(Folders(ten), 0, 0, keep, now=NOW + 1)
    assert names(ten) == ["01a0"]


def test_foreign_and_damaged_files_are_named_and_the_rest_listed(ten):
    (ten / "2023-11-14" / "01foreign.jsonl").write_bytes(b"not ours")
    (ten / "2023-11-14" / "01dir.jsonl").mkdir()
    os.mkfifo(ten / "2023-11-14" / "01pipe.jsonl")
    found = list(captures.summaries(Folders(ten)))
    bad = [f for f in found if isinstance(f, Unreadable)]
    assert len(found) == 13 and {b.path.stem for b in bad} == {"01foreign", "01dir", "01pipe"}
    assert any("not a capture of Detour" in b.why for b in bad)


@pytest.mark.parametrize("id", ["", "../x", "a/b", ".hidden", "x" * 65, "a b"])
def test_ids_that_are_no_file_names_are_refused(tmp_path, id):
    with pytest.raises(ValueError, match="cannot be a record's name"):
        Folders(tmp_path).record(id, NOW, None)
    with pytest.raises(ValueError, match="cannot be a record's name"):
        captures.spool_path(Folders(tmp_path), id)


def test_the_records_of_all_folders_are_one_list_by_time(tmp_path):
    folders = Folders(tmp_path / "main", {"anthropic": tmp_path / "own", "openai": tmp_path / "main"})
    for id, age, provider in (("01a", 2, "anthropic"), ("01b", 1, None), ("01c", 0, "anthropic")):
        one = record(id, NOW - age * DAY)
        one.opening.provider = provider
        one.end = {**(one.end or {}), "provider": provider}
        path = save(one, folders, Redactor(b"k" * 32))
        os.utime(path, (NOW - age * DAY, NOW - age * DAY))
        assert path.is_relative_to(tmp_path / ("own" if provider else "main"))
    assert [path.stem for path in captures.paths(folders)] == ["01a", "01b", "01c"]
    assert captures.find(folders, "last").stem == "01c"
    assert [path.stem for path in captures.prune(folders, 1.5, 1 << 30, now=NOW + 1)] == ["01a"]


def test_a_record_is_moved_to_another_file_system(tmp_path, monkeypatch):
    path, target = tmp_path / "01a.jsonl", tmp_path / "far" / "01a.jsonl"
    path.write_bytes(b"one\n")
    real = Path.replace

    def replace(self: Path, to: Path) -> Path:
        if self.parent != to.parent:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return real(self, to)

    monkeypatch.setattr(Path, "replace", replace)
    captures.move(path, target)
    assert target.read_bytes() == b"one\n" and not path.exists()
    assert [p.name for p in target.parent.iterdir()] == ["01a.jsonl"]
