"""How a ledger is doing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

type State = Literal["starting", "ok", "waiting", "refused", "stopped"]


@dataclass(frozen=True, slots=True)
class LedgerStatus:
    state: State
    """``waiting``: the database does not answer, entries are spooled; ``refused``: only the user can help."""
    error: str
    queued: int
    written: int
    spooled: int
    """Bytes on disk."""
    dropped: int
    """Entries that found no room anywhere, since the start."""
