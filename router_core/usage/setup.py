"""The ledger of a configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from router_core.config.schema import Config, UsageConfig, parse_secret_ref
from router_core.config.secrets import SecretError, resolve_now
from router_core.usage.address import LedgerError, sqlite_url
from router_core.usage.pump import LedgerPump


def ledger_url(usage: UsageConfig, data: Path, env: Mapping[str, str] = os.environ) -> str | None:
    """The database's URL, or None where no ledger is kept. Raises LedgerError. `data` is the data folder."""
    if usage.ledger is None:
        return None
    if usage.ledger == "sqlite":
        return sqlite_url(data / "ledger.db")
    if usage.ledger.startswith(("env:", "file:")):
        try:
            return resolve_now(parse_secret_ref(usage.ledger), env).get_secret_value().strip()  # type: ignore[arg-type]
        except (SecretError, ValueError) as error:
            raise LedgerError(f"usage.ledger: {error}") from None
    return usage.ledger


def make_ledger(config: Config, data: Path, env: Mapping[str, str] = os.environ) -> LedgerPump | None:
    """The way to `config`'s ledger, not started yet; None where none is kept. Raises LedgerError."""
    url = ledger_url(config.usage, data, env)
    return None if url is None else LedgerPump(url, data / "ledger-spool", config)
