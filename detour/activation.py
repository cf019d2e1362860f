"""Sockets that the service manager has opened: sd_listen_fds(3).

They stay open while Detour is started anew, and clients wait in them.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping
from typing import Final

FIRST: Final = 3


def passed(environ: MutableMapping[str, str] = os.environ) -> list[tuple[str, socket.socket]]:
    """(name, socket) of each that was passed to this process; children do not get them.

    The name is the unit's ``FileDescriptorName=``, by default the name of the socket unit.
    """
    pid = environ.pop("LISTEN_PID", "")
    count = environ.pop("LISTEN_FDS", "")
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    if pid != str(os.getpid()) or not count.isdecimal():
        return []
    found = []
    for number in range(int(count)):
        os.set_inheritable(FIRST + number, False)
        name = names[number] if number < len(names) else ""
        found.append((name, socket.socket(fileno=FIRST + number)))
    return found
