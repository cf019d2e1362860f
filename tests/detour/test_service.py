"""The systemd units: what they say, that systemd takes them, and how far they are exposed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from detour import service
from detour.cli import app

CONFIG = Path("/etc/detour/detour.yaml")
DEPLOYMENT = Path(__file__).parents[2] / "docs" / "deployment.md"

systemd = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed (Debian: systemd)"
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tree with a detour in it and all units."""
    program = tmp_path / "opt" / "detour" / "bin" / "detour"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    service.install(["service", "socket", "gateway-box"], tmp_path, program, CONFIG)
    return tmp_path


def units(root: Path) -> Path:
    return root / service.FOLDER


def invoke(*words: object):
    return CliRunner().invoke(app, ["service", *map(str, words)])


def test_a_unit_runs_this_detour_with_that_configuration(tmp_path: Path) -> None:
    shown = invoke("print", "--program", "/opt/detour/bin/detour", "--config", "/srv/detour.yaml")
    assert shown.exit_code == 0
    assert "ExecStart=/opt/detour/bin/detour run --config /srv/detour.yaml\n" in shown.stdout
    assert "ExecReload=/opt/detour/bin/detour check /srv/detour.yaml\n" in shown.stdout
    assert service.PACKAGED_PROGRAM not in shown.stdout and service.PACKAGED_CONFIG not in shown.stdout


def test_units_are_written_once_and_not_over_somebodys_changes(tmp_path: Path) -> None:
    options = ["--root", tmp_path, "--program", "/opt/detour/bin/detour"]
    done = invoke("install", "--socket", *options)
    assert done.exit_code == 0
    assert "systemctl enable --now detour.socket detour.service" in done.stdout
    file = units(tmp_path) / "detour.service"
    assert (file.stat().st_mode & 0o777) == 0o644
    assert invoke("install", *options).exit_code == 0

    file.write_text(file.read_text() + "# mine\n")
    refused = invoke("install", *options)
    assert refused.exit_code == 1 and str(file) in refused.stderr and "--force" in refused.stderr
    assert file.read_text().endswith("# mine\n")
    assert invoke("install", "--force", *options).exit_code == 0
    assert not file.read_text().endswith("# mine\n")

    assert invoke("uninstall", "--root", tmp_path).stdout.count("removed ") == 2
    assert not file.exists()
    assert "there are no units" in invoke("uninstall", "--root", tmp_path).stdout


@pytest.mark.parametrize(
    ("program", "config", "said"),
    [
        ("/home/me/.venv/bin/detour", CONFIG, "install Detour elsewhere"),
        ("/opt/detour/bin/detour", "/root/detour.yaml", "put it at /etc/detour/detour.yaml"),
        ("/opt/detour/bin/detour", "detour.yaml", "not an absolute path"),
    ],
)
def test_what_the_service_could_not_reach_is_refused(
    tmp_path: Path, program: str, config: object, said: str
) -> None:
    refused = invoke("install", "--root", tmp_path, "--program", program, "--config", config)
    assert refused.exit_code == 1 and said in refused.stderr
    assert not units(tmp_path).exists()


@systemd
def test_systemd_takes_the_units(root: Path) -> None:
    files = [str(units(root) / "detour.service"), str(units(root) / "detour.socket")]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *files], capture_output=True, text=True, timeout=60
    )
    # Other units of this machine may have faults of their own.
    said = [line for line in (done.stdout + done.stderr).splitlines() if "detour" in line]
    assert said == []


@systemd
@pytest.mark.parametrize("box", [False, True], ids=["service", "gateway-box"])
def test_the_exposure_is_what_the_documentation_says(root: Path, tmp_path: Path, box: bool) -> None:
    if not box:
        (units(root) / "detour.service.d" / "gateway-box.conf").unlink()
    command = [
        "systemd-analyze",
        "security",
        "--offline=true",
        "--no-pager",
        f"--root={root}",
        "detour.service",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    shown = re.search(r"Overall exposure level for detour.service: ([\d.]+)", done.stdout)
    assert shown, done.stdout + done.stderr
    row = "with the drop-in" if box else "as it is"
    documented = re.search(rf"\| {row} \| ([\d.]+) ", DEPLOYMENT.read_text())
    assert documented
    # Newer versions of systemd look at more than the one of the documentation.
    assert float(shown[1]) <= float(documented[1]) + 0.3
