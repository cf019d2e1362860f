"""The entry points of a checkout, tried on a small one that needs nothing from a package index."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
GOOD = os.path.realpath(sys.executable)
OLD = "#!/bin/sh\n# Python 3.11: the probe ends with 1.\nexit 1\n"
SHIM = '#!/bin/sh\necho "pyenv: $(basename "$0"): command not found" >&2\nexit 127\n'


def make_checkout(root: Path) -> Path:
    (root / "scripts").mkdir(parents=True)
    for name in ("run", "prepare.sh", "prepare.py"):
        shutil.copy(SCRIPTS / name, root / "scripts" / name)
    (root / "pyproject.toml").touch()
    (root / "requirements.lock").write_text("# nothing\n")
    (root / "requirements-dev.lock").write_text("# nothing more\n")
    (root / "detour").mkdir()
    (root / "detour" / "__main__.py").write_text("import sys, os; print(sys.argv[1:], os.getcwd())\n")
    return root


@pytest.fixture
def checkout(tmp_path) -> Path:
    return make_checkout(tmp_path / "a checkout")


@pytest.fixture(scope="module")
def started(tmp_path_factory) -> tuple[Path, list[subprocess.CompletedProcess[str]]]:
    """A fresh checkout, and what became of three starts at the same time."""
    root = make_checkout(tmp_path_factory.mktemp("prepared") / "a checkout")
    with ThreadPoolExecutor() as threads:
        return root, list(threads.map(run, [root] * 3))


@pytest.fixture(scope="module")
def prepared(started) -> Path:
    """A checkout whose environment has been made already; not to be changed."""
    return started[0]


def prepare_development(checkout: Path) -> str:
    """What is said while the environment for the tests is made. Running needs nothing further then."""
    script = 'root=$1; . "$1/scripts/prepare.sh"; prepare requirements-dev.lock'
    env = {"PATH": "/usr/bin:/bin", "DETOUR_PYTHON": GOOD}
    command = ["bash", "-euc", script, "-", str(checkout)]
    said = subprocess.run(command, env=env, check=True, capture_output=True, text=True).stderr
    assert run(checkout).stderr == ""
    return said


def executable(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(0o755)


def run(checkout: Path, *args: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    bare = {"PATH": "/usr/bin:/bin", "HOME": str(checkout.parent), "DETOUR_PYTHON": GOOD}
    return subprocess.run(
        [checkout / "scripts" / "run", *args], cwd=cwd, env=bare | env, capture_output=True, text=True
    )


def found_python(checkout: Path, **env: str) -> str:
    script = 'root=$1; . "$1/scripts/prepare.sh"; find_python || echo none'
    bare = {"PATH": "/usr/bin:/bin", "HOME": str(checkout.parent)}
    return subprocess.run(
        ["bash", "-euc", script, "-", checkout], env=bare | env, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_the_second_run_only_runs_and_does_so_where_the_caller_is(prepared, tmp_path):
    second = run(prepared, "env", "--shell", "fish", cwd=tmp_path)

    assert (second.stdout, second.stderr) == (f"['env', '--shell', 'fish'] {tmp_path}\n", "")


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ((), ["run"]),
        (("--config", "f"), ["run", "--config", "f"]),
        (("--version",), ["--version"]),
        (("--help",), ["--help"]),
        (("check", "--json"), ["check", "--json"]),
    ],
)
def test_run_is_the_default_command(prepared, asked, meant):
    assert run(prepared, *asked).stdout.startswith(str(meant))


def test_an_environment_elsewhere_is_left_alone(checkout, tmp_path):
    kept = tmp_path / "elsewhere" / "file"
    executable(kept, "precious")
    (checkout / ".venv").symlink_to(kept.parent)
    refused = run(checkout)
    assert refused.returncode == 1 and ".venv is a link" in refused.stderr
    assert kept.read_text() == "precious"


def test_a_link_to_the_script_runs_the_checkout(prepared, tmp_path):
    (tmp_path / "detour").symlink_to(prepared / "scripts" / "run")

    shown = subprocess.run(
        [tmp_path / "detour", "x"], env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True
    )

    assert shown.stdout.startswith("['x']")


def test_a_module_of_the_callers_folder_is_not_taken_for_detour(prepared, tmp_path):
    executable(tmp_path / "elsewhere" / "detour" / "__main__.py", "print('wrong')")

    assert run(prepared, cwd=tmp_path / "elsewhere").stdout.startswith("['run']")


def test_a_changed_lock_installs_and_a_moved_checkout_starts_anew(checkout):
    """And one that cannot be installed is said, and tried again."""
    lock = checkout / "requirements.lock"
    development = prepare_development(checkout)
    lock.write_text("nothing-of-that-name @ file:///nonexistent.whl --hash=sha256:00\n")
    failed = run(checkout)
    lock.write_text("# something else\n")
    changed = run(checkout)
    moved = checkout.rename(checkout.parent / "moved")
    again = run(moved)

    assert "making" in development
    assert failed.returncode == 1 and "run this again to retry" in failed.stderr and failed.stdout == ""
    assert changed.returncode == 0 and changed.stdout.startswith("['run']")
    assert "installing" in changed.stderr and "making" not in changed.stderr
    assert "making" in again.stderr
    assert str(moved) in (moved / ".venv" / "bin" / "pip").read_text()


def test_an_interpreter_that_went_away_is_replaced(checkout):
    (checkout / ".venv" / "bin").mkdir(parents=True)
    (checkout / ".venv" / "bin" / "python").symlink_to("/nonexistent/python3.13")

    again = run(checkout)

    assert "making" in again.stderr and again.stdout.startswith("['run']")


def test_starts_at_the_same_time_prepare_once(started):
    _, starts = started

    assert [start.returncode for start in starts] == [0, 0, 0]
    assert all(start.stdout.startswith("['run']") for start in starts)
    assert sum("making" in start.stderr for start in starts) == 1


def test_each_candidate_is_tried_by_running_it(checkout, tmp_path):
    folder = tmp_path / "bin"
    for name in ("python3.13", "python3.12", "python3.14"):
        executable(folder / name, SHIM)
    executable(folder / "python3", OLD)
    (folder / "python").symlink_to(GOOD)

    assert found_python(checkout, PATH=f"{folder}:/usr/bin:/bin") == "python"


def test_versions_of_pyenv_and_uv_are_found_behind_failing_shims(checkout, tmp_path):
    folder = tmp_path / "shims"
    for name in ("python3.13", "python3.12", "python3.14", "python3", "python"):
        executable(folder / name, SHIM)
    pyenv, uv = tmp_path / "pyenv", tmp_path / "uv"
    for place in (pyenv / "versions" / "3.12.9", uv / "cpython-3.13.1-linux-x86_64-gnu"):
        (place / "bin").mkdir(parents=True)
        (place / "bin" / "python3").symlink_to(GOOD)
    path = f"{folder}:/usr/bin:/bin"

    assert found_python(checkout, PATH=path, PYENV_ROOT=str(pyenv)).startswith(str(pyenv))
    # The newer one, wherever it comes from.
    both = found_python(checkout, PATH=path, PYENV_ROOT=str(pyenv), UV_PYTHON_INSTALL_DIR=str(uv))
    assert both.startswith(str(uv))


def test_without_any_interpreter_the_remedy_is_said(checkout, tmp_path):
    folder = tmp_path / "bin"
    for name in ("python3.13", "python3.12", "python3.14", "python3", "python"):
        executable(folder / name, OLD)

    failed = run(checkout, PATH=f"{folder}:/usr/bin:/bin", DETOUR_PYTHON="")

    assert failed.returncode == 1
    assert "needs Python 3.12 or newer" in failed.stderr and "DETOUR_PYTHON=" in failed.stderr
    assert failed.stdout == ""


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_the_locks_pin_and_hash_everything_and_name_no_index(name):
    text = (SCRIPTS.parent / name).read_text()
    entries = [
        entry for entry in text.replace("\\\n", "").splitlines() if entry and not entry.startswith("#")
    ]

    assert len(entries) > 50
    assert [entry for entry in entries if "==" not in entry or "--hash=sha256:" not in entry] == []
    for word in ("http:", "https:", "file:", "--index", "--find-links", "--extra", "--trusted", " @ "):
        assert word not in text
