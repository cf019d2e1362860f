"""The two proxies under test as child processes, each redirecting api.anthropic.com to the fake upstream."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# What anybody would write first: redirect, swap the key, do not buffer the answer.
STOCK_SCRIPT = """\
def request(flow):
    flow.request.scheme, flow.request.host, flow.request.port = "http", "127.0.0.1", {port}
    flow.request.headers["x-api-key"] = "sk-upstream"
def responseheaders(flow):
    flow.response.stream = True
"""

DETOUR_CONFIG = """\
version: 1
listen: {{proxy: "127.0.0.1:0", gateway: "127.0.0.1:0", admin: "127.0.0.1:0", drain: 0}}
data_dir: {folder}/data
providers: {{anthropic: {{base_url: "http://127.0.0.1:{port}"}}}}
credentials:
  - {{id: one, provider: anthropic, api_key: "env:BENCH_KEY"}}
  - {{id: two, provider: anthropic, api_key: "env:BENCH_KEY"}}
{extra}
"""


@dataclass
class Child:
    name: str
    process: subprocess.Popen
    port: int
    admin: int | None = None
    """The port of Detour's administration."""

    @property
    def resident(self) -> int:
        """Bytes of memory in use (VmRSS), 0 where the system does not tell."""
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return 0
        match = re.search(r"VmRSS:\s+(\d+) kB", status)
        return int(match[1]) << 10 if match else 0

    @property
    def cpu(self) -> float:
        """Seconds of CPU spent so far (proc(5): utime, stime), 0 where the system does not tell."""
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """A second call does nothing."""
        if self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start_upstream() -> Child:
    process = subprocess.Popen(
        [sys.executable, "-m", "scripts.benchmark.upstream"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    return Child("upstream", process, int(process.stdout.readline().split()[1]))


def start_stock(folder: Path, upstream: int) -> Child:
    script = folder / "redirect.py"
    script.write_text(STOCK_SCRIPT.format(port=upstream))
    port = free_port()
    mitmdump = Path(sys.executable).with_name("mitmdump")
    options = ["-q", "--set", f"confdir={folder}/stock", "--listen-host", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen([mitmdump, *options, "-s", script], stdout=subprocess.DEVNULL)
    wait_for(port)
    return Child("mitmdump", process, port)


def start_detour(
    folder: Path,
    upstream: int,
    name: str = "detour",
    extra: str = "",
    env: dict[str, str] | None = None,
    options: Sequence[str] = (),
) -> Child:
    home = folder / name
    home.mkdir()
    config = home / "detour.yaml"
    config.write_text(DETOUR_CONFIG.format(folder=home, port=upstream, extra=extra))
    process = subprocess.Popen(
        [sys.executable, "-m", "detour", "run", "--config", config, *options],
        stdout=subprocess.PIPE,
        stderr=(home / "log").open("w"),
        text=True,
        env={**os.environ, "BENCH_KEY": "sk-upstream", **(env or {})},
    )
    assert process.stdout
    line = process.stdout.readline()
    match = re.search(r"proxy=\S+:(\d+)", line)
    if not match:
        raise RuntimeError(f"{name} did not start: {(home / 'log').read_text()[-2000:]}")
    admin = re.search(r"admin=\S+:(\d+)", line)
    return Child(name, process, int(match[1]), int(admin[1]) if admin else None)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port: int, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"nothing listens on port {port}")
