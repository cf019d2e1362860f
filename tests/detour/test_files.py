from __future__ import annotations

import os
import stat

import pytest

from detour.files import private_folder, write_atomic


def test_a_file_is_written_whole_with_its_mode(tmp_path):
    file = tmp_path / "token"
    file.write_text("before")
    file.chmod(0o644)

    write_atomic(file, b"after")

    assert file.read_bytes() == b"after"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_a_failed_write_leaves_the_file_and_nothing_else(tmp_path, monkeypatch):
    file = tmp_path / "token"
    file.write_bytes(b"before")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomic(file, b"after")

    assert file.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [file]


def test_a_private_folder_is_closed_to_others(tmp_path):
    folder = private_folder(tmp_path / "a")

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert private_folder(folder) == folder
