"""Whose the files are that root writes: the owner's of their folder.

A service keeps its data under a user of its own, and whoever runs the machine runs commands on it as root. A key or a
token that root then replaces must stay readable for the service.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def pass_on(made: int | Path, place: Path) -> None:
    """Give `made` (a descriptor or a path), which belongs at `place`, to the owner of the folder that holds it.

    Only root can, and for anybody else it is so already. Where not even root may (NFS), it stays. Raises OSError.
    """
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return
    folder = place.parent.stat()
    if not folder.st_uid:
        return
    with suppress(PermissionError):
        if isinstance(made, int):
            os.fchown(made, folder.st_uid, folder.st_gid)
        else:
            os.lchown(made, folder.st_uid, folder.st_gid)


def private_folder(path: Path) -> Path:
    """`path`, made with mode 0700 where it did not exist, like the folders that lead to it. Raises OSError."""
    if not path.is_dir():
        private_folder(path.parent)
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            if not path.is_dir():
                raise
        else:
            pass_on(path, path)
    return path
