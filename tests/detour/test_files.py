from __future__ import annotations

import os
import stat

import pytest

from detour.files import alone_in, write_atomic
from router_core.credentials.files import replace
from router_core.ownership import private_folder


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


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can write in the name of another user")
def test_what_root_writes_in_the_folder_of_another_user_is_that_users(tmp_path):
    service = 10001
    os.chown(tmp_path, service, service)

    folder = private_folder(tmp_path / "data" / "ca")
    with alone_in(folder):
        write_atomic(folder / "key", b"made by root")
    replace(folder / "token", b"refreshed by root")

    made = [folder.parent, folder, *folder.iterdir()]
    assert {file.name for file in made} == {"data", "ca", ".lock", "key", "token"}
    assert {(file.stat().st_uid, file.stat().st_gid) for file in made} == {(service, service)}
