"""Make .venv hold what a lock file lists: ``python prepare.py CHECKOUT LOCK``. Called by prepare.sh.

Standard library only: it runs before anything is installed. Everything that it says goes to standard
error, so that ``eval "$(./scripts/run env)"`` works on a fresh checkout too.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

LOCKS = {
    # The development lock holds everything of the run-time lock.
    "requirements.lock": ("requirements.lock",),
    "requirements-dev.lock": ("requirements.lock", "requirements-dev.lock"),
}


OWN = ("detour", "addons", "router_core")
"""The checkout's own packages."""


def stamp(checkout: Path, lock: str) -> tuple[Path, bytes]:
    """The stamp's file and the content that says "installed"; prepare.sh compares the same."""
    return checkout / ".venv" / f"installed-{lock}", bytes(checkout) + b"\n" + (checkout / lock).read_bytes()


def is_prepared(checkout: Path, lock: str) -> bool:
    file, content = stamp(checkout, lock)
    return file.is_file() and file.read_bytes() == content and (checkout / ".venv/bin/python").exists()


def is_usable(checkout: Path) -> bool:
    """Whether the environment runs, is recent enough, and was made at this path."""
    pip = checkout / ".venv/bin/pip"
    try:
        made_here = bytes(checkout / ".venv/bin/python") in pip.read_bytes()
        probe = "import pip, sys; sys.exit(sys.version_info < (3, 12))"
        return (
            made_here
            and not subprocess.run(
                [checkout / ".venv/bin/python", "-I", "-c", probe], stderr=subprocess.DEVNULL
            ).returncode
        )
    except OSError:
        return False


def say(text: str) -> None:
    print(f"detour: {text}", file=sys.stderr, flush=True)


def run(python: str | Path, *args: str | Path) -> bool:
    """Whether ``python -I ARGS`` succeeded; -I keeps the caller's folder and variables off its path."""
    return subprocess.run([python, "-I", *args], stdout=sys.stderr).returncode == 0


def install(checkout: Path, lock: str) -> int:
    environment = checkout / ".venv"
    python = environment / "bin/python"
    if environment.is_symlink():
        # To make it anew would empty the folder that it leads to.
        say(f"{environment} is a link, and this needs an environment of its own there: remove the link")
        return 1
    for file in environment.glob("installed-*"):
        file.unlink()
    if not is_usable(checkout):
        say(f"making {environment} with Python {sys.version.split()[0]}")
        # The interpreter's own path, not a link to it: after an upgrade of the system's python3 the
        # link would lead to a version whose packages are not here.
        interpreter = os.path.realpath(sys.executable)
        if not run(interpreter, "-m", "venv", "--clear", environment):
            say(f"{interpreter} cannot make a virtual environment; name another one with DETOUR_PYTHON")
            return 1
    say(f"installing what {lock} lists")
    # pip compiles on one processor, and not for all that is needed; it is done below, on all of them.
    pip = [
        "-m",
        "pip",
        "install",
        "-qq",
        "--disable-pip-version-check",
        "--no-compile",
        "--require-hashes",
        "-r",
    ]
    if not run(python, *pip, checkout / lock):
        say(f"pip could not install {lock}, for the reason above; run this again to retry")
        return 1
    # The checkout itself is found by its path, so that there is nothing to install again after a change.
    where: list[str | Path] = [python, "-I", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = subprocess.run(where, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    Path(packages, "detour-checkout.pth").write_text(f"{checkout}\n")
    # Serving is done by `python -O`: without this each start would compile it all where nothing else writes byte
    # code (PYTHONDONTWRITEBYTECODE, another user's checkout). pip itself never serves.
    compiled = [packages, *(checkout / name for name in OWN)]
    run(python, "-m", "compileall", "-qq", "-j0", "-o0", "-o1", "-x", r"site-packages/pip/", *compiled)
    for held in LOCKS[lock]:
        file, content = stamp(checkout, held)
        file.write_bytes(content)
    return 0


def main(checkout: Path, lock: str) -> int:
    try:
        # A lock of the kernel's ends with its process, so a killed start blocks nobody.
        with (checkout / "pyproject.toml").open("r+b") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            return 0 if is_prepared(checkout, lock) else install(checkout, lock)
    except OSError as error:
        say(f"{error.filename or checkout}: {error.strerror}; the checkout must be writable the first time")
        return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
