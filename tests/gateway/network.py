"""Five machines as network namespaces: a client, a gateway, and behind it an origin and a provider.

::

    client ---- lan ---- gateway ---- wan ---- origin    (origin.test, and the DNS of everybody)
                                \\---- far ---- provider  (api.anthropic.com)
                                 \\--- far ---- plain     (a server without TLS)

Each has IPv4 and IPv6. Nothing leads out of them.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

TIMEOUT = 60.0

MACHINES = ("client", "gateway", "origin", "provider", "plain")
LINKS = (
    # the two ends, and the third number of the network between them
    ("client", "gateway", 1),
    ("origin", "gateway", 2),
    ("provider", "gateway", 3),
    ("plain", "gateway", 4),
)
CLIENT, OUTSIDER = ("10.77.1.2", "fd77:1::2"), "172.31.77.2"
GATEWAY = ("10.77.1.1", "fd77:1::1")
ORIGIN = ("10.77.2.2", "fd77:2::2")
PROVIDER = ("10.77.3.2", "fd77:3::2")
PLAIN = "10.77.4.2"
APART = (PLAIN, "fd77:4::2")
NETWORKS = ["10.77.1.0/24", "fd77:1::/64"]
"""Where clients come from."""

NAMES = {
    "api.anthropic.com": PROVIDER,
    "chatgpt.com": PROVIDER,
    "beside.test": PROVIDER,
    "origin.test": ORIGIN,
    "apart.test": APART,
}
TTL = 1
"""Seconds; Detour asks as often as it ever does."""


def missing() -> str:
    """Why no such network can be made here; empty if one can."""
    if os.geteuid() != 0:
        return "needs root"
    for program in ("ip", "nft", "dnsmasq", "curl", "sysctl"):
        if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
            return f"needs the program {program}"
    probe = f"detour-probe-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True)
    if made.returncode:
        return f"needs network namespaces: {made.stderr.strip()}"
    listed = subprocess.run(["ip", "netns", "exec", probe, "nft", "list", "ruleset"], capture_output=True)
    subprocess.run(["ip", "netns", "del", probe], check=True)
    return "needs nftables in the kernel" if listed.returncode else ""


class Network:
    """A context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for machine in MACHINES:
                self._make(stack, machine)
            for end, middle, number in LINKS:
                self._link(end, middle, number)
            self.run("client", "ip", "address", "add", f"{OUTSIDER}/24", "dev", "eth0")
            self.run("gateway", "ip", "address", "add", "172.31.77.1/24", "dev", "client")
            for setting in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
                self.run("gateway", "sysctl", "-q", "-w", f"{setting}=1")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def _make(self, stack: ExitStack, machine: str) -> None:
        name = self.name(machine)
        _call("ip", "netns", "add", name)
        stack.callback(_call, "ip", "netns", "del", name)
        # `ip netns exec` lets the files of this folder take the place of those in /etc.
        folder = Path("/etc/netns", name)
        folder.mkdir(parents=True)
        stack.callback(shutil.rmtree, folder)
        server = "127.0.0.1" if machine == "gateway" else GATEWAY[0]
        (folder / "resolv.conf").write_text(f"nameserver {server}\n")
        self.run(machine, "ip", "link", "set", "lo", "up")

    def _link(self, end: str, middle: str, number: int) -> None:
        _call(
            *("ip", "link", "add", "eth0", "netns", self.name(end)),
            *("type", "veth", "peer", "name", end, "netns", self.name(middle)),
        )
        for machine, device, host in ((end, "eth0", 2), (middle, end, 1)):
            for address in (f"10.77.{number}.{host}", f"fd77:{number}::{host}"):
                self.run(machine, "ip", "address", "add", _wide(address), "dev", device, *_ready(address))
            self.run(machine, "ip", "link", "set", device, "up")
        self.run(end, "ip", "route", "add", "default", "via", f"10.77.{number}.1")
        self.run(end, "ip", "-6", "route", "add", "default", "via", f"fd77:{number}::1")

    def name(self, machine: str) -> str:
        return f"detour-{os.getpid()}-{machine}"

    def within(self, machine: str) -> list[str]:
        """The command that runs another one on `machine`."""
        return ["ip", "netns", "exec", self.name(machine)]

    def run(
        self, machine: str, *command: str, check: bool = True, **options: Any
    ) -> subprocess.CompletedProcess:
        """What `command` said on `machine`."""
        return _call(*self.within(machine), *command, check=check, **options)

    def start(self, machine: str, *command: str, **options: Any) -> subprocess.Popen:
        """`command`, running on `machine` until the network ends."""
        process = subprocess.Popen([*self.within(machine), *command], **options)
        self._stack.callback(process.wait)
        self._stack.callback(process.terminate)
        return process

    @contextmanager
    def inside(self, machine: str) -> Iterator[None]:
        """Sockets that this thread makes meanwhile are on `machine`, and stay there."""
        with (
            Path("/proc/thread-self/ns/net").open() as home,
            Path("/run/netns", self.name(machine)).open() as away,
        ):
            os.setns(away.fileno(), os.CLONE_NEWNET)
            try:
                yield
            finally:
                os.setns(home.fileno(), os.CLONE_NEWNET)

    def listen(self, machine: str, address: str, port: int) -> socket.socket:
        """A listening socket; ``::`` takes IPv4 too."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with self.inside(machine):
            return socket.create_server((address, port), family=family, dualstack_ipv6=address == "::")

    def connect(self, machine: str, address: str, port: int, source: str | None = None) -> socket.socket:
        with self.inside(machine):
            return socket.create_connection((address, port), TIMEOUT, (source, 0) if source else None)

    def serve_names(self, lines: Sequence[str]) -> None:
        """The DNS: the origin's server knows all names, the gateway's asks it and has `lines` of its own."""
        records = [f"host-record={name},{','.join(found)},{TTL}" for name, found in NAMES.items()]
        self._dnsmasq("origin", [*records, "local=/#/"])
        self._dnsmasq("gateway", [f"server={ORIGIN[0]}", "cache-size=0", *lines])

    def _dnsmasq(self, machine: str, lines: Sequence[str]) -> None:
        file = self.folder / f"dnsmasq-{machine}.conf"
        file.write_text("\n".join(["no-resolv", "no-hosts", "log-facility=-", *lines, ""]))
        with (self.folder / f"dnsmasq-{machine}.log").open("wb") as log:
            self.start(
                machine,
                "dnsmasq",
                "--keep-in-foreground",
                f"--conf-file={file}",
                "--pid-file",
                stderr=log,
                stdout=log,
            )


def _wide(address: str) -> str:
    return f"{address}/{64 if ':' in address else 24}"


def _ready(address: str) -> list[str]:
    """Without the second in which IPv6 asks whether somebody else has the address."""
    return ["nodad"] if ":" in address else []


def _call(*command: str, check: bool = True, **options: Any) -> subprocess.CompletedProcess:
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, **options)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
    return done
