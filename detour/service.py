"""Detour's systemd units, with the paths of this installation in them."""

from __future__ import annotations

import shutil
import sys
from importlib.resources import files
from pathlib import Path
from typing import Final

from detour.files import write_atomic

PACKAGED_PROGRAM: Final = "/usr/local/bin/detour"
PACKAGED_CONFIG: Final = "/etc/detour/detour.yaml"
FOLDER: Final = Path("etc/systemd/system")

UNITS: Final = {
    "service": ("detour.service", "detour.service"),
    "socket": ("detour.socket", "detour.socket"),
    "gateway-box": ("gateway-box.conf", "detour.service.d/gateway-box.conf"),
}
"""What can be had: (the file that ships, where it goes below `FOLDER`)."""

HIDDEN: Final = ("/home/", "/root/", "/run/user/")
"""What ProtectHome= hides from the service."""


class ServiceError(Exception):
    """The units cannot be made or written; the message says why and what helps."""


def unit(name: str, program: Path, config: Path) -> str:
    """The text of one of `UNITS`. `program` is the detour that it runs."""
    text = files("configs").joinpath("systemd", UNITS[name][0]).read_text()
    return text.replace(PACKAGED_PROGRAM, str(program)).replace(PACKAGED_CONFIG, str(config))


def own_program() -> Path:
    """The detour that is running now, or the one that a shell would find. Raises ServiceError."""
    beside = Path(sys.executable).with_name("detour")
    if beside.is_file():
        return beside
    if found := shutil.which("detour"):
        return Path(found).absolute()
    raise ServiceError(
        f"there is no program {beside}; install Detour (pip install .), or name it with --program"
    )


def problems(program: Path, config: Path) -> list[str]:
    """What would keep the service from starting."""
    found = [
        f"{path} is in a home folder, which the service cannot see; {remedy}"
        for path, remedy in (
            (program.resolve(), "install Detour elsewhere, e.g. in /opt/detour"),
            (config, f"put it at {PACKAGED_CONFIG}"),
        )
        if str(path).startswith(HIDDEN)
    ]
    if not config.is_absolute():
        found.append(f"{config} is not an absolute path; systemd needs one")
    return found


def install(names: list[str], root: Path, program: Path, config: Path, *, force: bool = False) -> list[Path]:
    """Write units below `root`; those that were written. Raises ServiceError before it has written any."""
    wanted = {root / FOLDER / UNITS[name][1]: unit(name, program, config) for name in names}
    try:
        changed = [file for file, text in wanted.items() if file.exists() and file.read_text() != text]
        if changed and not force:
            raise ServiceError(f"{changed[0]} is there and differs; --force replaces it")
        for file, text in wanted.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(file, text.encode(), 0o644)
    except OSError as error:
        raise ServiceError(
            f"{error.filename}: {error.strerror}; run it as root, or name another --root"
        ) from None
    return list(wanted)


def uninstall(root: Path) -> list[Path]:
    """Remove all units below `root`; those that were there. Raises ServiceError."""
    there = [file for _, place in UNITS.values() if (file := root / FOLDER / place).exists()]
    try:
        for file in there:
            file.unlink()
    except OSError as error:
        raise ServiceError(f"{error.filename}: {error.strerror}; run it as root") from None
    return there
