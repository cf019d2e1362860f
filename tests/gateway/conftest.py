"""One network, with one Detour on its gateway, for all tests of this folder."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from detour.fakes import FakeUpstream
from detour.gateway import dnsmasq
from tests.e2e.instance import Detour, base_config
from tests.gateway.network import NETWORKS, TIMEOUT, Network, missing
from tests.upstream import FakeThread

HOST = "api.anthropic.com"
CODEX_HOST = "chatgpt.com"
PORT = 8443
KEYS = {"KEY_FIRST": "secret-of-the-first", "KEY_SECOND": "secret-of-the-second"}
CODEX_KEYS = {"CODEX_FIRST": "first-secret-of-codex", "CODEX_SECOND": "second-secret-of-codex"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.root)


@dataclass(frozen=True, slots=True)
class Box:
    network: Network
    detour: Detour
    provider: FakeUpstream
    origin: FakeUpstream
    fakes_ca: Path

    def gateway(
        self, *command: str, config: Path | None = None, **options: Any
    ) -> subprocess.CompletedProcess:
        """``detour gateway COMMAND`` on the gateway."""
        where = [] if command[0] == "down" else ["--config", str(config or self.detour.config)]
        options = {"env": self.detour.env, "stdin": subprocess.DEVNULL, "check": False, **options}
        return self.network.run(
            "gateway", sys.executable, "-m", "detour", "gateway", *command, *where, **options
        )

    def curl(self, *args: str, machine: str = "client", **options: Any) -> subprocess.CompletedProcess:
        """curl with no proxy setting, which trusts Detour's authority and nobody else."""
        command = ["curl", "--silent", "--show-error", "--max-time", str(TIMEOUT), "--noproxy", "*"]
        command += ["--cacert", str(self.detour.ca_file), *args]
        return self.network.run(machine, *command, check=False, **options)

    def ruleset(self) -> str:
        return self.network.run("gateway", "nft", "list", "ruleset").stdout

    def addresses(self) -> set[str]:
        """What is in the sets now."""
        listed = json.loads(self.network.run("gateway", "nft", "-j", "list", "ruleset").stdout)["nftables"]
        return {
            element["elem"]["val"]
            for entry in listed
            if "set" in entry and entry["set"]["name"].startswith("providers")
            for element in entry["set"].get("elem", ())
        }

    def counted(self, name: str) -> int:
        """A counter of the instance's connections."""
        with self.network.inside("gateway"), httpx.Client(trust_env=False) as http:
            token = (self.detour.folder / "data" / "admin-token").read_text().strip()
            answer = http.get(
                f"http://{self.detour.admin}/api/v1/state", headers={"authorization": f"Bearer {token}"}
            )
        return answer.json()["connections"][name]


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for what happens elsewhere."""
    end = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen"
        time.sleep(0.05)


def without_counts(ruleset: str) -> str:
    """`ruleset` without what changes by itself: counters, and the time that addresses have left."""
    return re.sub(r"packets \d+ bytes \d+| expires \w+", "", ruleset)


@pytest.fixture(scope="session")
def box(fakes: FakeThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    if reason := missing():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("gateway")
    ca = fakes.ca.write(folder / "fakes.pem")
    with Network(folder) as network:
        provider = fakes.start(
            "provider",
            host_names=[HOST, CODEX_HOST, "beside.test"],
            lenient=True,
            sock=network.listen("provider", "::", 443),
        )
        origin = fakes.start("origin", host_names=["origin.test"], sock=network.listen("origin", "::", 443))
        network.serve_names(dnsmasq.lines(["apart.test"], (4, 6)))
        config = _config(ca)
        with Detour(config, folder, KEYS | CODEX_KEYS, network.within("gateway")) as detour:
            found = Box(network, detour, provider, origin, ca)
            up = found.gateway("up")
            assert up.returncode == 0, up.stderr
            yield found


def _config(ca: Path) -> dict[str, Any]:
    config = base_config(ca)
    config["listen"]["transparent"] = f"[::]:{PORT}"
    config["listen"]["wireguard"] = "0.0.0.0:51820"
    config["access"] = {"networks": NETWORKS}
    config["upstream"] |= {"connect_timeout": "20s", "first_byte_timeout": "30s", "idle_timeout": "30s"}
    config["credentials"] = [
        {"id": name.lower(), "provider": "anthropic", "api_key": f"env:{name}", "priority": priority}
        for name, priority in (("KEY_FIRST", 2), ("KEY_SECOND", 1))
    ]
    config["credentials"] += [
        {"id": name.lower(), "provider": "codex", "api_key": f"env:{name}", "priority": priority}
        for name, priority in (("CODEX_FIRST", 2), ("CODEX_SECOND", 1))
    ]
    return config
