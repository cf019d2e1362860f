"""The wheel, built from the tracked sources and installed where no checkout is in sight."""

from __future__ import annotations

import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.detour.conftest import PACKAGES, bare

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The folder of the programs of an environment that holds the wheel.

    Dependencies come from this environment: the package index has no part in what is tested here.
    """
    folder = tmp_path_factory.mktemp("environment")
    bare(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder, home=folder)
    python = folder / "bin" / "python"
    packages = bare(
        python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder, home=folder
    )
    site = Path(packages.stdout.strip())
    # A folder that a .pth file names is searched for modules; its own .pth files, which would lead to
    # the checkout, are not read.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    options = ["--no-deps", "--no-index", "--quiet", "--disable-pip-version-check"]
    done = bare(
        sys.executable, "-m", "pip", "--python", python, "install", *options, wheel, cwd=folder, home=folder
    )
    assert done.returncode == 0, done.stderr
    return folder / "bin"


def test_everything_of_the_packages_travels_in_the_wheel(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())

    wanted = {
        str(file.relative_to(ROOT))
        for package in PACKAGES
        for file in (ROOT / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts and file.suffix != ".md"
    }
    assert wanted - names == set()
    assert not any(name.startswith(("tests/", "scripts/")) for name in names)


def test_the_program_knows_its_version_elsewhere(installed, tmp_path):
    shown = bare(installed / "detour", "--version", cwd=tmp_path, home=tmp_path)
    module = bare(installed / "python", "-m", "detour", "--version", cwd=tmp_path, home=tmp_path)

    assert shown.stdout == module.stdout == "detour 0.1.0\n"
    where = bare(
        installed / "python", "-c", "import detour; print(detour.__file__)", cwd=tmp_path, home=tmp_path
    )
    assert str(ROOT) not in where.stdout


def test_the_packaged_configuration_and_registry_are_used(installed, tmp_path):
    shown = bare(installed / "detour", "env", cwd=tmp_path, home=tmp_path)

    assert shown.returncode == 0, shown.stderr
    assert "export HTTPS_PROXY='http://127.0.0.1:8080'" in shown.stdout
    assert (tmp_path / ".local/share/detour/ca/mitmproxy-ca-cert.pem").exists()


def test_the_demo_runs_elsewhere(installed, tmp_path):
    shown = bare(installed / "detour", "demo", cwd=tmp_path, home=tmp_path)

    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "All" in shown.stdout and "proved" in shown.stdout
    # It leaves nothing behind.
    assert list(tmp_path.iterdir()) == []
