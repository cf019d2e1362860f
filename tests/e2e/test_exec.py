"""`detour exec`: real programs through a private instance, or through the one that runs."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from detour.fakes import FakeUpstream
from tests.e2e.instance import Detour, base_config
from tests.upstream import FakeThread

PATIENCE = 60.0

ASK = """
import json, urllib.request
body = json.dumps({"model": "claude-sonnet-4-5", "max_tokens": 8, "messages": [{"role": "user", "content": "hi"}]})
headers = {"content-type": "application/json", "x-api-key": "the-tools-own"}
request = urllib.request.Request("https://api.anthropic.com/v1/messages", body.encode(), headers)
print(json.load(urllib.request.urlopen(request))["type"])
"""


class Execution:
    """Runs `detour exec` with a configuration whose Anthropic is a fake."""

    def __init__(self, folder: Path, upstream: FakeUpstream, ca_bundle: Path) -> None:
        self.detour = Detour(
            {
                **base_config(ca_bundle),
                "providers": {"anthropic": {"base_url": upstream.base_url("anthropic")}},
                "credentials": [{"id": "one", "provider": "anthropic", "api_key": "env:KEY"}],
            },
            folder,
            {"KEY": "the-configured-one"},
        )

    def command(self, *command: str) -> list[str]:
        return [sys.executable, "-m", "detour", "exec", "--config", str(self.detour.config), "--", *command]

    def __call__(self, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*command),
            env=self.detour.env | env,
            cwd=self.detour.folder,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def start(self, *command: str, **options: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*command), env=self.detour.env, cwd=self.detour.folder, text=True, **options
        )


@pytest.fixture
def upstream(fakes: FakeThread) -> Iterator[FakeUpstream]:
    fake = fakes.start("anthropic")
    yield fake
    fakes.stop(fake)


@pytest.fixture
def execute(upstream: FakeUpstream, ca_bundle: Path, tmp_path: Path) -> Execution:
    return Execution(tmp_path, upstream, ca_bundle)


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not (holds := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return holds


def listens(address: str) -> bool:
    host, _, port = address.removeprefix("http://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), 1).close()
    except OSError:
        return False
    return True


def test_a_program_that_knows_nothing_of_detour_goes_through_it(execute, upstream):
    shown = execute(sys.executable, "-c", ASK)

    assert (shown.returncode, shown.stdout.strip()) == (0, "message"), shown.stderr
    (seen,) = upstream.record.requests
    assert dict(seen.headers)["x-api-key"] == "the-configured-one"


def test_the_private_instance_ends_with_the_command(execute):
    shown = execute("sh", "-c", 'echo "$HTTPS_PROXY"; exit 7')

    assert shown.returncode == 7
    address = shown.stdout.strip()
    assert address.startswith("http://127.0.0.1:")
    assert eventually(lambda: not listens(address))
    # It is nobody else's business, so it was never announced.
    assert not (execute.detour.folder / "data" / "runtime.json").exists()


def test_the_command_is_the_process_that_was_started(execute):
    """Signals, job control and the exit code need no forwarding then."""
    process = execute.start(
        sys.executable,
        "-c",
        "import os, signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(42))\n"
        "print(os.getpid(), os.environ['HTTPS_PROXY'], flush=True)\n"
        "signal.pause()",
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    pid, proxy = process.stdout.readline().split()
    assert int(pid) == process.pid and listens(proxy)

    process.send_signal(signal.SIGTERM)

    assert process.wait(PATIENCE) == 42
    assert eventually(lambda: not listens(proxy))


def test_a_command_that_a_signal_ends_is_seen_so_by_a_shell(execute):
    inner = " ".join(f"'{word}'" for word in execute.command("sh", "-c", "kill -TERM $$"))

    shown = subprocess.run(
        ["sh", "-c", f"{inner}; echo $?"], env=execute.detour.env, capture_output=True, text=True
    )

    assert shown.stdout.splitlines()[-1] == "143"


def test_an_interrupt_from_the_terminal_reaches_the_command_once_and_the_instance_never(execute):
    counting = (
        "import os, signal, time\n"
        "hits = []\n"
        "signal.signal(signal.SIGINT, lambda *_: hits.append(1))\n"
        "print('ready', os.environ['HTTPS_PROXY'], flush=True)\n"
        "while not hits: time.sleep(0.01)\n"
        "time.sleep(0.3)\n"
        "print('hits', len(hits), flush=True)\n"
        "signal.signal(signal.SIGINT, signal.SIG_DFL)\n"
        "input()\n"
    )
    pid, terminal = pty.fork()
    if pid == 0:
        command = execute.command(sys.executable, "-c", counting)
        os.chdir(execute.detour.folder)
        os.execve(command[0], command, execute.detour.env)
    said = b""
    while b"ready" not in said or b"\n" not in said.partition(b"ready")[2]:
        said += os.read(terminal, 4096)
    proxy = said.partition(b"ready ")[2].split()[0].decode()
    os.write(terminal, b"\x03")
    while b"hits" not in said or b"\n" not in said.partition(b"hits")[2]:
        said += os.read(terminal, 4096)

    assert b"hits 1" in said
    assert listens(proxy)
    os.write(terminal, b"\n")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(terminal)
    assert eventually(lambda: not listens(proxy))


def test_options_after_the_command_are_its_own(execute):
    script = "import sys, json; print(json.dumps(sys.argv[1:]))"
    command = execute.command(sys.executable, "-c", script, "--config", "x", "-h", "--", "--json")
    command.remove("--")

    shown = subprocess.run(command, env=execute.detour.env, capture_output=True, text=True)

    assert json.loads(shown.stdout) == ["--config", "x", "-h", "--", "--json"]


def test_a_pipe_ends_the_command_as_it_would_without_detour(execute):
    """Python ignores SIGPIPE, and a command must not inherit that."""
    if not Path("/proc/self/status").exists():
        pytest.skip("there is no /proc that shows the ignored signals")

    ignored = execute("grep", "SigIgn", "/proc/self/status").stdout.split()

    assert int(ignored[1], 16) & (1 << (signal.SIGPIPE - 1)) == 0


def test_the_running_instance_is_used(execute):
    with execute.detour as running:
        shown = execute("sh", "-c", 'echo "$HTTPS_PROXY"')
        assert shown.stdout.strip() == f"http://{running.proxy}"

    assert execute("sh", "-c", 'echo "$HTTPS_PROXY"').stdout.strip() != f"http://{running.proxy}"


def test_an_instance_with_another_configuration_is_not(execute, tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text(execute.detour.config.read_text())
    with execute.detour as running:
        command = execute.command("sh", "-c", 'echo "$HTTPS_PROXY"')
        command[command.index("--config") + 1] = str(other)
        shown = subprocess.run(command, env=running.env, capture_output=True, text=True)

    assert shown.stdout.startswith("http://127.0.0.1:")
    assert shown.stdout.strip() != f"http://{running.proxy}"


def test_a_command_that_cannot_be_run_is_said_as_a_shell_would(execute, tmp_path):
    (tmp_path / "text").write_text("not a program")

    missing, text = execute("no-such-program"), execute(str(tmp_path / "text"))

    assert (missing.returncode, missing.stderr) == (127, "detour: no-such-program: command not found\n")
    assert (text.returncode, text.stderr) == (126, f"detour: {tmp_path}/text: not executable\n")


def test_a_broken_configuration_runs_nothing(execute):
    execute.detour.config.write_text("version: 1\nlisten: {proxi: x}\n")

    shown = execute("touch", "ran")

    assert shown.returncode == 2
    assert f"{execute.detour.config}:2: " in shown.stderr
    assert not (execute.detour.folder / "ran").exists()


def test_an_instance_that_does_not_start_says_why(execute, tmp_path):
    config = json.loads(execute.detour.config.read_text())
    execute.detour.config.write_text(json.dumps(config | {"log": {"file": str(tmp_path)}}))

    shown = execute("touch", "ran")

    assert shown.returncode == 1
    assert "a private instance could not be started:\nlog.file: " in shown.stderr
    assert not (execute.detour.folder / "ran").exists()


def test_a_client_key_is_handed_to_the_command(execute, upstream):
    config = json.loads(execute.detour.config.read_text())
    access = {"keys": [{"name": "me", "key": "env:CLIENT"}]}
    execute.detour.config.write_text(json.dumps(config | {"access": access}))

    shown = execute(sys.executable, "-c", ASK, CLIENT="a/key:with@signs-and-length")

    assert (shown.returncode, shown.stdout.strip()) == (0, "message"), shown.stderr
    assert len(upstream.record.requests) == 1
