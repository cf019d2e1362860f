"""Where Detour keeps what it must remember: XDG folders, or everything under ``data_dir``.

Source: XDG Base Directory Specification 0.8. A relative value of an XDG variable is invalid and ignored.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from router_core.capture.folder import Folders
from router_core.config.schema import Config

CREDENTIALS: Final = "credentials"
"""The folder of tokens, below that of the state."""


@dataclass(frozen=True, slots=True)
class Paths:
    data: Path
    """What is worth a backup: CA, captures, ledger."""
    state: Path
    """What is not: runtime file, logs, routing state, admin token."""
    ca: Path
    captures: Folders

    @property
    def ledger(self) -> Path:
        return self.data / "ledger.db"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def capture_key(self) -> Path:
        """The key of the placeholders in records."""
        return self.data / "capture-key"

    @property
    def runtime(self) -> Path:
        return self.state / "runtime.json"

    @property
    def credentials(self) -> Path:
        """Tokens of credentials without a ``token_file``. Whoever uses these credentials needs them: a refresh
        token is spent once."""
        return self.state / CREDENTIALS

    @property
    def takeover(self) -> Path:
        """The socket at which the running instance gives its listeners to the next one."""
        return self.state / "takeover.sock"

    @property
    def admin_token(self) -> Path:
        return self.state / "admin-token"


def _xdg(env: Mapping[str, str], name: str, default: str) -> Path:
    value = env.get(name, "")
    base = Path(value) if value.startswith("/") else Path(env.get("HOME") or Path.home()) / default
    return base / "detour"


def _configured(value: str | None, otherwise: Path) -> Path:
    return Path(value).expanduser().absolute() if value else otherwise


def paths(config: Config, env: Mapping[str, str] = os.environ) -> Paths:
    """The folders of `config`. Nothing is created."""
    data = _configured(config.data_dir, _xdg(env, "XDG_DATA_HOME", ".local/share"))
    state = _configured(config.data_dir, _xdg(env, "XDG_STATE_HOME", ".local/state"))
    return Paths(
        data=data,
        state=state,
        ca=_configured(config.ca.dir, data / "ca"),
        captures=Folders.of(_configured(config.capture.dir, data / "captures"), config.capture.dirs),
    )
