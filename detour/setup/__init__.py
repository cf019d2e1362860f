"""``detour setup``: a tool's own settings, changed so that it uses the gateway, and put back byte for byte."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from detour.files import write_atomic
from detour.setup.tools import TOOLS, WITHOUT_SETTINGS, Gateway, Model
from router_core.ownership import private_folder

__all__ = ["TOOLS", "WITHOUT_SETTINGS", "Change", "Gateway", "Model", "SetupError", "apply", "plan", "undo"]


class SetupError(Exception):
    """The settings cannot be changed or put back; the message names the file and the remedy."""


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one of a tool's settings files."""

    backup: str
    """The name of what `undo` needs."""
    file: Path
    before: bytes | None
    """None where there is no file yet."""
    after: bytes


@dataclass(frozen=True, slots=True)
class Backup:
    """What `undo` needs: one JSON file for each settings file."""

    file: str
    before: str | None
    """Base64; None where there was no file."""
    mode: int
    after: str
    """SHA-256 of what was written, to notice later changes."""


def plan(tool: str, gateway: Gateway, env: Mapping[str, str]) -> list[Change]:
    """What is to be done to each of the tool's files. Raises SetupError."""
    changes = []
    for backup, settings in zip(_backups(tool), TOOLS[tool].settings, strict=True):
        file = settings.file(env)
        try:
            before = file.read_bytes() if file.exists() else None
        except OSError as error:
            raise SetupError(f"{file}: {error.strerror}") from None
        try:
            after = settings.edit(before or b"", gateway)
        except ValueError as error:
            manual = TOOLS[tool].manual
            raise SetupError(f"{file}: {error}; mend it, or write the settings by hand: {manual}") from None
        changes.append(Change(backup, file, before, after))
    return changes


def _backups(tool: str) -> list[str]:
    return [
        f"{tool}-{number}.json" if number else f"{tool}.json" for number in range(len(TOOLS[tool].settings))
    ]


def apply(change: Change, folder: Path) -> None:
    """Write the change, after the file as it was has been put into `folder`. Raises SetupError."""
    backup = folder / change.backup
    found = _read(backup)
    if found is not None and found.file == str(change.file) and found.after == _digest(change.before):
        # Detour's own writing is no state to come back to.
        before, mode = found.before, found.mode
    else:
        before = None if change.before is None else base64.b64encode(change.before).decode()
        mode = change.file.stat().st_mode & 0o777 if change.before is not None else 0o600
    entry = Backup(str(change.file), before, mode, _digest(change.after))
    # A link is followed, so that settings that are kept elsewhere stay there.
    target = change.file.resolve()
    try:
        private_folder(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(backup, json.dumps(asdict(entry)).encode())
        write_atomic(target, change.after, mode)
    except OSError as error:
        raise SetupError(f"{error.filename}: {error.strerror}") from None


def undo(tool: str, folder: Path, *, force: bool = False) -> list[Path]:
    """Put the settings back as they were before the first `apply`. Returns the files. Raises SetupError.

    Settings that were changed since are only overwritten with `force`; all stay as they are then.
    """
    entries = {backup: entry for name in _backups(tool) if (entry := _read(backup := folder / name))}
    if not entries:
        raise SetupError(f"Detour has not changed the settings of {tool}")
    try:
        for entry in entries.values():
            if not force and _now(file := Path(entry.file)) != entry.after:
                raise SetupError(
                    f"{file} was changed since; --force puts the earlier state back nevertheless"
                )
        for backup, entry in entries.items():
            _put_back(entry)
            backup.unlink()
    except OSError as error:
        raise SetupError(f"{error.filename}: {error.strerror}") from None
    return [Path(entry.file) for entry in entries.values()]


def _now(file: Path) -> str:
    return _digest(file.read_bytes() if file.exists() else None)


def _put_back(entry: Backup) -> None:
    file = Path(entry.file)
    if entry.before is None:
        file.unlink(missing_ok=True)
    else:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file.resolve(), base64.b64decode(entry.before), entry.mode)


def _digest(content: bytes | None) -> str:
    return "" if content is None else hashlib.sha256(content).hexdigest()


def _read(backup: Path) -> Backup | None:
    try:
        return Backup(**json.loads(backup.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
