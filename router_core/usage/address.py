"""Where a ledger is. Needs no database library, so that whoever only points to a ledger stays light."""

from __future__ import annotations

from pathlib import Path


class LedgerError(Exception):
    """The ledger cannot be used as it is; the message says what to do. Never holds a password."""


def sqlite_url(path: Path) -> str:
    return f"sqlite:///{path}"
