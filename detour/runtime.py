"""The runtime file: how other commands find a running instance."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from detour.files import write_atomic
from router_core.ownership import private_folder


@dataclass(frozen=True, slots=True)
class Runtime:
    """A running instance. Addresses are ``HOST:PORT`` as bound, None where it does not listen."""

    proxy: str | None
    gateway: str | None
    admin: str | None
    config: str | None
    """Absolute path of its configuration file; None for the packaged default."""
    transparent: str | None = None
    wireguard: str | None = None
    pid: int = field(default_factory=os.getpid)
    born: str = ""
    """The process's birth mark, see `birth_mark`."""
    started: float = field(default_factory=time.time)
    """Seconds since the epoch."""


def birth_mark(pid: int) -> str | None:
    """What tells process `pid` from a later one with the same number, or None where there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        if Path("/proc/self").exists():
            return None
    else:
        # The command's name stands in parentheses and may hold anything; field 22 is the start time.
        fields = stat.rpartition(")")[2].split()
        return None if fields[0] in "ZX" else f"{boot} {fields[19]}"
    listed = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True)
    return listed.stdout.strip() or None


def write(path: Path, runtime: Runtime) -> None:
    """Announce `runtime` in `path` (mode 0600). Raises OSError."""
    private_folder(path.parent)
    document = {**asdict(runtime), "born": birth_mark(runtime.pid)}
    write_atomic(path, json.dumps(document, indent=2).encode() + b"\n")


def read(path: Path) -> Runtime | None:
    """The running instance that `path` announces; None without one, or when it has died since."""
    try:
        runtime = Runtime(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
    return runtime if runtime.born and birth_mark(runtime.pid) == runtime.born else None


def remove(path: Path, pid: int | None = None) -> None:
    """Take back the announcement of process `pid` (this one by default); another's stays."""
    found = read(path)
    if found is None or found.pid == (pid or os.getpid()):
        with contextlib.suppress(OSError):
            path.unlink()
