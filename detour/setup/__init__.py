"""``detour setup``: a tool's own settings, changed so that it uses the gateway, and put back byte for byte."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from detour.files import write_atomic
from detour.setup.tools import TOOLS, WITHOUT_SETTINGS, Gateway, Model
from router_core.ownership import private_folder

__all__ = ["TOOLS", "WITHOUT_SETTINGS", "Change", "Gateway", "Model", "SetupError", "apply", "plan", "undo"]


BOM: Final = "\ufeff".encode()
"""Some editors of Windows begin a file with it; it stays where it is."""


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
            text = (before or b"").removeprefix(BOM)
            after = (BOM if before and before.startswith(BOM) else b"") + settings.edit(text, gateway)
        except ValueError as error:
            manual = TOOLS[tool].manual
            raise SetupError(f"{file}: {error}; mend it, or write the settings by hand: {manual}") from None
        changes.append(Change(backup, file, before, after))
    return changes


def _backups(tool: str) -> list[str]:
    return [
        f"{tool}-{number}.json" if number else f"{tool}.json" for number in range(len(TOOLS[tool].settings))
    ]


def apply(changes: Sequence[Change], folder: Path) -> None:
    """Write the changes, after the files as they were have been put into `folder`.

    All of them or none. Raises SetupError.
    """
    written: list[tuple[Path, bytes | None, int]] = []
    try:
        for change in changes:
            target, backup = change.file.resolve(), folder / change.backup
            states = [(file, _content(file), _mode(file)) for file in (target, backup)]
            written += states
            _apply(change, target, folder)
    except OSError as error:
        for file, content, mode in reversed(written):
            _put_back(file, content, mode)
        raise SetupError(f"{change.file}: {error.strerror}; nothing was written") from None


def _apply(change: Change, target: Path, folder: Path) -> None:
    backup = folder / change.backup
    found = _read(backup)
    if found is not None and found.file == str(change.file) and found.after == _digest(change.before):
        # Detour's own writing is no state to come back to.
        before, mode = found.before, found.mode
    else:
        before = None if change.before is None else base64.b64encode(change.before).decode()
        mode = _mode(target)
    entry = Backup(str(change.file), before, mode, _digest(change.after))
    private_folder(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(backup, json.dumps(asdict(entry)).encode())
    write_atomic(target, change.after, mode)


def _content(file: Path) -> bytes | None:
    return file.read_bytes() if file.exists() else None


def _mode(file: Path) -> int:
    return file.stat().st_mode & 0o777 if file.exists() else 0o600


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
            before = None if entry.before is None else base64.b64decode(entry.before)
            _put_back(Path(entry.file).resolve(), before, entry.mode)
            backup.unlink()
    except OSError as error:
        raise SetupError(f"{error.filename}: {error.strerror}") from None
    return [Path(entry.file) for entry in entries.values()]


def _now(file: Path) -> str:
    return _digest(_content(file))


def _put_back(file: Path, content: bytes | None, mode: int) -> None:
    if content is None:
        file.unlink(missing_ok=True)
    elif _content(file) != content or _mode(file) != mode:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, content, mode)


def _digest(content: bytes | None) -> str:
    return "" if content is None else hashlib.sha256(content).hexdigest()


def _read(backup: Path) -> Backup | None:
    try:
        return Backup(**json.loads(backup.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
