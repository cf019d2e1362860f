"""What capture by process needs of this machine (`detour exec --local`)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from detour.files import write_atomic
from router_core.ownership import private_folder

KERNEL: Final = (6, 8)
CGROUPS: Final = "/sys/fs/cgroup"
OTHERWISE: Final = "; leave out --local to use the proxy variables"
SUDO: Final = '#!/bin/sh\nwhile [ "${1#-}" != "$1" ]; do shift; done\nexec "$@"\n'
"""mitmproxy starts its redirector through sudo, also where it is root and there is none."""


def _may_sudo() -> bool:
    try:
        return subprocess.run(["sudo", "-n", "true"], capture_output=True, timeout=10).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@dataclass(frozen=True, slots=True)
class Machine:
    """What decides; a value, so that other machines can be thought of."""

    platform: str = sys.platform
    release: str = field(default_factory=lambda: os.uname().release)
    root: bool = field(default_factory=lambda: os.geteuid() == 0)
    may_sudo: Callable[[], bool] = _may_sudo
    mounts: Path = Path("/proc/self/mountinfo")
    which: Callable[[str], str | None] = shutil.which

    def problem(self) -> str | None:
        """Why nothing can be captured here, with the remedy; None if nothing is known to be in the way."""
        if self.platform != "linux":
            return f"--local captures on Linux only{OTHERWISE}"
        if "microsoft" in self.release.lower():
            return f"--local does not work under WSL, whose kernel has not what it needs{OTHERWISE}"
        version = tuple(map(int, re.findall(r"\d+", self.release)[:2]))
        if version < KERNEL:
            wanted = ".".join(map(str, KERNEL))
            return f"--local needs Linux {wanted} or newer, and this is {self.release}{OTHERWISE}"
        if not self.root and not self.may_sudo():
            return (
                f"--local needs root, or sudo that asks for no password, to load its eBPF program{OTHERWISE}"
            )
        if not self._unified():
            return (
                f"{CGROUPS} is no cgroup2 file system, to which --local attaches its eBPF program; boot with "
                f"systemd.unified_cgroup_hierarchy=1, or in a container share the host's cgroups{OTHERWISE}"
            )
        return None

    def _unified(self) -> bool:
        try:
            lines = self.mounts.read_text().splitlines()
        except OSError:
            return True  # what comes next finds out
        # Field 5 is the mount point; the type follows the lone dash. The last mount hides the others.
        kinds = [line.split(" - ")[1].split()[0] for line in lines if line.split()[4] == CGROUPS]
        return bool(kinds) and kinds[-1] == "cgroup2"

    def path(self, folder: Path, path: str) -> str:
        """PATH for the instance: with a stand-in for sudo in `folder` where root has none. Raises OSError."""
        if not self.root or self.which("sudo"):
            return path
        script = private_folder(folder) / "sudo"
        write_atomic(script, SUDO.encode(), 0o700)
        return f"{folder}{os.pathsep}{path}"
