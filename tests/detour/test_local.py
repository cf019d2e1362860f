"""Machines on which nothing can be captured by process, and what is said there."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from detour.local import Machine

UNIFIED = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
HYBRID = "30 23 0:26 / /sys/fs/cgroup ro shared:9 - tmpfs tmpfs ro\n31 30 0:27 / /sys/fs/cgroup/unified rw - cgroup2 none rw\n"


def machine(folder: Path, mounts: str = UNIFIED, **changes) -> Machine:
    (folder / "mountinfo").write_text(mounts)
    fields = {"platform": "linux", "release": "6.12.0", "root": True, "may_sudo": lambda: False}
    return Machine(**fields | changes, mounts=folder / "mountinfo")


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"platform": "darwin"}, "on Linux only"),
        ({"release": "6.6.87.2-microsoft-standard-WSL2"}, "under WSL"),
        ({"release": "6.1.0-39-amd64"}, "needs Linux 6.8 or newer, and this is 6.1.0-39-amd64"),
        ({"root": False}, "needs root, or sudo that asks for no password"),
        ({"mounts": HYBRID}, "/sys/fs/cgroup is no cgroup2 file system"),
        ({"mounts": ""}, "/sys/fs/cgroup is no cgroup2 file system"),
    ],
)
def test_what_is_missing_is_named_with_a_way_out(tmp_path, changes, words):
    problem = machine(tmp_path, **changes).problem()

    assert problem
    assert words in problem
    assert problem.endswith("leave out --local to use the proxy variables")


@pytest.mark.parametrize(
    "changes",
    [{}, {"release": "6.8.0"}, {"release": "7.0.1-arch1-1"}, {"root": False, "may_sudo": lambda: True}],
)
def test_nothing_is_in_the_way(tmp_path, changes):
    assert machine(tmp_path, **changes).problem() is None


def test_root_without_sudo_gets_a_stand_in(tmp_path):
    path = machine(tmp_path, which=lambda name: None).path(tmp_path / "local", os.environ["PATH"])

    folder = path.split(os.pathsep)[0]
    assert folder == str(tmp_path / "local")
    shown = subprocess.run(
        ["sudo", "--non-interactive", "--preserve-env", "echo", "-n", "a b"],
        env={"PATH": path},
        capture_output=True,
        text=True,
    )
    assert shown.stdout == "a b"


@pytest.mark.parametrize("changes", [{"root": False}, {"which": lambda name: "/usr/bin/sudo"}])
def test_who_has_sudo_needs_none(tmp_path, changes):
    assert machine(tmp_path, **changes).path(tmp_path / "local", "/bin") == "/bin"
    assert not (tmp_path / "local").exists()
