"""How Detour is to run here: how many processes, what they may open, and how long they have to end."""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from detour.doctor.finding import Finding, note, ok
from detour.service import FOLDER, UNITS
from router_core.config.schema import Config
from router_core.config.units import write_duration

FILES: Final = 4096
"""Open files that carry a few hundred tools: each connection takes two, and HTTP/2 keeps more."""
WRITING: Final = 15
"""Seconds in which the ledger and the captures are written after the last request."""


def workers(config: Config) -> Iterator[Finding]:
    count, cores = config.listen.workers, _cores()
    if count == 1:
        return
    if count > cores:
        yield note(
            "listen.workers", f"{count} workers share {cores} cores", "more workers than cores do not help"
        )
    else:
        yield ok("listen.workers", f"{count} workers on {cores} cores")
    if config.state == "memory":
        yield note(
            "state",
            "each worker has cooldowns, quota windows and session affinity of its own",
            "state: redis://HOST:PORT/DB lets them share these",
        )


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def open_files() -> Iterator[Finding]:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY or limit >= FILES:
        yield ok("open files", "as many as needed")
    else:
        yield note(
            "open files",
            f"at most {limit} from here, and each connection takes two",
            "ulimit -n 65536, or LimitNOFILE= in a unit",
        )


def unit(config: Config, root: Path = Path("/")) -> Iterator[Finding]:
    """Whether the installed unit lets what is under way finish."""
    try:
        text = (root / FOLDER / UNITS["service"][1]).read_text()
    except OSError:
        return
    found = re.search(r"^TimeoutStopSec=(\d+)s?$", text, re.MULTILINE)
    needed = config.listen.drain + WRITING
    if found and int(found[1]) < needed:
        yield note(
            "service",
            f"systemd ends it after {found[1]} s, and listen.drain is {write_duration(config.listen.drain)}",
            f"TimeoutStopSec={needed:g} in the unit, or a shorter listen.drain",
        )
    else:
        yield ok("service", "a systemd unit is installed")
