"""Which process of this machine holds a TCP socket, where the system tells (Linux's /proc)."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LISTEN: Final = "0A"
INTERPRETERS: Final = ("node", "bun", "deno", "python", "ruby", "java")
"""Programs whose users know them by what they run."""

type Row = list[str]
"""A row of /proc/net/tcp: number, local and remote address, state, ..., inode."""


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    command: str
    """The kernel's name of it, at most 15 characters."""
    program: str
    """What it runs, without folders: of ``node /usr/bin/gemini`` it is ``gemini``."""

    def __str__(self) -> str:
        return f"{self.program} (pid {self.pid})"


def listener(port: int) -> Process | None:
    """Who listens on TCP `port`."""
    return _holder(lambda row: row[3] == LISTEN and int(row[1].rpartition(":")[2], 16) == port)


def client(local: tuple[str, int], remote: tuple[str, int]) -> Process | None:
    """Who holds the end at `local` of a connection to `remote`; both ends are on this machine."""
    wanted = [_hexadecimal(*local), _hexadecimal(*remote)]
    return _holder(lambda row: row[1:3] == wanted)


def _hexadecimal(host: str, port: int) -> str:
    """An address as /proc writes it: words of four bytes in the machine's order."""
    packed = ipaddress.ip_address(host).packed
    words = [packed[i : i + 4] for i in range(0, len(packed), 4)]
    return "".join(f"{socket.ntohl(int.from_bytes(word)):08X}" for word in words) + f":{port:04X}"


def _holder(wanted: Callable[[Row], bool]) -> Process | None:
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            rows = [line.split() for line in Path(table).read_text().splitlines()[1:]]
            inodes |= {f"socket:[{row[9]}]" for row in rows if wanted(row)}
    for process in Path("/proc").glob("[0-9]*") if inodes else ():
        with contextlib.suppress(OSError):
            if any(str(fd.readlink()) in inodes for fd in (process / "fd").iterdir()):
                return _process(process)
    return None


def _process(folder: Path) -> Process:
    command = (folder / "comm").read_text().strip()
    # Arguments may hold secrets; only the names of programs are taken from them.
    arguments = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
    program = Path(arguments[0]).name or command
    if program.startswith(INTERPRETERS):
        ran = next((a for a in arguments[1:] if a and not a.startswith("-")), "")
        program = Path(ran).name if "/" in ran else program
    return Process(int(folder.name), command, program)
