"""The container image's definition: what it says, and that what it builds runs as it would there."""

from __future__ import annotations

import fnmatch
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from detour.cli import COMMANDS

ROOT = Path(__file__).parents[2]
FILE = ROOT / "Containerfile"
UID = 10001


def instructions() -> list[tuple[str, str]]:
    """(instruction, rest) of each line, with continued ones joined."""
    text = FILE.read_text().replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines()]
    return [(line.split()[0], line.split(None, 1)[1]) for line in lines if line and not line.startswith("#")]


def last_stage() -> dict[str, str]:
    """The last of each instruction in the image that is kept."""
    found: dict[str, str] = {}
    for name, rest in instructions():
        if name == "FROM":
            found = {}
        found[name] = rest
    return found


def is_ignored(path: str) -> bool:
    ignored = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line and not line.startswith("#"):
            pattern = line.lstrip("!")
            if fnmatch.fnmatch(path, pattern) or path.split("/")[0] == pattern:
                ignored = not line.startswith("!")
    return ignored


def test_what_is_copied_is_there_and_nothing_else_is_sent() -> None:
    copied = [
        source
        for name, rest in instructions()
        if name == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    ]
    assert {"requirements.lock", "detour", "configs/examples/container.yaml"} <= set(copied)
    for source in copied:
        assert (ROOT / source).exists(), source
        assert not is_ignored(source), source
    assert all(map(is_ignored, (".git", ".venv", "tests", "docs", "scripts")))


def test_it_runs_as_nobody_special_with_a_health_check() -> None:
    last = last_stage()
    assert last["USER"] == f"{UID}:{UID}"
    assert last["STOPSIGNAL"] == "SIGTERM"
    assert json.loads(last["ENTRYPOINT"]) == ["detour"]
    check = json.loads(last["HEALTHCHECK"].partition(" CMD ")[2])
    assert check[0] == "detour" and check[1] in COMMANDS
    assert json.loads(last["CMD"])[0] in COMMANDS


def test_images_are_named_without_a_registry_and_with_a_version() -> None:
    images = [rest.split()[0] for name, rest in instructions() if name == "FROM"]
    assert images == ["python:3.13-slim"] * 2
    assert "require-hashes" in FILE.read_text()


def test_the_ports_are_those_of_its_configuration() -> None:
    config = yaml.safe_load((ROOT / "configs" / "examples" / "container.yaml").read_text())
    ports = {address.rpartition(":")[2] for address in config["listen"].values()}
    last = last_stage()
    assert set(last["EXPOSE"].split()) == ports
    assert config["data_dir"] == last["VOLUME"] == "/data"
    assert dict(word.split("=", 1) for word in last["ENV"].split())["HOME"] == "/data"


INSIDE = """
mount -t tmpfs tmpfs /mnt
mkdir /mnt/python /mnt/site /mnt/needs /mnt/data /mnt/etc
mount --bind "$PYTHON" /mnt/python
mount --bind "$SITE" /mnt/site
mount --bind "$NEEDS" /mnt/needs
cp "$CONFIG" /mnt/etc/detour.yaml
mount -t tmpfs -o mode=0700,uid=10001,gid=10001 tmpfs /mnt/data
# Nothing can be written but the volume.
mount -o remount,bind,ro /
mount -o remount,ro /mnt
for place in /tmp /var /dev/shm /run; do mountpoint -q $place && mount -o remount,bind,ro $place || true; done
cd /mnt/data
exec setpriv --reuid=10001 --regid=10001 --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all \
  env -i PATH=/usr/bin:/bin HOME=/mnt/data DETOUR_CONFIG=/mnt/etc/detour.yaml DETOUR_KEY=a-key-of-the-client \
  LD_LIBRARY_PATH=/mnt/python/lib PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=/mnt/site:/mnt/needs "/mnt/python/bin/$NAME" -P -m detour "$@"
"""


def can_separate() -> bool:
    """Whether this process may make a mount namespace of its own."""
    if os.geteuid() or not all(map(shutil.which, ("unshare", "setpriv", "nsenter"))):
        return False
    probe = ["unshare", "--mount", "sh", "-c", "mount -t tmpfs tmpfs /mnt"]
    return subprocess.run(probe, capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel installs."""
    folder = tmp_path_factory.mktemp("site")
    options = ["--no-deps", "--no-index", "--quiet", "--disable-pip-version-check", "--target", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(wheel)], check=True)
    folder.chmod(0o755)
    return folder


@pytest.fixture
def container(site: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """`detour run` from the wheel, without a writable folder but /data's, as another user without capabilities."""
    config = yaml.safe_load((ROOT / "configs" / "examples" / "container.yaml").read_text())
    config["listen"] = dict.fromkeys(config["listen"], "127.0.0.1:0")
    config["data_dir"] = "/mnt/data"
    file = tmp_path / "detour.yaml"
    file.write_text(yaml.safe_dump(config))
    env = os.environ | {
        "PYTHON": sys.base_prefix,
        "NAME": f"python{sys.version_info.major}.{sys.version_info.minor}",
        "SITE": str(site),
        "NEEDS": sysconfig.get_path("purelib"),
        "CONFIG": str(file),
    }
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-euc", INSIDE, "sh", "run"]
    with subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        yield process
        process.kill()


@pytest.mark.root
@pytest.mark.skipif(not can_separate(), reason="needs root and mount namespaces")
def test_it_serves_with_a_read_only_root_and_no_privileges(container: subprocess.Popen[str]) -> None:
    assert container.stdout
    said: list[str] = []
    for line in container.stdout:
        said.append(line)
        if line.startswith("detour ready "):
            break
    assert said and said[-1].startswith("detour ready "), "".join(said)
    status = Path(f"/proc/{container.pid}/status").read_text()
    assert f"Uid:\t{UID}\t{UID}" in status and "CapBnd:\t0000000000000000" in status

    check = json.loads(last_stage()["HEALTHCHECK"].partition(" CMD ")[2])
    environment = Path(f"/proc/{container.pid}/environ").read_text().rstrip("\0").split("\0")
    within = [
        "nsenter",
        f"--mount=/proc/{container.pid}/ns/mnt",
        "setpriv",
        f"--reuid={UID}",
        f"--regid={UID}",
    ]
    program = Path(f"/proc/{container.pid}/exe").readlink()
    command = [*within, "--clear-groups", "env", "-i", *environment, str(program), "-P", "-m", *check]

    def health() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    well = health()
    assert (well.returncode, well.stdout) == (0, "serves\n"), shlex.join(command) + well.stderr
    container.send_signal(signal.SIGTERM)
    assert container.wait(30) == 0
    rest = container.stdout.read()
    assert "Traceback" not in rest and "Read-only" not in rest
