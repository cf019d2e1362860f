"""`detour exec --local`: real programs that heed no proxy variable, captured by the kernel."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from detour.fakes import FakeUpstream
from detour.local import Machine
from tests.e2e.instance import Detour, base_config
from tests.e2e.wire import SHAPES, fresh_model
from tests.upstream import FakeThread

NOWHERE = "192.0.2.7"
"""Where the provider's host is for the command: an address that nobody has."""

# Where the machine mounts cgroup2 elsewhere, a mount of this process's own will do.
UNSHARED = ["unshare", "-m", "sh", "-c", 'mount -t cgroup2 none /sys/fs/cgroup && exec "$@"', "sh"]


@pytest.fixture(scope="module")
def within() -> list[str]:
    """The command within which the kernel can capture."""
    if os.geteuid() != 0 or not shutil.which("curl"):
        pytest.skip("needs root and curl")
    problem = Machine().problem()
    if problem is None:
        return []
    if "cgroup2" not in problem:
        pytest.skip(problem)
    if subprocess.run([*UNSHARED, "true"], capture_output=True).returncode:
        pytest.skip("cgroup2 cannot be mounted here")
    return UNSHARED


@pytest.fixture(scope="module")
def upstream(fakes: FakeThread) -> Iterator[FakeUpstream]:
    fake = fakes.start("anthropic")
    yield fake
    fakes.stop(fake)


@pytest.fixture(scope="module")
def instance(upstream: FakeUpstream, ca_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Detour:
    """Not started: its configuration and its environment."""
    config = base_config(ca_bundle) | {
        "providers": {"anthropic": {"base_url": upstream.base_url("anthropic")}},
        "credentials": [{"id": "one", "provider": "anthropic", "api_key": "env:KEY"}],
    }
    return Detour(config, tmp_path_factory.mktemp("local"), {"KEY": "the-configured-one"})


def execute(instance: Detour, within: list[str], *command: str) -> subprocess.CompletedProcess[str]:
    line = [
        sys.executable,
        "-m",
        "detour",
        "exec",
        "--local",
        "--config",
        str(instance.config),
        "--",
        *command,
    ]
    return subprocess.run(
        [*within, *line], env=instance.env, cwd=instance.folder, capture_output=True, text=True, timeout=180
    )


def curl(model: str) -> list[str]:
    path, headers, body = SHAPES["anthropic"].request(model, key="the-tools-own")
    args = [
        "curl",
        "-sS",
        "--noproxy",
        "*",
        "--max-time",
        "60",
        "--resolve",
        f"api.anthropic.com:443:{NOWHERE}",
    ]
    for name, value in headers.items():
        args += ["-H", f"{name}: {value}"]
    return [*args, "--json", json.dumps(body), f"https://api.anthropic.com{path}"]


def test_a_program_that_heeds_no_variable_is_routed(
    instance: Detour, within: list[str], upstream: FakeUpstream
) -> None:
    model = fresh_model()
    shown = execute(instance, within, *curl(model))
    if "this kernel does not let Detour capture" in shown.stderr:
        pytest.skip(shown.stderr)

    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["content"][0]["text"] == upstream.text
    (seen,) = [r for r in upstream.record.requests if r.model == model]
    assert seen.key == "the-configured-one"


def test_its_children_are_captured_too(instance: Detour, within: list[str], upstream: FakeUpstream) -> None:
    model = fresh_model()
    script = instance.folder / "child.sh"
    # The child is seen before it connects, as the process that it has been all the while.
    script.write_text(f"sleep 4\nexec {shlex.join(curl(model))}\n")
    shown = execute(instance, within, "sh", "-c", f"sh {script}; exit 7")
    if "this kernel does not let Detour capture" in shown.stderr:
        pytest.skip(shown.stderr)

    assert shown.returncode == 7, shown.stderr
    assert [r.key for r in upstream.record.requests if r.model == model] == ["the-configured-one"]


def test_a_kernel_that_does_not_capture_is_named(instance: Detour, within: list[str]) -> None:
    if not within:
        pytest.skip("this machine's kernel captures")
    shown = execute(instance, [], "true")
    assert shown.returncode == 1
    assert "/sys/fs/cgroup is no cgroup2 file system" in shown.stderr


def test_one_that_refuses_the_program_is_named(instance: Detour, within: list[str]) -> None:
    """The capability to load it is taken away, as containers do."""
    if not shutil.which("setpriv"):
        pytest.skip("needs setpriv")
    dropped = [*within, "setpriv", "--bounding-set=-bpf,-sys_admin,-net_admin", "--inh-caps=-all"]
    shown = execute(instance, dropped, "true")
    assert shown.returncode == 1
    assert "this kernel does not let Detour capture by process" in shown.stderr
    assert "leave out --local" in shown.stderr
    assert len(shown.stderr.strip().splitlines()) == 1
