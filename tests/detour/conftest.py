"""The wheel, built from the tracked sources."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("addons", "configs", "detour", "router_core")


def bare(*command: str | Path, cwd: Path, home: Path) -> subprocess.CompletedProcess[str]:
    """Run with nothing of this process's environment but what every program has."""
    env = {"PATH": "/usr/bin:/bin", "HOME": str(home), "TERM": "dumb"}
    return subprocess.run(list(map(str, command)), cwd=cwd, env=env, capture_output=True, text=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy, since setuptools leaves its traces in the folder that it builds from."""
    pytest.importorskip("setuptools", reason="setuptools builds the wheel; it is in requirements-dev.lock")
    source = tmp_path_factory.mktemp("source")
    for name in PACKAGES:
        shutil.copytree(
            ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
        )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    options = ["--no-deps", "--no-index", "--no-build-isolation", "--quiet", "--disable-pip-version-check"]
    built = bare(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        *options,
        "--wheel-dir",
        source / "dist",
        source,
        cwd=source,
        home=source,
    )
    assert built.returncode == 0, built.stderr
    (found,) = (source / "dist").glob("detour-*.whl")
    return found
